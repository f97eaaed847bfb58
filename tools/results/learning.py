"""The methods against each other: tables, verdicts and curves from sweeps that are finished.

    asyppo sweep algorithm=asyppo,ppo,asymmetric_single,grpo utd=one --seeds 3 --jobs 2 --name NAME
    python -m tools.results.learning runs/NAME [runs/OTHER ...] [--output docs/results]

Reads run directories alone, so it can be run again at any time, and writes ``baselines.md``, ``baselines.csv`` and
``curves.png``, ``.svg``, ``.csv``. Every sentence is computed from the intervals.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.stats.intervals import Interval, SettingRow, differences, sentence, setting_rows
from analysis.stats.results import Result, read_overrides, read_result, varying
from analysis.study.reproduce import machines
from asyppo_cli.runs.directory import RunDirectory, run_directories
from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.runs.listing import lookup, read_config
from tools.results.curves import learning_curves, save_curves

REFERENCE = "asyppo"
# The axes of the comparison; anything else has to be the same in all runs of a folder.
AXES = ("algorithm", "utd", "seed")
# Says how fast a run is, not what it computes.
FREE = ("learner.threads",)
COLUMNS = ("algorithm", "utd", "seed", "steps", "accuracy_before", "accuracy_after", "gained")
COLUMNS += ("seconds_per_step", "seconds", "heldout_problems")
TITLES = (
    "method",
    "seeds",
    "steps",
    "before (%)",
    "after (%)",
    "gained (points)",
    "seconds per step",
    "seconds in all",
)


@dataclass(frozen=True)
class Run:
    """A finished run with its place in the comparison."""

    directory: RunDirectory
    utd: int
    result: Result


def main() -> int:
    """Write everything; exit 1 if there is nothing to write about."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweeps", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    chosen = parser.parse_args()
    runs, left_out = read_runs(chosen.sweeps)
    if not runs:
        print("no finished run in " + ", ".join(map(str, chosen.sweeps)))
        return 1
    panels = {utd: [run.result for run in runs if run.utd == utd] for utd in sorted({run.utd for run in runs})}
    replace_text(chosen.output / "baselines.csv", runs_csv(runs))
    save_curves({f"UTD {utd}": learning_curves(results) for utd, results in panels.items()}, chosen.output / "curves")
    replace_text(chosen.output / "baselines.md", "\n".join(document(chosen.sweeps, runs, panels, left_out)) + "\n")
    print(f"{len(runs)} runs in {chosen.output}/baselines.md" + "".join(f"\nleft out: {reason}" for reason in left_out))
    return 0


