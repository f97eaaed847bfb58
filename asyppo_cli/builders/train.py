"""A training run as a session: build, resume if asked to, train, and leave the run directory in a known state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

from asyppo_cli.builders.fingerprint import check_unchanged, fingerprint
from asyppo_cli.builders.loop import build_grader, build_loop, build_rewards, load_inputs
from asyppo_cli.builders.roles import open_cluster
from asyppo_cli.config.schema import Config
from asyppo_cli.extensions.files import check_same_files, extension_digests, find_extensions, read_copies
from asyppo_cli.extensions.function import Extension
from asyppo_cli.monitor import Monitor
from asyppo_cli.openmp import busy_notice
from asyppo_cli.ports import WorkerLost
from asyppo_cli.runs.checkpoints import CheckpointStore, checkpoints, good
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.journal import RunJournal
from asyppo_cli.runs.sinks import open_sinks
from asyppo_cli.system import competing_threads, usable_cores
from asyppo_cli.tasks.data.problems import describe_source
from asyppo_cli.training.loop import DivergenceError


@dataclass
class TrainingResult:
    """How a session ended: steps done, whether those are all."""

    step: int = 0
    finished: bool = False


def train(config: Config, run: RunDirectory, monitor: Monitor, stop: Event, resume: bool) -> TrainingResult:
    """Train in ``run``, whose lock is held, until all steps are done or ``stop`` is set.

    Raises:
        ValueError: the configuration asks for something that is not there or does not fit.
        RuntimeError: a loss or gradient was not finite.
    """
    monitor.phase("load")
    if notice := busy_notice(usable_cores(), competing_threads()):
        monitor.note(notice)
    extensions = find_run_extensions(config, run)
    inputs = load_inputs(config)
    check_unchanged(run.inputs, fingerprint(config) | extension_digests(extensions))
    source = describe_source(config.task)
    for note in [*inputs.notes, *([source] if source else [])]:
        monitor.note(note)
    store = CheckpointStore(run.checkpoints, config.checkpoints.keep)
    checkpoint, notices = store.latest() if resume else (None, [])
    for notice in notices:
        monitor.note(notice)
    logging = config.logging
    sinks = open_sinks(
        run, logging.wandb, logging.wandb_project, logging.tensorboard, config.model_dump(), monitor.note
    )
    step = None if checkpoint is None else checkpoint.step
    if step is not None and step > config.max_steps:
        raise ValueError(f"max_steps={config.max_steps}: run {run.name} has done {step} steps: choose at least as many")
    logs = run.last_log().with_suffix("")
    journal = RunJournal(run, config.max_steps, step, store, sinks, lambda: datetime.now(UTC))
    with (
        recorded_outcome(journal) as ending,
        naming_checkpoint(store),
        closing(build_grader(config)) as grader,
        build_rewards(config, extensions) or nullcontext() as rewards,
        open_cluster(config, run.config, logs, monitor) as cluster,
        closing(build_loop(config, inputs, grader, journal, monitor, cluster, logs, extensions, rewards)) as loop,
    ):
        if checkpoint is not None:
            loop.resume(checkpoint.path)
            monitor.note(f"resuming after step {checkpoint.step}")
        else:
            loop.sync_sampler()
            if resume:
                monitor.note("no checkpoint yet: the run starts from its beginning")
        store.rehearse(loop.write_state)
        monitor.start(run.name, config.max_steps, loop.step)
        ending.finished = loop.run(stop)
        ending.step = loop.step
    return ending


def find_run_extensions(config: Config, run: RunDirectory) -> dict[str, Extension]:
    """The user's functions by key, from the run's own copies; ValueError if the files have changed since."""
    resolved, copies = config.model_dump(), read_copies(run.extensions)
    used = find_extensions(resolved, copies)
    study = RunDirectory(run.path.parent)
    check_same_files(used, find_extensions(resolved, read_copies(study.extensions), spare=copies), "run")
    return used


@contextmanager
def naming_checkpoint(store: CheckpointStore) -> Iterator[None]:
    """Add to a run's failure from which checkpoint it can be resumed."""
    try:
        yield
    except (WorkerLost, DivergenceError) as error:
        saved = good(checkpoints(store.directory))
        if saved:
            left = f"the last good checkpoint is that of step {saved[-1].step}: go on with --resume"
        else:
            left = "there is no good checkpoint yet: start over with --fresh"
        raise type(error)(f"{error}; {left}") from error


@contextmanager
def recorded_outcome(journal: RunJournal) -> Iterator[TrainingResult]:
    """Note in the run directory how the block ended, whatever happens."""
    attempt = TrainingResult()
    try:
        yield attempt
    except KeyboardInterrupt:
        journal.close("interrupted", "stopped at once")
        raise
    except BaseException as error:
        journal.close("failed", str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise
    journal.close("finished" if attempt.finished else "interrupted")
