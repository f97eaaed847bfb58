"""The short summary at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asyppo_cli import console
from asyppo_cli.console import Cell, Content
from asyppo_cli.display.drawing import format_change, format_duration, format_value


@dataclass(frozen=True)
class Summary:
    """What came out of a run. Accuracies and half-widths of their intervals in [0, 1], None where never evaluated.

    ``place`` is the run directory as the user can type it; ``commands`` what to do next: command and what for.
    """

    title: str
    steps: int
    max_steps: int
    before: float | None
    after: float | None
    before_halfwidth: float | None
    after_halfwidth: float | None
    best: float | None
    seconds: float
    tokens: int | None
    place: str
    commands: Sequence[tuple[str, str]]


def show_summary(summary: Summary) -> None:
    """Print it in a frame."""
    width = max((len(command) for command, _ in summary.commands), default=0)
    next_steps: list[Content] = [f"  {command:<{width}}   {purpose}" for command, purpose in summary.commands]
    if next_steps:
        next_steps = ["", Cell("next", "dim"), *next_steps]
    lines: list[Content] = [
        Cell(_accuracy(summary), "bold"),
        *_best(summary),
        Cell(_effort(summary), "dim"),
        f"everything is in {summary.place}",
        *next_steps,
    ]
    done = summary.steps >= summary.max_steps
    console.panel(summary.title, lines, style="green" if done else "yellow")


def _best(summary: Summary) -> list[Cell]:
    """Worth a line only where the end is not the best."""
    if summary.best is None or summary.after is None or summary.best <= summary.after:
        return []
    return [Cell(f"best on the way   {format_value(summary.best, 'percent')}", "dim")]


def _accuracy(summary: Summary) -> str:
    if summary.before is None or summary.after is None:
        return "held-out accuracy was not measured on both ends"
    before = _with_interval(summary.before, summary.before_halfwidth)
    after = _with_interval(summary.after, summary.after_halfwidth)
    change = format_change(summary.after - summary.before, "percent")
    return f"held-out accuracy   {before}  →  {after}   {change} points"


def _with_interval(value: float, halfwidth: float | None) -> str:
    return f"{100 * value:.1f} %" if halfwidth is None else f"{100 * value:.1f} ± {100 * halfwidth:.1f} %"


def _effort(summary: Summary) -> str:
    steps = f"{summary.steps} of {summary.max_steps} steps in {format_duration(summary.seconds)}"
    if summary.tokens is None:
        return steps
    rate = format_value(summary.tokens / max(summary.seconds, 1e-9), "count")
    return f"{steps}, {format_value(summary.tokens, 'count')} tokens, {rate} a second"
