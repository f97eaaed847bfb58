"""The run directory: every path in it, and how a run is named, made and found."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs.files.atomic import PARTIAL
from asyppo_cli.runs.files.lock import is_locked, lock_run
from asyppo_cli.runs.status import read_status

LONGEST_NAME = 120
LOCK = ".lock"
# A study keeps its storage here, unless it is in a database.
STUDY_JOURNAL = "study.journal"


@dataclass(frozen=True)
class RunDirectory:
    """Where everything of a run lies."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
        return self.path.name

    @property
    def config(self) -> Path:
        """Resolved configuration; what makes a folder a run directory."""
        return self.path / "config.yaml"

    @property
    def overrides(self) -> Path:
        """Overrides as they were typed."""
        return self.path / "overrides.yaml"

    @property
    def lineage(self) -> Path:
        """The run that it was forked from or replays; missing where it began from a base model."""
        return self.path / "lineage.json"

    @property
    def environment(self) -> Path:
        """Versions, git commit, hardware, command line."""
        return self.path / "environment.json"

    @property
    def inputs(self) -> Path:
        """Digests of the models and data files that it began with."""
        return self.path / "inputs.json"

    @property
    def extensions(self) -> Path:
        """Folder of copies of the user's files whose functions it uses."""
        return self.path / "extensions"

    @property
    def metrics(self) -> Path:
        """One JSON object a step."""
        return self.path / "metrics.jsonl"

    @property
    def timeline(self) -> Path:
        """When each phase of every step began and ended, one JSON object a phase."""
        return self.path / "timeline.jsonl"

    @property
    def status(self) -> Path:
        """State, process and progress."""
        return self.path / "status.json"

    @property
    def lock(self) -> Path:
        """Locked by the process that trains."""
        return self.path / LOCK

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def samples_folder(self) -> Path:
        """Folder of readable samples, a file a step."""
        return self.path / "samples"

    @property
    def records_folder(self) -> Path:
        """Folder of token records, a file a step."""
        return self.path / "records"

    @property
    def probes_folder(self) -> Path:
        """Folder of the probes' token records, a file a recorded step."""
        return self.path / "probes"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard event files."""
        return self.path / "tensorboard"

    @property
    def figures(self) -> Path:
        """Folder of figures."""
        return self.path / "figures"

    def samples(self, step: int) -> Path:
        """Readable samples of a step."""
        return self.samples_folder / f"{step_name(step)}.jsonl"

    def records(self, step: int) -> Path:
        """Token records of a step."""
        return self.records_folder / f"{step_name(step)}.parquet"

    def probes(self, step: int) -> Path:
        """Token records of the probes after a step; step 0 is before training."""
        return self.probes_folder / f"{step_name(step)}.parquet"

    def failure(self, step: int) -> Path:
        """The batch that broke the run at a step."""
        return self.path / "failures" / f"{step_name(step)}.npz"

    def log(self, attempt: int) -> Path:
        """Log of an attempt, from 1."""
        return self.path / "logs" / f"attempt-{attempt}.log"

    def next_log(self) -> Path:
        """Log of the attempt that is about to begin."""
        return self.log(self._attempts() + 1)

    def last_log(self) -> Path:
        """Log of the attempt that is under way, or was the last one."""
        return self.log(max(1, self._attempts()))

    def _attempts(self) -> int:
        attempts = 0
        while self.log(attempts + 1).exists():
            attempts += 1
        return attempts

    def exists(self) -> bool:
        """Whether there is a run here."""
        try:
            return self.config.is_file()
        except OSError:
            # A folder that this user may not enter.
            return False


def step_name(step: int) -> str:
    """``step-000010``: sorts by step."""
    return f"step-{step:06d}"


def run_directories(folder: Path) -> list[RunDirectory]:
    """The runs that lie in a folder, by name; what cannot be read is none."""
    return [run for run in map(RunDirectory, _subfolders(folder)) if run.exists()]


def all_runs(runs_dir: Path) -> list[RunDirectory]:
    """The runs of a folder and, one folder deeper, the trials of its studies, by name."""
    found = []
    for path in _subfolders(runs_dir):
        run = RunDirectory(path)
        found += [run] if run.exists() else run_directories(path)
    return found


def trials_of(runs_dir: Path, name: str) -> list[RunDirectory]:
    """The runs of a study, named by its folder in ``runs_dir`` or by a path; none where that is no study."""
    for path in (runs_dir / name, Path(name)):
        if not RunDirectory(path).exists() and (runs := run_directories(path)):
            return runs
    return []


def name_in(runs_dir: Path, run: RunDirectory) -> str:
    """The run's name as commands take it: ``RUN``, or ``STUDY/TRIAL``; its path if it lies elsewhere."""
    return run.path.relative_to(runs_dir).as_posix() if run.path.is_relative_to(runs_dir) else str(run.path)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return []


def create_run(runs_dir: Path, name: str | None, fresh: bool, label: str, now: datetime) -> RunDirectory:
    """Make the folder of a new run; without a name it is called by the time and ``label``.

    ``fresh`` removes a run of that name first. A folder whose creator was killed before it was a run is made again.

    Raises:
        ValueError: a name that is no folder's name, or in use, or a place that cannot be written to.
    """
    if name is None:
        stem = f"{now:%Y-%m-%d_%H-%M}-{re.sub(r'[^A-Za-z0-9._+-]+', '_', label)}"[:LONGEST_NAME]
        return _first_free(runs_dir, stem)
    check_runs_dir(runs_dir)
    run = RunDirectory(runs_dir / check_name(name))
    clear_unfinished(run)
    if run.path.exists() or run.path.is_symlink():
        check_no_study(run.path)
        _clear(run, fresh)
    if not _make(run.path):
        raise ValueError(f"run {name} was made by another process just now: choose another --name")
    return run


