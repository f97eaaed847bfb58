"""Watching a run: a live display on a terminal, plain lines elsewhere, and a summary at the end.

Implements the trainer's monitor protocol structurally: ``start``, ``phase``, ``step``, ``note``, ``close``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from asyppo_cli import console
from asyppo_cli.display.board import Board, Row

if TYPE_CHECKING:
    from asyppo_cli.display.live import LiveMonitor
    from asyppo_cli.display.plain import PlainMonitor
    from asyppo_cli.display.shield import ShieldedMonitor

__all__ = ["Board", "Row", "monitor", "shielded"]

# Plain lines end up in logs: one of them every few seconds is enough.
SECONDS_BETWEEN_LINES = 5.0


def monitor(board: Board, plain: bool = False) -> LiveMonitor | PlainMonitor:
    """The monitor that suits stdout: live on a terminal that can move its cursor, unless ``plain`` is asked for."""
    if plain or not console.is_terminal() or not console.shows_unicode():
        from asyppo_cli.display.plain import PlainMonitor

        return PlainMonitor(board, SECONDS_BETWEEN_LINES)
    from asyppo_cli.display.live import LiveMonitor

    return LiveMonitor(board)


def shielded(board: Board, lost: Callable[[], None]) -> ShieldedMonitor:
    """The monitor that suits stdout; if stdout goes away, it falls silent and calls ``lost``."""
    from asyppo_cli.display.shield import ShieldedMonitor

    return ShieldedMonitor(monitor(board), lost)
