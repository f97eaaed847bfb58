"""Pages of results from finished studies: question, verdict, tables, figures, machine and command of each.

    asyppo sweep mask_pct=0,0.1,0.2 --seeds 5 --name mask
    python -m tools.results.page runs/mask [runs/OTHER ...] [--output docs/results]

Reads the small files of run directories alone (config.yaml, overrides.yaml, environment.json, status.json and
metrics.jsonl), so it can be run again at any time and anywhere. Settings are what varies between the runs of a folder,
but for the seed. A folder called after a study that is shipped has that study's question, baseline and numbers of the
paper; --definition names another one. Every sentence is computed from the intervals.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from analysis.study.findings import answer_study
from tools.results.markdown import write_results
from tools.results.study_folder import Definition, read_definition, read_study

SHIPPED = Path(__file__).parents[2] / "sweeps" / "studies"


def main() -> int:
    """Write a page for each folder; exit 1 if one holds nothing to write about."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--definition", type=Path, help="YAML of the study; default: the shipped one of that name")
    parser.add_argument("--question", help="what was asked, the title of the page")
    parser.add_argument("--baseline", help="the setting that others are compared with; default: the first")
    parser.add_argument("--metric", help="judged by its last value; default: held-out accuracy")
    parser.add_argument("--direction", choices=("maximize", "minimize"))
    chosen = parser.parse_args()
    failed = False
    for folder in chosen.studies:
        try:
            answer = answer_study(read_study(folder, definition_of(folder, chosen)))
            path = write_results(answer, folder, chosen.output)
        except ValueError as error:
            print(f"{folder}: {error}")
            failed = True
            continue
        print("\n".join([f"{path}", *(f"  {line}" for line in answer.findings())]))
    return int(failed)


def definition_of(folder: Path, chosen: argparse.Namespace) -> Definition:
    """The definition of a folder's study, with what the command line says else."""
    shipped = SHIPPED / f"{folder.resolve().name}.yaml"
    path = chosen.definition or (shipped if shipped.exists() else None)
    definition = read_definition(path) if path else Definition()
    given = {name: getattr(chosen, name) for name in ("question", "baseline", "metric", "direction")}
    return replace(definition, **{name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    raise SystemExit(main())
