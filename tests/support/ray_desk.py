"""Ray clusters for tests: two machines on this one, with GPUs that exist on paper only."""

from __future__ import annotations

import importlib
import itertools
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

MACHINES = ({"cpus": 2, "gpus": 2}, {"cpus": 2, "gpus": 2})
TIMEOUT = 120.0


def ray_start(*options: str) -> subprocess.Popen[bytes]:
    """``ray start``, as a user types it on a machine; it ends with the process."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def machines(token: Path, monkeypatch: Any, shapes: Sequence[Mapping[str, int]] = MACHINES) -> Iterator[str]:
    """A cluster of such machines for those who know the ``token`` in a file; yields its address."""
    with socket.socket() as found:
        found.bind(("", 0))
        port = found.getsockname()[1]
    shape = [(f"--num-cpus={m['cpus']}", f"--num-gpus={m['gpus']}") for m in shapes]
    address = f"127.0.0.1:{port}"
    token.write_text(uuid.uuid4().hex)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    # Ray reads its environment when it is imported, which a test may have done by now.
    importlib.import_module("ray._raylet").Config.initialize("")
    head = ray_start("--head", f"--port={port}", "--include-dashboard=false", *shape[0])
    started = [head]
    try:
        deadline = time.monotonic() + TIMEOUT
        while not listens(port):
            assert head.poll() is None and time.monotonic() < deadline, "ray start --head has not worked"
            time.sleep(0.1)
        started += [ray_start(f"--address={address}", *own) for own in shape[1:]]
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()


def wait_for_machines() -> None:
    """Until all of :data:`MACHINES` have joined the cluster, which takes a busy computer a while."""
    import ray

    deadline = time.monotonic() + TIMEOUT
    while ray.cluster_resources().get("GPU", 0) < sum(machine["gpus"] for machine in MACHINES):
        assert time.monotonic() < deadline, "the second machine has not joined"
        time.sleep(0.1)


class Desk:
    """Starts groups of ranks in a cluster that has been joined, and keeps some to be used again."""

    def __init__(self, folder: Path) -> None:
        wait_for_machines()
        self.folder = folder
        self.shared = folder / "shared"
        self.shared.write_text("")
        self.numbers = itertools.count()
        self.kept: dict[Any, Iterator[Any]] = {}
        self.open: list[Any] = []

    def actors(self, roles: Sequence[Any], cpus: float = 0.01, timeout: float = TIMEOUT) -> Any:
        """Seats of the roles, each process with next to no cores."""
        import ray

        from asyppo_cli.engines.ray.actors import ClusterActors, WorkerSettings
        from asyppo_cli.engines.ray.placement import plan_placement

        workers = WorkerSettings(self.folder, self.shared, self.folder / f"log-{next(self.numbers)}", timeout)
        actors = ClusterActors(plan_placement(roles, ray.cluster_resources(), cpus), workers, print)
        self.open.append(actors)
        return actors

    def group(self, ranks: int, make: Callable[[], Any], kind: Any = None, timeout: float = TIMEOUT) -> Any:
        """A filled group without GPUs."""
        from asyppo_cli.engines.ray.placement import Role
        from asyppo_cli.engines.ray.rank_process import LearnerRank

        actors = self.actors([Role("policy", "policy", ranks, None)], timeout=timeout)
        group = actors.create("policy", kind or LearnerRank)
        actors.start({"policy": make})
        return group

    def pair(self, ranks: int, kind: Any = None) -> Iterator[Any]:
        """Two groups in turn, as empty as groups that are used again can be."""
        from asyppo_cli.engines.ray.placement import Role
        from asyppo_cli.engines.ray.rank_process import LearnerRank

        key = (ranks, kind)
        if key not in self.kept:
            names = ("one", "other")
            actors = self.actors([Role(name, "policy", ranks, None) for name in names])
            groups = [actors.create(name, kind or LearnerRank) for name in names]
            actors.start(dict.fromkeys(names, object))
            self.kept[key] = itertools.cycle(groups)
        return self.kept[key]

    def learners_of(self, name: str, ranks: int, build: Callable[..., Any]) -> Callable[..., Any]:
        """Makes learners on so many ranks, of functions and records of the test module ``name``; of those that are
        made, the last two can be used.
        """
        import ray

        from asyppo_cli.engines.ray.learner import RayLearner

        # The processes cannot import a test.
        ray.cloudpickle.register_pickle_by_value(sys.modules[name])

        def learner(*arguments: Any) -> Any:
            group = next(self.pair(ranks))
            group.call_all("loading its model", "build", partial(build, *arguments), "")
            return RayLearner(group)

        return learner

    def samplers_of(self, name: str, build: Callable[[Any], Any], prompts_per_call: Any) -> Callable[[Any], Any]:
        """Makes samplers on two ranks, likewise."""
        import ray

        from asyppo_cli.engines.ray.rank_process import SamplerRank
        from asyppo_cli.engines.ray.sampler import RaySampler

        ray.cloudpickle.register_pickle_by_value(sys.modules[name])

        def sampler(model: Any) -> Any:
            group = next(self.pair(2, SamplerRank))
            group.call_all("loading its model", "build", partial(build, model), "")
            return RaySampler(group, prompts_per_call)

        return sampler

    def close(self) -> None:
        for actors in self.open:
            actors.close()