def read_runs(folders: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """All finished runs, and why each other one is left out."""
    runs, left_out = [], []
    for folder in folders:
        directories = run_directories(folder)
        odd = [key for key in varying([read_overrides(run) for run in directories]) if key not in (*AXES, *FREE)]
        if odd:
            raise SystemExit(f"{folder}: the runs differ in {', '.join(odd)} too, so they cannot be compared")
        for directory in directories:
            try:
                runs.append(read_run(directory))
            except ValueError as error:
                left_out.append(str(error))
    order = list(dict.fromkeys([REFERENCE, "ppo", "asymmetric_single", "grpo", *(r.result.setting for r in runs)]))
    return sorted(runs, key=lambda run: (run.utd, order.index(run.result.setting), run.result.seed)), left_out


def read_run(directory: RunDirectory) -> Run:
    """A run by its algorithm's name and the updates per sample that it really made."""
    algorithm = read_overrides(directory).get("algorithm", REFERENCE)
    utd = int(lookup(read_config(directory), "training.utd", 1))
    return Run(directory, utd, read_result(directory, algorithm))


def runs_csv(runs: Iterable[Run]) -> str:
    """One line a run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in runs:
        r = run.result
        scores = [f"{value:.6f}" for value in (r.before, r.after, r.after - r.before)]
        times = [f"{r.step_seconds:.3f}", f"{r.seconds:.1f}"]
        writer.writerow([r.setting, run.utd, r.seed, r.steps[-1], *scores, *times, r.problems])
    return text.getvalue()


def document(
    folders: Sequence[Path], runs: Sequence[Run], panels: dict[int, list[Result]], left_out: Sequence[str]
) -> list[str]:
    """The page, line by line."""
    lines = ["# AsyPPO and its baselines on the embedded default", "", *introduction(runs), ""]
    lines += ["![Held-out accuracy by training step](curves.png)", ""]
    lines += ["Lines are means over seeds, bands 95 % intervals over seeds. The numbers: [curves.csv](curves.csv),"]
    lines += ["one line a run in [baselines.csv](baselines.csv).", ""]
    for utd, results in panels.items():
        lines += [f"## {utd} update{'s' if utd > 1 else ''} per sample", "", *setting_table(results), ""]
        lines += [f"* {sentence(difference)}." for difference in differences(results, REFERENCE)]
        lines += ["", f"**{verdict(results)}**", ""]
    lines += ["## The default, seed by seed", "", *seed_table(panels[min(panels)]), ""]
    lines += ["## How it was made", "", "```", *map(command, folders)]
    lines += [f"python -m tools.results.learning {' '.join(f'runs/{folder.name}' for folder in folders)}", "```", ""]
    lines += [f"* {line}" for line in machines([run.directory for run in runs])]
    return lines + [f"* Left out: {reason}" for reason in left_out]


def introduction(runs: Sequence[Run]) -> list[str]:
    """What was compared, and how the numbers are to be read."""
    config = read_config(runs[0].directory)
    batches = dict.fromkeys(batch(run) for run in runs)
    same = "the same for every method" if len(batches) == 1 else "depending on the method"
    problems = sorted({run.result.problems for run in runs})
    noise = max(1.96 * math.sqrt(r.after * (1 - r.after) / r.problems) for r in (run.result for run in runs))
    return [
        f"Task `{lookup(config, 'task.name', '?')}`, policy `{lookup(config, 'policy.model', '?')}`, "
        f"{' or '.join(batches)} a step, {same}.",
        f"Accuracy is measured on {' or '.join(f'{n:,}' for n in problems)} held-out problems at temperature "
        f"{lookup(config, 'evaluation.temperature', '?')}, the same ones for every run; one such measurement is exact "
        f"to ± {100 * noise:.1f} points by itself.",
        "",
        "± is the 95 % t interval over seeds. Differences are paired by seed; nothing is corrected for the number of "
        "comparisons. Seconds depend on what else the machine was doing: compare them roughly.",
    ]


def batch(run: Run) -> str:
    """What a step samples."""
    config = read_config(run.directory)
    return f"{lookup(config, 'rollout.prompts', '?')} prompts x {lookup(config, 'rollout.responses', '?')} responses"


def setting_table(results: Sequence[Result]) -> list[str]:
    """A row for each method."""
    lines = [
        "| method | seeds | steps | before (%) | after (%) | gained (points) | seconds per step | seconds in all |"
    ]
    lines += ["|---|---:|---:|---:|---:|---:|---:|---:|"]
    for row in setting_rows(results):
        steps = max(r.steps[-1] for r in results if r.setting == row.setting)
        cells = [row.setting, len(row.seeds), steps, *map(points, (row.before, row.after, row.gained))]
        cells += [spread_of(row.step_seconds, 2), spread_of(row.seconds, 0)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def seed_table(results: Sequence[Result]) -> list[str]:
    """Every seed of the default."""
    own = [r for r in results if r.setting == REFERENCE]
    if not own:
        return ["No run of the default is finished."]
    lines = ["| seed | before (%) | after (%) | gained (points) | seconds in all |", "|---:|---:|---:|---:|---:|"]
    for r in own:
        shares = [f"{100 * value:.1f}" for value in (r.before, r.after, r.after - r.before)]
        lines.append(f"| {r.seed} | {' | '.join(shares)} | {r.seconds:.0f} |")
    least = min(own, key=lambda r: r.after - r.before)
    return [
        *lines,
        "",
        f"The least gain is {100 * (least.after - least.before):+.1f} points (seed {least.seed}), the longest run "
        f"{max(r.seconds for r in own):.0f} seconds.",
    ]


def verdict(results: Sequence[Result]) -> str:
    """What the intervals allow to be said in one sentence."""
    rows: dict[str, SettingRow] = {row.setting: row for row in setting_rows(results)}
    learned = [name for name, row in rows.items() if row.gained.known and row.gained.low > 0]
    found = [d for d in differences(results, REFERENCE) if d.interval.known]
    better = [d.setting for d in found if d.interval.low > 0]
    worse = [d.setting for d in found if d.interval.high < 0]
    same = [d.setting for d in found if d.setting not in (*better, *worse)]
    said = [f"Learning is beyond the spread of seeds for {listed(learned)}"]
    said += [f"{listed(better)} end above {REFERENCE}"] if better else []
    said += [f"{listed(worse)} end below {REFERENCE}"] if worse else []
    said += [f"{listed(same)} cannot be told from {REFERENCE} at this number of seeds"] if same else []
    return "; ".join(said) + "."


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "no method"


def points(interval: Interval) -> str:
    """An accuracy or a change of it in percent."""
    return spread_of(Interval(*(100 * x for x in (interval.mean, interval.low, interval.high)), interval.n), 1)


def spread_of(interval: Interval, digits: int) -> str:
    """Mean ± half width, the mean alone where there is no interval."""
    text = f"{interval.mean:.{digits}f}"
    return f"{text} ± {interval.halfwidth:.{digits}f}" if interval.known else text


def command(folder: Path) -> str:
    """The sweep that makes the runs of a folder, from what they were started with."""
    overrides = [read_overrides(run) for run in run_directories(folder)]
    swept = varying(overrides)
    settings = {key: swept.get(key, [value]) for key, value in overrides[0].items() if key not in FREE}
    typed = [f"{key}={','.join(values)}" for key, values in settings.items()]
    return f"asyppo sweep {shlex.join(typed)} --jobs 2 --name {folder.name}"


if __name__ == "__main__":
    raise SystemExit(main())
