"""Draw the pictures of docs/analysis.md from a run and a sweep.

python tools/gallery.py RUN SWEEP [--runs-dir runs] [--output docs/images/analysis]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from asyppo_cli.app import run

CURVES = "eval/accuracy,reward/mean,policy/entropy"


def commands(name: str, sweep: str) -> list[list[str]]:
    """What is typed for each picture, options that all share left out."""
    return [
        ["value-std", name],
        ["quadrant", name],
        ["wordcloud", name],
        ["curves", sweep, "--metric", CURVES],
        ["curves", sweep, "--summary"],
    ]


def main() -> None:
    """Draw all pictures into a scratch folder and keep the SVG files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("sweep")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--output", type=Path, default=Path("docs/images/analysis"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        shared = ["--runs-dir", str(arguments.runs_dir), "--format", "svg", "--output", scratch]
        for command in commands(arguments.run, arguments.sweep):
            run(["analyze", *command, *shared])
        for path in sorted(Path(scratch).glob("*.svg")):
            shutil.copy(path, arguments.output / path.name)


if __name__ == "__main__":
    main()