def find_run(runs_dir: Path, name: str | None) -> RunDirectory:
    """The run meant by ``name``: RUN, STUDY/TRIAL, the only one that begins so, or a path; None: the last trained.

    Raises:
        ValueError: no such run, or several.
    """
    check_runs_dir(runs_dir)
    if name is not None:
        for path in (runs_dir / name, Path(name)):
            if name and RunDirectory(path).exists():
                return RunDirectory(path)
    runs = {name_in(runs_dir, run): run for run in all_runs(runs_dir)}
    if name is None and runs:
        return max(runs.values(), key=last_active)
    if not runs:
        raise ValueError(f"there is no run in {runs_dir}/: start one with asyppo train, or name its folder: --runs-dir")
    return runs[_the_one(name or "", sorted(runs, key=lambda known: last_active(runs[known]), reverse=True), runs_dir)]


def _the_one(name: str, known: list[str], runs_dir: Path) -> str:
    """The only name that begins so, its study left out or not; ``known`` are all, the last active first."""
    begun = [run for run in known if name and run.startswith(name)]
    begun = begun or [run for run in known if name and run.rpartition("/")[2].startswith(name)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise ValueError(f"{len(begun)} runs begin with {name}: {_some(sorted(begun))}; write more of it")
    raise ValueError(f"there is no run {name!r} in {runs_dir}/; {did_you_mean(name, known)}")


def last_active(run: RunDirectory) -> datetime:
    """When the run last made progress, in local time; where its status is damaged, by its files."""
    try:
        status = read_status(run.status)
    except ValueError:
        status = None
    if status is not None:
        return datetime.fromisoformat(status.updated).astimezone()
    return datetime.fromtimestamp(run.config.stat().st_mtime).astimezone()


def check_name(name: str) -> str:
    """The name itself, if a folder may be called so everywhere.

    Raises:
        ValueError: it may not.
    """
    if not re.fullmatch(rf"[A-Za-z0-9_][A-Za-z0-9._=,+@-]{{0,{LONGEST_NAME - 1}}}", name) or ".." in name:
        raise ValueError(
            f"--name {name!r} cannot name a folder: use letters, digits and . _ - + = , @ (no '/', no '..', "
            f"at most {LONGEST_NAME} characters, a letter or digit first)"
        )
    return name


def check_runs_dir(runs_dir: Path) -> None:
    """ValueError if this is no folder for runs: a file, or a run itself."""
    if runs_dir.exists() and not runs_dir.is_dir():
        raise ValueError(f"{runs_dir} is a file, not a folder: choose another --runs-dir")
    if RunDirectory(runs_dir).exists():
        raise ValueError(f"{runs_dir} is a run, not a folder of runs: choose another --runs-dir")


def check_no_study(path: Path) -> None:
    """ValueError if a folder holds a study, or runs: it must not become a run, which --fresh would remove with them."""
    if (path / STUDY_JOURNAL).exists() or any(path.glob("*/config.yaml")) or any(path.glob(f"*/{STUDY_JOURNAL}")):
        raise ValueError(f"{path} holds a study or other runs, which are never removed: choose another --name")


def check_no_run(path: Path) -> None:
    """ValueError if a folder is a run: a study in it would be removed with the run."""
    if RunDirectory(path).exists():
        raise ValueError(f"{path} is a run, not a study: choose another --name")


def _first_free(runs_dir: Path, stem: str) -> RunDirectory:
    number = 1
    while True:
        path = runs_dir / (stem if number == 1 else f"{stem}-{number}")
        if _make(path):
            return RunDirectory(path)
        number += 1


def _make(path: Path) -> bool:
    """Make the folder; False if it is there already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        check_runs_dir(path.parent)
        return False
    except OSError as error:
        raise ValueError(f"cannot write to {path.parent}: {error.strerror}: choose another --runs-dir") from error
    return True


def clear_unfinished(run: RunDirectory) -> None:
    """Remove the folder of a process that was killed before it wrote the configuration; never anything else."""
    if run.path.is_symlink() or not run.path.is_dir() or is_locked(run.lock):
        return
    names = (run.overrides.name, run.environment.name, run.lineage.name, run.extensions.name)
    before = {LOCK, *names}
    if all(path.name in before or path.name.endswith(PARTIAL) for path in run.path.iterdir()):
        shutil.rmtree(run.path)


def _clear(run: RunDirectory, fresh: bool) -> None:
    """Remove an old run, if that is asked for and it is one; nothing else is ever removed."""
    if not fresh:
        raise ValueError(
            f"run {run.name} exists in {run.path.parent}/: go on with --resume, or start over with --fresh"
        )
    if (run.path.parent / STUDY_JOURNAL).exists():
        raise ValueError(f"{run.path} is a trial of study {run.path.parent.name}, so --fresh keeps it: choose a --name")
    if run.path.is_symlink() or not run.exists():
        raise ValueError(
            f"{run.path} is no run directory (it has no config.yaml), so --fresh leaves it: choose a --name"
        )
    with lock_run(run.path, run.lock):
        try:
            shutil.rmtree(run.path)
        except OSError as error:
            raise ValueError(f"cannot remove {run.path}: {error.strerror}: remove it by hand") from error


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
