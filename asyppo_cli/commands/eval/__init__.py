"""``asyppo eval``: scores of models on benchmarks. The first word decides: a command of this family, or a benchmark.

``asyppo eval aime25 ...`` is ``run`` with all words; so is anything that is no command here, an option included, and
``run`` names what is near a word that is neither. A command is imported when it is called.
"""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

# Name, and what help says of it; each is a module of this package with an ``app`` of one command.
COMMANDS = {
    "run": "Sample and score models on benchmarks; the word run may be left out.",
    "ls": "List the benchmarks: sizes, sources, revisions, licences.",
    "show": "Show the problems of an evaluation: answers, marks, votes.",
    "compare": "Compare two evaluations problem by problem.",
    "grade": "Grade responses made elsewhere.",
}
EXAMPLES = {
    "asyppo eval aime25": "the newest run's checkpoint, average of 4 samples",
    "asyppo eval paper --data-dir FOLDER": "all six benchmarks, from local files",
    "asyppo eval ls": "what there is",
    "asyppo eval grade answers.jsonl": "grade what another program has sampled",
}
# What only a command of its own can be asked; everything else belongs to ``run``.
_HELP = ("-h", "--help")


class EvalCommands(TyperGroup):
    """The family, whose commands are known by name until one of them is called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``run`` in front of anything that is neither a command nor a cry for help."""
        if args and args[0] not in COMMANDS and args[0] not in _HELP:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command of that name."""
        module = importlib.import_module(f"asyppo_cli.commands.eval.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, without importing the commands that it lists."""
        from asyppo_cli import console
        from asyppo_cli.commands.overview import in_columns

        console.print(
            "\nUsage: asyppo eval BENCHMARK... [OPTIONS]\n       asyppo eval COMMAND [ARGUMENTS]...\n", "bold"
        )
        console.print(f"{self.help}\n")
        console.panel("Commands", in_columns(COMMANDS.items()), subtitle="asyppo eval COMMAND --help")
        console.panel("Examples", in_columns(EXAMPLES.items()))


app = typer.Typer(cls=EvalCommands, add_completion=False)


@app.callback()
def evaluate() -> None:
    """Score models on benchmarks, and see where they differ."""
