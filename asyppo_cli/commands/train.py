"""``asyppo train``: one training run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated

import typer

from asyppo_cli.commands.config import ConfigDir, Overrides
from asyppo_cli.system import STOP_SIGNALS, catch_signals

if TYPE_CHECKING:
    from asyppo_cli.config.load import Loaded
    from asyppo_cli.config.schema import Config
    from asyppo_cli.monitor import Monitor
    from asyppo_cli.runs.directory import RunDirectory

EXAMPLES = """Examples:

asyppo train

asyppo train algorithm=grpo seed=2

asyppo train critic_count=4 mask_pct=0.15 --name four-critics

asyppo train policy.model=PATH critic_size=0.3 experiment=local_model

asyppo train --resume
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def train(
    overrides: Overrides = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    runs_dir: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run: --name, or the newest.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace a run of that name.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, write the configuration, stop.")
    ] = False,
    config_dir: ConfigDir = None,
) -> None:
    """Train a policy with its critics, and watch it learn."""
    if resume and fresh:
        raise ValueError("--resume goes on with a run and --fresh replaces it: choose one")
    if resume:
        run, loaded = reopen(runs_dir, name, overrides or [], config_dir and config_dir.resolve())
    else:
        from asyppo_cli import console
        from asyppo_cli.config.inert import only_warms_up
        from asyppo_cli.config.load import load

        loaded = load(overrides or [], config_dir)
        if warning := only_warms_up(loaded.config):
            console.warn(warning)
        if dry_run:
            return check_only(loaded, runs_dir, name)
        run = open_new(loaded, runs_dir, name, fresh)
    execute(run, loaded, resume)


def open_new(loaded: Loaded[Config], runs_dir: Path, name: str | None, fresh: bool) -> RunDirectory:
    """A new run directory with its configuration and environment written down; or nothing at all."""
    import shutil

    from asyppo_cli.extensions.files import file_texts, find_extensions, read_copies, write_copies
    from asyppo_cli.runs.directory import RunDirectory, create_run
    from asyppo_cli.runs.files.disk import explain_failed_writes
    from asyppo_cli.runs.files.lock import lock_run
    from asyppo_cli.runs.listing import algorithm_label

    # A trial uses the copies of its study.
    own = find_extensions(loaded.resolved, read_copies(RunDirectory(runs_dir).extensions))

    label = f"{algorithm_label(loaded.resolved)}-{loaded.config.task.name}"
    run = create_run(runs_dir, name, fresh, label, datetime.now())
    with ExitStack() as failed, explain_failed_writes(runs_dir, "make room, or choose another --runs-dir"):
        failed.callback(shutil.rmtree, run.path, ignore_errors=True)
        # Held until there is a configuration: without one, the folder is free for a new run.
        with lock_run(run.path, run.lock):
            write_copies(file_texts(own.values()), run.extensions)
            write_configuration(run, loaded)
        failed.pop_all()
    return run


def discard_untrained(run: RunDirectory, evaluated: bool = False) -> bool:
    """A mistake that showed before the first number was computed leaves no run behind, and its name free: True.

    ``evaluated``: also if the model was evaluated as it is before training, but no step was done.
    """
    import shutil

    from asyppo_cli.runs.metric_log import read_metrics
    from asyppo_cli.runs.metrics import STEP

    if any(not evaluated or row.get(STEP) for row in read_metrics(run.metrics).rows):
        return False
    shutil.rmtree(run.path)
    return True


def write_configuration(run: RunDirectory, loaded: Loaded[Config]) -> None:
    """The resolved configuration, the overrides as typed, and what machine and versions they meet."""
    import json

    import yaml

    from asyppo_cli.runs.environment import describe_environment
    from asyppo_cli.runs.files.atomic import replace_text

    replace_text(run.overrides, yaml.safe_dump(list(loaded.overrides)))
    replace_text(run.environment, json.dumps(describe_environment(sys.argv), indent=1) + "\n")
    # Last, since it is what makes the folder a run.
    replace_text(run.config, yaml.safe_dump(loaded.resolved, sort_keys=False))


def reopen(
    runs_dir: Path, name: str | None, overrides: list[str], config_dir: Path | None
) -> tuple[RunDirectory, Loaded[Config]]:
    """A run to resume, under its own configuration and those changes that leave it the same experiment."""
    from asyppo_cli import console
    from asyppo_cli.config.load import load, restore
    from asyppo_cli.config.resume import check_changes, schedule_notes
    from asyppo_cli.runs.directory import find_run
    from asyppo_cli.runs.listing import diff_configs, read_config, read_overrides

    run = from_start_folder(find_run(runs_dir, name))
    saved, typed = read_config(run), read_overrides(run)
    if not overrides:
        return run, restore(saved, typed, run.config)
    loaded = load([*typed, *overrides], config_dir)
    changes, learner = diff_configs(saved, loaded.resolved), loaded.config.learner
    schedules = {"learner.policy": learner.policy.schedule, "learner.critics": learner.critics.schedule}
    for note in [*check_changes(run.name, changes), *schedule_notes(changes, schedules)]:
        console.note(note)
    return run, loaded


