"""Where a study is stored, and which part of the machine each trial gets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs.directory import STUDY_JOURNAL
from asyppo_cli.system import usable_cores

if TYPE_CHECKING:
    from asyppo_cli.config.schema import Config
    from sweeps.execution.devices import ResourceShare
    from sweeps.execution.study_store import StudyStore

# A checkpoint holds float32 weights and both moments of Adam.
BYTES_PER_PARAMETER = 12


def storage_of(storage: str | None, folder: Path) -> str:
    """The storage of the study in ``folder``."""
    return storage or str(folder / STUDY_JOURNAL)


def find_study(name: str, runs_dir: Path, storage: str | None) -> StudyStore:
    """An existing study.

    Raises:
        ValueError: there is none of that name, with similar names.
    """
    from sweeps.execution.storage import open_storage
    from sweeps.execution.study_store import find

    if storage is None and name not in (known := studies_in(runs_dir)):
        raise ValueError(f"there is no study {name!r} in {runs_dir}/; {did_you_mean(name, known)}")
    if storage is not None and "://" not in storage and not Path(storage).is_file():
        raise ValueError(f"--storage {storage}: there is no such journal; write a database as a URL")
    return find(open_storage(storage_of(storage, runs_dir / name)), name)


def existing_study(name: str, runs_dir: Path, storage: str | None) -> StudyStore | None:
    """The study if it exists already; nothing is written.

    Raises:
        ValueError: the storage cannot be opened, or the study was not made by asyppo.
    """
    from sweeps.execution.storage import is_created, open_storage
    from sweeps.execution.study_store import find_existing

    where = storage_of(storage, runs_dir / name)
    return find_existing(open_storage(where), name) if is_created(where) else None


def check_models(configs: Iterable[Config], runs_dir: Path, jobs: int) -> None:
    """Check that models exist and that the disk has space for a checkpoint of each simultaneous trial.

    Raises:
        ValueError: a model is missing, or the disk is too small.
    """
    from asyppo_cli.builders.architecture import read_architecture
    from asyppo_cli.builders.plan import critic_of

    largest = 0
    for config in configs:
        policy = read_architecture(config.policy.model, config.policy.revision, "policy.model")
        critic = critic_of(config, policy)
        critics = 0 if critic is None else critic.parameters * config.critics.count
        largest = max(largest, BYTES_PER_PARAMETER * (policy.parameters + critics))
    free = shutil.disk_usage(next(path for path in (runs_dir, *runs_dir.absolute().parents) if path.exists())).free
    if jobs * largest > free:
        raise ValueError(
            f"--runs-dir {runs_dir}: {free / 2**30:.1f} GiB are free, and the checkpoints of {jobs} trials take "
            f"{jobs * largest / 2**30:.1f} GiB: make room, or choose another --runs-dir"
        )


def studies_in(runs_dir: Path) -> list[str]:
    """Names of the studies whose journals are in a folder of runs."""
    return sorted(path.parent.name for path in runs_dir.glob(f"*/{STUDY_JOURNAL}"))


def shares(jobs: int, configs: Sequence[Config]) -> list[ResourceShare]:
    """The share of each simultaneous trial; ``configs`` has one configuration for each set of devices.

    Raises:
        ValueError: there are more jobs than devices, or than fit into the Ray cluster.
    """
    from sweeps.execution.devices import ResourceShare, divide, visible_gpus

    on_ray = [config for config in configs if config.cluster.kind == "ray"]
    for config in on_ray:
        check_fits_cluster(jobs, config)
    if len(on_ray) == len(configs):
        return [ResourceShare(None) for _ in range(jobs)]
    threads = max(config.learner.threads for config in configs)
    if jobs > 1 and jobs * threads > usable_cores():
        raise ValueError(
            f"--jobs {jobs}: learner.threads={threads} for each trial exceeds the {usable_cores()} cores: lower one"
        )
    gpus = visible_gpus()
    devices = {config.learner.device for config in configs}
    return divide(jobs, usable_cores(), gpus, "cuda" in devices or ("auto" in devices and bool(gpus)))


def check_fits_cluster(jobs: int, config: Config) -> None:
    """ValueError if a Ray cluster cannot hold ``jobs`` of these trials at once."""
    from asyppo_cli.builders.roles import roles_of
    from asyppo_cli.engines.ray.placement import plan_placement

    offered = ray_resources(config.cluster.address)
    plan = plan_placement(roles_of(config), offered, config.cluster.cpus_per_rank)
    needed = {kind: sum(bundle.get(kind, 0.0) for bundle in plan.bundles) for kind in ("CPU", "GPU")}
    fitting = min(int(offered.get(kind, 0.0) / need + 1e-6) for kind, need in needed.items() if need)
    if jobs > fitting:
        hint = "" if config.cluster.cpus_per_rank else "; cluster.cpus_per_rank=null takes all cores: set it"
        raise ValueError(
            f"--jobs {jobs}: the Ray cluster has {offered.get('CPU', 0):g} cores and {offered.get('GPU', 0):g} GPUs, "
            f"and a trial needs {needed['CPU']:g} and {needed['GPU']:g}: {fitting} fit at once{hint}"
        )


def ray_resources(address: str | None) -> dict[str, float]:
    """The resources of a Ray cluster, or of this machine where each trial starts a cluster of its own."""
    from asyppo_cli.engines.ray.cluster import ADDRESS, check_ray, connected
    from sweeps.execution.devices import visible_gpus

    check_ray()
    if not (address or os.environ.get(ADDRESS)):
        return {"CPU": float(usable_cores()), "GPU": float(len(visible_gpus()))}
    with connected(address) as resources:
        return dict(resources)
