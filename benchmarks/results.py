"""Pages of results from finished studies: question, verdict, tables, figures, machine and command of each.

    asyppo sweep mask_pct=0,0.1,0.2 --seeds 5 --name mask
    python benchmarks/results.py runs/mask [runs/OTHER ...] [--output docs/results]

Reads the small files of run directories alone (config.yaml, overrides.yaml, environment.json, status.json and
metrics.jsonl), so it can be run again at any time and anywhere. Settings are what varies between the runs of a folder,
but for the seed. Every sentence is computed from the intervals.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from analysis.study_findings import answer
from analysis.study_folder import NUMBER_WORDS, read_study
from analysis.study_markdown import write_results
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.studies import PaperAblation, Study

# What the paper's ablations report for the values of an axis.
SOURCE = "arXiv 2510.01656, ablations"
PAPER: dict[str, tuple[str, dict[str, float]]] = {
    "critic_count": ("score", {"1": 0.677, "2": 0.714, "4": 0.712, "8": 0.718}),
    "mask_pct": ("score (%)", {"0.1": 48.4, "0.2": 51.2, "0.3": 48.3, "0.4": 40.0}),
    "entropy_filter_pct": ("score (%)", {"0.1": 37.4, "0.2": 47.8, "0.3": 40.2, "0.4": 47.8}),
    "mask_signal": ("score (%)", {"value_std": 51.0, "entropy": 47.0, "none": 46.0}),
    "aggregation": ("score", {"min": 0.697, "mean": 0.714}),
}


def paper_of(study: Study) -> PaperAblation | None:
    """What the paper says of the study's only axis, by setting."""
    keys = {key for trial in study.trials for key in trial.point}
    if len(keys) != 1:
        return None
    metric, values = PAPER.get(keys.pop().rpartition(".")[2], ("", {}))
    typed = {trial.setting: next(iter(trial.point.values())) for trial in study.trials}
    known = {
        setting: values[number]
        for setting, value in typed.items()
        if (number := NUMBER_WORDS.get(value, value)) in values
    }
    return PaperAblation(metric, SOURCE, known) if known else None


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
            found = answer(replace(study, paper=paper_of(study)))
            path = write_results(found, folder, chosen.output)
        except ValueError as error:
            print(f"{folder}: {error}")
            failed = True
            continue
        print("\n".join([f"{path}", *(f"  {line}" for line in found.findings())]))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
