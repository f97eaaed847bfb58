"""What came out of a sweep, in words and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from analysis.comparison import Interval, differences, sentence, setting_rows
from analysis.results import read_result
from asyppo_cli import console
from asyppo_cli.console import Column
from asyppo_cli.runs.studies import Study, StudyTrial
from sweeps.standing import run_of

# Of a study of thousands, the best are enough to see.
MOST = 10


def tell(study: Study, folder: Path) -> None:
    """The result of a study, as far as it has got."""
    tell_states(study)
    if study.kind == "search":
        tell_best(study)
    else:
        tell_settings(study, folder)


def tell_states(study: Study) -> None:
    """How many trials stand how, and why those that failed did."""
    counts = Counter(trial.state for trial in study.trials)
    console.print(f"{study.name}: " + ", ".join(f"{number} {state}" for state, number in counts.items()))
    failed = [trial for trial in study.trials if trial.state == "failed"]
    for trial in failed[:MOST]:
        console.warn(f"{trial.name} failed: {trial.reason}")
    if len(failed) > MOST:
        console.warn(f"and {len(failed) - MOST} more failed")


def tell_best(study: Study) -> None:
    """The best trials of a search; with several objectives, those that no other beats in all."""
    finished = [trial for trial in study.trials if trial.state == "finished"]
    if not finished:
        return
    several = len(study.objectives) > 1
    best = pareto(study, finished) if several else sorted(finished, key=lambda trial: losses(study, trial))
    metrics = [objective.metric for objective in study.objectives]
    console.heading("No other trial is better in everything" if several else f"Best by {metrics[0]}")
    keys = list(dict.fromkeys(key for trial in best for key in trial.point))
    columns = [Column("trial", style="bold"), *(Column(title, "right") for title in (*metrics, *keys))]
    rows = [
        [trial.name, *(f"{value:.4g}" for value in trial.values), *(short(trial.point.get(key, "")) for key in keys)]
        for trial in best[:MOST]
    ]
    console.table(columns, rows)


def short(value: str) -> str:
    """A value of a point; a number that a sampler has drawn to four digits, as its run has all of them."""
    drawn = "." in value and value.replace(".", "").replace("e-", "").isdigit()
    return f"{float(value):.4g}" if drawn else value


def losses(study: Study, trial: StudyTrial) -> tuple[float, ...]:
    """The trial's values, turned so that less is better."""
    pairs = zip(study.objectives, trial.values, strict=True)
    return tuple(-value if objective.direction == "maximize" else value for objective, value in pairs)


def pareto(study: Study, trials: Sequence[StudyTrial]) -> list[StudyTrial]:
    """The trials that no other is at least as good as in everything and better in something."""
    front: list[tuple[tuple[float, ...], StudyTrial]] = []
    # Whoever comes first in this order cannot be beaten by one that comes later.
    for mine, trial in sorted(((losses(study, trial), trial) for trial in trials), key=lambda pair: pair[0]):
        if not any(all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine for other, _ in front):
            front.append((mine, trial))
    return [trial for _, trial in front]


def tell_settings(study: Study, folder: Path) -> None:
    """The table of settings, and what may be said of their differences."""
    finished = [trial for trial in study.trials if trial.state == "finished"]
    here = [trial for trial in finished if run_of(folder, trial.name).exists()]
    if len(here) < len(finished):
        console.note(f"{len(finished) - len(here)} runs are on another machine, and not in the table")
    results = [read_result(run_of(folder, trial.name), trial.setting) for trial in here]
    if not results:
        return
    titles = ("seeds", "before", "after", "gained", "seconds", "s per step")
    columns = [Column("setting", style="bold"), *(Column(title, "right") for title in titles)]
    console.heading("Held-out accuracy in %, mean over seeds ± 95 % interval")
    rows = [
        [
            row.setting,
            str(len(row.seeds)),
            *(percent(interval) for interval in (row.before, row.after, row.gained)),
            f"{row.seconds.mean:.0f}",
            f"{row.step_seconds.mean:.2f}",
        ]
        for row in setting_rows(results)
    ]
    console.table(columns, rows)
    for difference in differences(results, study.baseline):
        console.print(sentence(difference))


def percent(interval: Interval) -> str:
    """``83.1 ± 2.4``, or the mean alone where one seed gives no interval."""
    mean = f"{100 * interval.mean:.1f}"
    return f"{mean} ± {100 * interval.halfwidth:.1f}" if interval.known else mean
