"""``asyppo analyze``: figures and findings from the records of runs. A command is imported when it is called."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import typer
from typer.core import TyperGroup

# Name, and what help says of it; each is a module of this package (- as _) with an ``app`` of one command.
COMMANDS = {
    "value-std": "Where the critics disagree, and whether it means error.",
    "quadrant": "Disagreement against gradient, state by state.",
    "curves": "Any metrics of several runs, seeds joined.",
    "timeline": "Who worked when: sampling and training side by side.",
    "wordcloud": "Which tokens are masked and filtered.",
    "tokens": "Responses to read, coloured token by token.",
    "report": "Everything about runs on one page.",
}
EXAMPLES = {
    "asyppo analyze value-std": "the newest run",
    "asyppo analyze quadrant --steps last": "its last recorded step",
    "asyppo analyze curves RUN_A RUN_B": "two runs against each other",
    "asyppo analyze report SWEEP": "all runs of a sweep",
}


class AnalyzeCommands(TyperGroup):
    """The family, whose commands are known by name until one of them is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command of that name, or the only one that begins so."""
        name = full_name(cmd_name)
        module = importlib.import_module(f"asyppo_cli.commands.analyze.{name.replace('-', '_')}")
        command = typer.main.get_command(module.app)
        command.name = name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, without importing the commands that it lists."""
        from asyppo_cli import console
        from asyppo_cli.commands.overview import in_columns

        console.print("\nUsage: asyppo analyze COMMAND [RUN]... [OPTIONS]\n", style="bold")
        console.print(f"{self.help}\n")
        console.panel("Commands", in_columns(COMMANDS.items()), subtitle="asyppo analyze COMMAND --help")
        console.panel("Examples", in_columns(EXAMPLES.items()))


def full_name(typed: str) -> str:
    """The analysis that is meant."""
    begun = [name for name in COMMANDS if typed and name.startswith(typed)]
    if typed in COMMANDS or len(begun) == 1:
        return typed if typed in COMMANDS else begun[0]
    near = begun or difflib.get_close_matches(typed, COMMANDS, n=2, cutoff=0.4) or list(COMMANDS)
    raise ValueError(f"there is no analysis {typed!r}; nearest: {', '.join(near)}")


app = typer.Typer(cls=AnalyzeCommands, add_completion=False)


@app.callback()
def analyze() -> None:
    """See why a run learns, from a single token to a whole sweep. Without a run, the newest is taken."""
