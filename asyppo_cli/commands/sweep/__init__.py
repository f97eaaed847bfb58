"""``asyppo sweep``: grids, searches and studies of many runs.

If the first word is not one of the commands, ``run`` is meant: ``asyppo sweep mask_pct=0.1,0.2``. A command is imported
when it is called.
"""

from __future__ import annotations

from typing import Any

import typer

from asyppo_cli.family import Family

# Name, and what help says of it; each is a module of this package with an ``app`` of one command.
COMMANDS = {
    "run": "Run a grid, a search, or one of the paper's studies; the word run may be left out.",
    "ls": "List the paper's studies and the studies that have been started.",
    "show": "Show the state and the results of a study.",
    "join": "Add a worker to an existing study.",
}
EXAMPLES = {
    "asyppo sweep mask_pct=0.1,0.2,0.3 --seeds 3": "a grid",
    "asyppo sweep critic_count": "one of the paper's studies, at the scale of the embedded model",
    "asyppo sweep 'mask_pct=interval(0,0.5)' --trials 20 --direction maximize": "a search",
    "asyppo sweep show critic_count": "its state and results",
}
# Options of the group itself; all others are options of ``run``.
_HELP = ("-h", "--help")


class SweepCommands(Family):
    """The commands of ``asyppo sweep``."""

    package = __name__
    known = COMMANDS
    examples = EXAMPLES
    program = "asyppo sweep"
    default = "run"
    usage = ("[STUDY] [KEY=VALUE,VALUE]... [OPTIONS]", "COMMAND [ARGUMENTS]...")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert ``run`` unless the first word is a command or asks for help."""
        if args and args[0] not in COMMANDS and args[0] not in _HELP:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=SweepCommands, add_completion=False)


@app.callback()
def sweep() -> None:
    """Run grids, searches and the paper's studies, and compare the results."""
