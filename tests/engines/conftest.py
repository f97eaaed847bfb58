"""Two processes with one rank each, which live through all tests of a session."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import pytest
import torch
from ray_desk import Desk, machines
from torch import Tensor

from asyppo_cli.engines.distributed import shard_rows
from asyppo_cli.engines.hf.microbatches import merge
from asyppo_cli.types import Sequences

TIMEOUT = 120.0


class RankGroup:
    """Worker processes, asked all at once: every rank must take part in what is collective."""

    def __init__(self, folder: Path, size: int) -> None:
        address = str(folder / "socket")
        script = str(Path(__file__).with_name("rank_worker.py"))
        with Listener(address) as listener:
            self.processes = [
                subprocess.Popen([sys.executable, script, address, str(rank), str(size), str(folder / "store")])
                for rank in range(size)
            ]
            links = [listener.accept() for _ in range(size)]
        self.links: list[Connection] = [link for _, link in sorted((pickle.loads(k.recv_bytes()), k) for k in links)]
        self.numbers = itertools.count()
        self.known: set[str] = set()

    def call(self, what: str, *arguments: list[Any]) -> list[Any]:
        """Ask every rank with its own arguments (``arguments[i][rank]``); the answers, or the first error."""
        for rank, link in enumerate(self.links):
            link.send_bytes(pickle.dumps((what, [argument[rank] for argument in arguments])))
        answers = []
        for rank, link in enumerate(self.links):
            assert link.poll(TIMEOUT), f"rank {rank} hangs in {what}"
            answers.append(pickle.loads(link.recv_bytes()))
        errors = [error for _, error in answers if error is not None]
        if errors:
            # All ranks fail alike, or the next collective operation would hang.
            assert len(errors) == len(answers), errors
            raise errors[0]
        return [result for result, _ in answers]

    def all(self, value: Any) -> list[Any]:
        """The same argument for every rank."""
        return [value] * len(self.links)

    def know(self, name: str, file: str) -> None:
        """Let the ranks read what the test module ``name`` pickles."""
        if name not in self.known:
            self.known.add(name)
            self.call("know", self.all(name), self.all(file))

    def learner(self, build: Callable[..., Any], module: Any) -> GroupLearner:
        """A learner on all ranks; each builds its part around a copy of the module."""
        return GroupLearner(self, build, module)

    def reset_cache(self) -> None:
        """Let go of all learners."""
        self.call("reset_cache")

    def close(self) -> None:
        for link in self.links:
            link.close()
        for process in self.processes:
            process.terminate()
            process.wait(30)


class GroupLearner:
    """The learner protocol over a :class:`RankGroup`: each rank is given its rows."""

    def __init__(self, group: RankGroup, build: Callable[..., Any], module: Any) -> None:
        self.group = group
        self.number = next(group.numbers)
        self.collective("new", group.all(build), group.all(module))

    def collective(self, what: str, *arguments: list[Any]) -> list[Any]:
        return self.group.call(what, self.group.all(self.number), *arguments)

    def call(self, method: str, *arguments: list[Any]) -> list[Any]:
        return self.collective("call", self.group.all(method), *arguments)

    def forward(self, batch: Sequences) -> Any:
        shards = shard_rows(batch.lengths, len(self.group.links))
        return merge(self.call("forward", [batch.rows(rows) for rows in shards]), shards, batch)

    def forward_backward(self, batch: Sequences, targets: Any, loss: Any) -> tuple[Any, Mapping[str, float]]:
        shards = shard_rows(batch.lengths, len(self.group.links))
        parts = [batch.rows(rows) for rows in shards]
        chosen = [targets.rows(rows, part.response_mask.shape[1]) for rows, part in zip(shards, parts, strict=True)]
        answers = self.call("forward_backward", parts, chosen, self.group.all(loss))
        sums = [sums for _, sums in answers]
        assert all(other == sums[0] for other in sums)
        return merge([outputs for outputs, _ in answers], shards, batch), sums[0]

    def optimizer_step(self) -> Any:
        reports = self.call("optimizer_step")
        assert all(report == reports[0] for report in reports)
        return reports[0]

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        first, *others = [dict(weights) for weights in self.call("weights")]
        assert all(torch.equal(other[name], first[name]) for other in others for name in first)
        return iter(first.items())

    def save(self, directory: Path) -> None:
        self.call("save", self.group.all(directory))

    def load(self, directory: Path) -> None:
        self.call("load", self.group.all(directory))


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RankGroup]:
    """Two ranks that can build and use learners together; started when first asked for."""
    group = RankGroup(tmp_path_factory.mktemp("ranks"), 2)
    yield group
    group.close()


@pytest.fixture(scope="session")
def ray_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two machines of a Ray cluster, joined, on which groups of ranks can be started."""
    pytest.importorskip("ray", reason="Ray is not installed (extra: cpu-engines)")
    from asyppo_cli.engines.ray.cluster import connected

    folder = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch, machines(folder / "token", patch) as address, connected(address):
        found = Desk(folder)
        yield found
        found.close()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tests of tiny models side by side: threads only cost."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
