"""``asyppo sweep``: many runs, side by side, and what came out of them.

The first word decides: a command of this family, or what is to be swept: ``asyppo sweep mask_pct=0.1,0.2`` and
``asyppo sweep critic_count`` are ``run`` with all words. A command is imported when it is called.
"""

from __future__ import annotations

from typing import Any

import typer

from asyppo_cli.family import Family

# Name, and what help says of it; each is a module of this package with an ``app`` of one command.
COMMANDS = {
    "run": "Run a grid, a search, or a study of the paper's; the word run may be left out.",
    "ls": "List the studies of the paper that can be run by name, and those that there are.",
    "show": "Show how a study stands and what came out.",
    "join": "Work at a study that was begun elsewhere.",
}
EXAMPLES = {
    "asyppo sweep mask_pct=0.1,0.2,0.3 --seeds 3": "a grid",
    "asyppo sweep critic_count": "a study of the paper's, at the embedded default's scale",
    "asyppo sweep 'mask_pct=interval(0,0.5)' --trials 20 --direction maximize": "a search",
    "asyppo sweep show critic_count": "how it stands",
}
# What only a command of its own can be asked; everything else belongs to ``run``.
_HELP = ("-h", "--help")


class SweepCommands(Family):
    """Sweeping, and what goes with it."""

    package = __name__
    known = COMMANDS
    examples = EXAMPLES
    program = "asyppo sweep"
    usage = ("[STUDY] [KEY=VALUE,VALUE]... [OPTIONS]", "COMMAND [ARGUMENTS]...")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``run`` in front of anything that is neither a command nor a cry for help."""
        if args and args[0] not in COMMANDS and args[0] not in _HELP:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=SweepCommands, add_completion=False)


@app.callback()
def sweep() -> None:
    """Run grids, searches and the paper's studies, and compare what came out."""
