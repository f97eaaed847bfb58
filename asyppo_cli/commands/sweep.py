"""``asyppo sweep``: a grid of runs over settings and seeds, side by side, and what came out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from analysis.comparison import Interval
    from sweeps.grid import Trial
    from sweeps.process import TrainLauncher
    from sweeps.runner import Outcome
    from sweeps.standing import Progress

EXAMPLES = """Examples:

asyppo sweep mask_pct=0.1,0.2,0.3 --seeds 3

asyppo sweep algorithm=asyppo,grpo utd=one,four --seeds 3 --jobs 2 --name baselines

asyppo sweep critic_count=1,2,4 max_steps=40 --dry-run
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def sweep(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings as for train; several values with commas are a grid.", show_default=False),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Run every setting with seeds 1 to N.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once; they share the cores.")] = 1,
    name: Annotated[str | None, typer.Option(help="Name of the sweep; default: what is swept.")] = None,
    runs_dir: Annotated[Path, typer.Option(help="Folder of all runs; the sweep is a folder in it.")] = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and list all trials, start none.")] = False,
    config_dir: Annotated[Path | None, typer.Option(help="Folder with configuration groups of your own.")] = None,
) -> None:
    """Run a grid of settings and seeds, and compare what came out.

    The same command goes on where a sweep stopped: a run that is finished is not repeated.
    """
    from asyppo_cli import console
    from asyppo_cli.runs.directory import check_name
    from sweeps.grid import axis_names, expand
    from sweeps.process import TrainLauncher, usable_cores

    trials = expand(overrides or [], seeds)
    folder = runs_dir / check_name(name or "_".join(axis_names(trials)))
    launcher = TrainLauncher(folder, max(1, usable_cores() // jobs), config_dir)
    check(trials, launcher)
    console.print(f"{folder}/: {len(trials)} runs, {jobs} at once")
    if dry_run:
        list_trials(trials)
        return
    outcomes = carry_out(trials, launcher, jobs, overrides or [])
    tell(folder, outcomes)
    unfinished = [trial for trial in trials if trial.name not in {o.trial.name for o in outcomes if finished(o)}]
    if unfinished:
        console.warn(f"{len(unfinished)} of {len(trials)} runs are not finished; go on with the same command")
        raise typer.Exit(1)


def finished(outcome: Outcome) -> bool:
    """Whether a trial came to its end."""
    return outcome.state == "finished"


def check(trials: Sequence[Trial], launcher: TrainLauncher) -> None:
    """Compose and validate every trial's configuration before the first one starts.

    Raises:
        ValueError: a configuration is wrong, or the trial's folder holds another one's run.
    """
    from asyppo_cli.config.load import load
    from asyppo_cli.runs.directory import check_name
    from sweeps.process import with_threads
    from sweeps.standing import check_same, run_of

    for trial in trials:
        try:
            loaded = load(with_threads(trial.overrides, launcher.threads), launcher.config_dir)
        except ValueError as error:
            raise ValueError(f"trial {trial.name}: {error}") from error
        check_same(run_of(launcher.folder, check_name(trial.name)), loaded.resolved)


def list_trials(trials: Sequence[Trial]) -> None:
    """The names of all trials and their points."""
    from asyppo_cli import console
    from asyppo_cli.console import Column

    columns = [Column("run", style="bold"), *map(Column, trials[0].point)]
    console.table(columns, [[trial.name, *trial.point.values()] for trial in trials])
    console.note("nothing was started")


def carry_out(trials: Sequence[Trial], launcher: TrainLauncher, jobs: int, typed: Sequence[str]) -> list[Outcome]:
    """Run the trials with a line for whatever happens, and keep the sweep's record up to date."""
    from sweeps.record import write_record
    from sweeps.runner import Place, run_trials

    ended: dict[str, Outcome] = {}

    def note(outcome: Outcome) -> None:
        ended[outcome.trial.name] = outcome
        write_record(launcher.folder, typed, trials, ended)

    def why(trial: Trial) -> str | None:
        lines = launcher.errors(trial).read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1].removeprefix("error: ") if said else None

    write_record(launcher.folder, typed, trials, ended)
    return run_trials(trials, Place(launcher.folder, launcher, why), jobs, Lines(len(trials), note))


class Lines:
    """Progress as plain lines: a start, an evaluation, an end."""

    def __init__(self, total: int, note: Callable[[Outcome], None]) -> None:
        self._total, self._note = total, note
        self._over = 0
        self._told: dict[str, int] = {}

    def started(self, trial: Trial, resumed: bool) -> None:
        """A trial begins or goes on."""
        self._say(trial, "goes on" if resumed else "starts")

    def progress(self, trial: Trial, progress: Progress) -> None:
        """A line for every evaluation."""
        if progress.evaluated > self._told.get(trial.name, -1):
            self._told[trial.name] = progress.evaluated
            accuracy = f"accuracy {100 * progress.accuracy:.1f} %"
            self._say(trial, f"step {progress.evaluated} of {progress.max_steps}, {accuracy}")

    def ended(self, outcome: Outcome) -> None:
        """A trial is over, or was before."""
        self._over += 1
        self._note(outcome)
        text = outcome.state if outcome.repeated else "finished before, not repeated"
        self._say(outcome.trial, text + (f": {outcome.reason}" if outcome.reason else ""))

    def stopping(self, running: int) -> None:
        """A signal came."""
        from asyppo_cli import console

        console.note(f"{running} runs are finishing their step and saving; once more to stop at once")

    def _say(self, trial: Trial, text: str) -> None:
        from asyppo_cli import console

        console.print(f"[{self._over}/{self._total}]  {trial.name}  {text}")


def tell(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """The table of settings, and what may be said of their differences."""
    from analysis.comparison import differences, sentence, setting_rows
    from analysis.results import read_result
    from asyppo_cli import console
    from asyppo_cli.console import Column
    from sweeps.standing import run_of

    results = [read_result(run_of(folder, o.trial.name), o.trial.setting) for o in outcomes if finished(o)]
    if not results:
        return
    titles = ("seeds", "before", "after", "gained", "seconds", "s per step")
    columns = [Column("setting", style="bold"), *(Column(title, "right") for title in titles)]
    console.heading("Held-out accuracy in %, mean over seeds ± 95 % interval")
    rows = setting_rows(results)
    console.table(
        columns,
        [
            [
                row.setting,
                str(len(row.seeds)),
                *(percent(interval) for interval in (row.before, row.after, row.gained)),
                f"{row.seconds.mean:.0f}",
                f"{row.step_seconds.mean:.2f}",
            ]
            for row in rows
        ],
    )
    for difference in differences(results):
        console.print(sentence(difference))


def percent(interval: Interval) -> str:
    """``83.1 ± 2.4``, or the mean alone where one seed gives no interval."""
    mean = f"{100 * interval.mean:.1f}"
    return f"{mean} ± {100 * interval.halfwidth:.1f}" if interval.known else mean
