"""Where a study is kept, where its runs lie, and what of the machine each trial gets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs.studies import Study
from asyppo_cli.system import usable_cores

if TYPE_CHECKING:
    from asyppo_cli.config.schema import Config
    from sweeps.execution.devices import Share
    from sweeps.execution.study_store import Book


def storage_of(storage: str | None, folder: Path) -> str:
    """Where the study in ``folder`` is kept."""
    from sweeps.execution.storage import FILE

    return storage or str(folder / FILE)


def find_book(name: str, runs_dir: Path, storage: str | None) -> Book:
    """A study that exists.

    Raises:
        ValueError: there is none of that name, with those that are near.
    """
    from sweeps.execution.storage import FILE, open_storage
    from sweeps.execution.study_store import find

    if storage is None and not (runs_dir / name / FILE).is_file():
        known = studies_in(runs_dir)
        told = did_you_mean(name, known) if known else "there is none at all; start one with asyppo sweep"
        raise ValueError(f"there is no study {name!r} in {runs_dir}/; {told}")
    if storage is not None and "://" not in storage and not Path(storage).is_file():
        raise ValueError(f"--storage {storage}: there is no such journal; a database is named by a URL")
    return find(open_storage(storage_of(storage, runs_dir / name)), name)


def studies_in(runs_dir: Path) -> list[str]:
    """Names of the studies that are kept in a folder of runs."""
    from sweeps.execution.storage import FILE

    return sorted(path.parent.name for path in runs_dir.glob(f"*/{FILE}"))


def shares(jobs: int, configs: Sequence[Config]) -> list[Share]:
    """What each of the trials side by side gets; ``configs`` are the different ones that matter here.

    Raises:
        ValueError: there are more jobs than devices, or than the Ray cluster has room for.
    """
    from sweeps.execution.devices import Share, share_out, visible_gpus

    on_ray = [config for config in configs if config.cluster.kind == "ray"]
    for config in on_ray:
        check_room(jobs, config)
    if len(on_ray) == len(configs):
        return [Share(None) for _ in range(jobs)]
    gpus = visible_gpus()
    devices = {config.learner.device for config in configs}
    return share_out(jobs, usable_cores(), gpus, "cuda" in devices or ("auto" in devices and bool(gpus)))


def check_room(jobs: int, config: Config) -> None:
    """ValueError if a Ray cluster cannot hold so many of these trials at once."""
    from asyppo_cli.builders.roles import roles_of
    from asyppo_cli.engines.ray.placement import make_plan

    offered = ray_resources(config.cluster.address)
    plan = make_plan(roles_of(config), offered, config.cluster.cpus_per_rank)
    needed = {kind: sum(bundle.get(kind, 0.0) for bundle in plan.bundles) for kind in ("CPU", "GPU")}
    fitting = min(int(offered.get(kind, 0.0) / need + 1e-6) for kind, need in needed.items() if need)
    if jobs > fitting:
        hint = "" if config.cluster.cpus_per_rank else "; cluster.cpus_per_rank=null takes all cores: set it"
        raise ValueError(
            f"--jobs {jobs}: the Ray cluster has {offered.get('CPU', 0):g} cores and {offered.get('GPU', 0):g} GPUs, "
            f"and a trial needs {needed['CPU']:g} and {needed['GPU']:g}: {fitting} fit at once{hint}"
        )


def ray_resources(address: str | None) -> dict[str, float]:
    """What a Ray cluster offers; where each trial would start one for itself, what this machine does."""
    from asyppo_cli.engines.ray.cluster import ADDRESS, check_ray, joined
    from sweeps.execution.devices import visible_gpus

    check_ray()
    if not (address or os.environ.get(ADDRESS)):
        return {"CPU": float(usable_cores()), "GPU": float(len(visible_gpus()))}
    with joined(address) as resources:
        return dict(resources)


def unfinished(study: Study) -> int:
    """Trials that are not over, or have failed."""
    return sum(trial.state not in ("finished", "pruned") for trial in study.trials)
