"""Draw the README's picture: the live display of a real run, replayed from its metrics.

python tools/pictures.py RUN_DIRECTORY [--step 56] [--output docs/images/run.svg]
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from rich.console import Console

from asyppo_cli.display.live import LiveMonitor
from asyppo_cli.display.run_board import training_board
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.listing import lookup, read_config
from asyppo_cli.runs.metric_log import read_metrics


class RecordedClock:
    """A clock that tells the run's own time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds since the run began."""
        return self.now


def draw(run: RunDirectory, until: int, width: int) -> str:
    """The display after step ``until`` as SVG."""
    console = Console(
        record=True, width=width, height=30, force_terminal=True, color_system="truecolor", file=io.StringIO()
    )
    config, clock = read_config(run), RecordedClock()
    monitor = LiveMonitor(training_board(lookup(config, "critics.count", 0)), console, clock)
    # Only the last frame is wanted: the display is fed without being opened.
    monitor._closed = True
    monitor.start(run.name, lookup(config, "max_steps", 0), 0)
    for row in read_metrics(run.metrics).rows:
        if row[names.STEP] > until:
            break
        clock.now += row.get(names.STEP_TIME, 0.0) + row.get(names.time("evaluate"), 0.0)
        monitor.step(int(row[names.STEP]), row)
    monitor._closed = False
    monitor._phase = "policy"
    monitor._live = object()  # type: ignore[assignment]
    console.print(monitor)
    return console.export_svg(title="asyppo train")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--step", type=int, default=56)
    parser.add_argument("--width", type=int, default=124)
    parser.add_argument("--output", type=Path, default=Path("docs/images/run.svg"))
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(draw(RunDirectory(arguments.run), arguments.step, arguments.width), encoding="utf-8")
    print(arguments.output)


if __name__ == "__main__":
    main()
