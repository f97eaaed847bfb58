"""``asyppo eval``: scores of models on benchmarks. The first word is a command of this family or a benchmark.

Anything but a command is passed to ``run`` (``asyppo eval aime25 ...``). A command is imported when it is called.
"""

from __future__ import annotations

from typing import Any

import typer

from asyppo_cli.family import Family

# Name and help text; each is a module of this package with an ``app`` of one command.
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
    "asyppo eval ls": "all benchmarks",
    "asyppo eval grade answers.jsonl": "grade what another program has sampled",
}
# Options of the family itself; everything else is passed to ``run``.
_HELP = ("-h", "--help")


class EvalCommands(Family):
    """Scoring, and what goes with it."""

    package = __name__
    known = COMMANDS
    examples = EXAMPLES
    program = "asyppo eval"
    default = "run"
    usage = ("BENCHMARK... [OPTIONS]", "COMMAND [ARGUMENTS]...")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``run`` in front of anything but a command or a request for help."""
        if args and args[0] not in COMMANDS and args[0] not in _HELP:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=EvalCommands, add_completion=False)


@app.callback()
def evaluate() -> None:
    """Score models on benchmarks, and see where they differ."""