def check_only(loaded: Loaded[Config], runs_dir: Path, name: str | None) -> None:
    """Check all that can be known before a model is loaded, and write the resolved configuration."""
    import yaml

    from asyppo_cli import console
    from asyppo_cli.runs.directory import check_name, check_runs_dir
    from asyppo_cli.runs.files.atomic import replace_text

    check_runs_dir(runs_dir)
    target = runs_dir / f"{'dry-run' if name is None else check_name(name)}.yaml"
    console.note("checking models, tokenizers, problems and prompts")
    from asyppo_cli.builders.loop import load_inputs, rehearse_extensions
    from asyppo_cli.builders.roles import rehearse_placement

    rehearse_extensions(loaded.config)
    inputs = load_inputs(loaded.config)
    for note in inputs.notes:
        console.note(note)
    rehearse_placement(loaded.config)
    prompt = inputs.prompts_at(0, 1)[0]
    resolved = yaml.safe_dump(loaded.resolved, sort_keys=False)
    try:
        replace_text(target, resolved)
    except OSError as error:
        raise ValueError(f"cannot write {target}: {error.strerror}: choose another --runs-dir") from error
    console.yaml(resolved)
    console.print(f"first prompt ({len(prompt.tokens)} tokens): {prompt.problem.question}")
    console.note(f"nothing was trained; the configuration is in {target}")


def execute(run: RunDirectory, loaded: Loaded[Config], resume: bool) -> None:
    """Train under the run's lock with a display, signals and a log; then say how it went."""
    from asyppo_cli import display
    from asyppo_cli.display.run_board import training_board
    from asyppo_cli.runs.attempt_log import AttemptLog
    from asyppo_cli.runs.files.disk import explain_failed_writes
    from asyppo_cli.runs.files.lock import lock_run

    stop = Event()
    full = f"run {run.name} has stopped: make room, then go on with --resume"
    with lock_run(run.path, run.lock), explain_failed_writes(run.path, full):
        if resume:
            write_configuration(run, loaded)
        # Whoever closes the pipe or the terminal has stopped watching: what has been learnt is saved.
        shown = display.shielded(training_board(loaded.config.critics.count), lost=stop.set)
        monitor = AttemptLog(shown, run.next_log(), datetime.now)
        try:
            finished = train_in(run, loaded.config, monitor, stop, resume)
        finally:
            monitor.close()
    show_outcome(run)
    if not finished:
        raise typer.Exit(1)


def train_in(run: RunDirectory, config: Config, monitor: Monitor, stop: Event, resume: bool) -> bool:
    """Train under signals; True if all steps are done. A new run that comes to nothing leaves nothing behind."""
    from asyppo_cli.extensions.function import ExtensionError

    monitor.phase("start")
    try:
        with stopping(stop, monitor):
            # torch and transformers take seconds to import: the display is up by now.
            from asyppo_cli.builders.train import train as session

            return session(config, run, monitor, stop, resume).finished
    except (ValueError, KeyboardInterrupt) as error:
        discarded = not resume and discard_untrained(run, isinstance(error, ExtensionError))
        if isinstance(error, ValueError):
            raise
        then = "nothing was computed yet" if discarded else f"go on with {how_to_resume(run)}"
        raise KeyboardInterrupt(f"stopped at once: {then}") from error


def how_to_resume(run: RunDirectory) -> str:
    """The command that goes on with a run."""
    from asyppo_cli.display.run_outcome import next_commands

    return next_commands(run, finished=False)[0][0]


@contextmanager
def stopping(stop: Event, monitor: Monitor) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a terminal that closes set ``stop``, so that the step is finished and saved; the second
    stops at once.
    """
    # Not printed within the handler: a signal may strike while the stream that the note goes to is being written.
    teller = Thread(target=monitor.note, args=("finishing this step and saving; once more to stop at once",))

    def handle(_number: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        teller.start()

    try:
        with catch_signals(handle, STOP_SIGNALS):
            yield
    finally:
        if teller.ident is not None:
            teller.join()


def show_outcome(run: RunDirectory) -> None:
    """The end of a run: what changed, and what to do next."""
    from asyppo_cli.display.run_outcome import run_outcome
    from asyppo_cli.display.summary import show_summary

    show_summary(run_outcome(run))


def from_start_folder(run: RunDirectory) -> RunDirectory:
    """The run, from the folder that it was started in: relative paths in its configuration are meant from there."""
    import json

    try:
        folder = Path(json.loads(run.environment.read_text(encoding="utf-8"))["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return run
    if not folder.is_dir() or folder.samefile(Path.cwd()):
        return run
    absolute = replace(run, path=run.path.resolve())
    os.chdir(folder)
    return absolute
