"""A process that holds one rank of the learners under test: ``rank_worker.py SOCKET RANK SIZE STORE``.

It answers one request after another, each a pickled (what, arguments), with (result, None) or (None, error).
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
import warnings
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing.connection import Client
from types import ModuleType
from typing import Any

import torch
from torch import distributed as dist


class Worker:
    """Learners by number, and what the group may ask of them."""

    def __init__(self) -> None:
        self.learners: dict[int, Any] = {}

    def know(self, name: str, file: str) -> None:
        """Import a test module under its name, so that what it pickles can be read here."""
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        for end, letter in enumerate(name):
            if letter == ".":
                sys.modules.setdefault(name[:end], ModuleType(name[:end]))
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)

    def new(self, number: int, build: Any, module: Any) -> None:
        self.learners[number] = build(module)

    def reset_cache(self) -> None:
        self.learners.clear()

    def call(self, number: int, method: str, *arguments: Any) -> Any:
        result = getattr(self.learners[number], method)(*arguments)
        return list(result) if isinstance(result, Iterator) else result


def main(socket: str, rank: int, size: int, store: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "`torch.jit.script", DeprecationWarning)
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=60)
    )
    worker = Worker()
    with Client(socket) as connection:
        connection.send_bytes(pickle.dumps(rank))
        while True:
            try:
                what, arguments = pickle.loads(connection.recv_bytes())
            except EOFError:
                return
            try:
                answer = (getattr(worker, what)(*arguments), None)
            except Exception as error:
                answer = (None, error)
            connection.send_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
