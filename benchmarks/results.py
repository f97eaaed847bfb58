"""Pages of results from finished studies: question, verdict, tables, figures, machine and command of each.

    asyppo sweep mask_pct=0,0.1,0.2 --seeds 5 --name mask
    python benchmarks/results.py runs/mask [runs/OTHER ...] [--output docs/results]

Reads run directories alone (config.yaml, overrides.yaml, environment.json, status.json, metrics.jsonl), so it can be run
again at any time and anywhere. Settings are what varies between the runs of a folder, but for the seed. Every sentence is
computed from the intervals.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.study_answer import answer
from analysis.study_folder import read_study
from analysis.study_markdown import write_results
from asyppo_cli.runs import metrics as names


def main() -> int:
    """Write a page for each folder; exit 1 if one holds nothing to write about."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--question", help="what was asked, the title of the page")
    parser.add_argument("--baseline", help="the setting that others are compared with; default: the first")
    parser.add_argument("--metric", default=names.ACCURACY, help="judged by its last value")
    parser.add_argument("--direction", choices=("maximize", "minimize"), default="maximize")
    chosen = parser.parse_args()
    failed = False
    for folder in chosen.studies:
        try:
            study = read_study(folder, chosen.question, chosen.baseline, None, chosen.metric, chosen.direction)
            found = answer(study)
            path = write_results(found, folder, chosen.output)
        except ValueError as error:
            print(f"{folder}: {error}")
            failed = True
            continue
        print("\n".join([f"{path}", *(f"  {line}" for line in found.findings())]))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
