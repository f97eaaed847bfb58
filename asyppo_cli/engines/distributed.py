"""Ranks: which rows of a batch each one takes, and the process group in which they meet."""

from __future__ import annotations

import atexit
import heapq
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist


def shard_rows(lengths: Tensor, ranks: int) -> list[Tensor]:
    """Rows of each rank, in the batch's order: every row once, tokens shared out as evenly as whole rows allow.

    The longest row first, each to the rank that has the fewest tokens so far (ties: the lowest rank), so the same
    lengths always give the same shards. With fewer rows than ranks the last shards are empty. ``lengths`` int64
    ``[B]``.
    """
    loads = [(0, rank) for rank in range(ranks)]
    shards: list[list[int]] = [[] for _ in range(ranks)]
    for row in lengths.argsort(descending=True, stable=True).tolist():
        tokens, rank = heapq.heappop(loads)
        shards[rank].append(row)
        heapq.heappush(loads, (tokens + int(lengths[row]), rank))
    return [torch.tensor(sorted(shard), dtype=torch.long) for shard in shards]


def init_ranks(rank: int, size: int, address: str, device: torch.device, timeout: timedelta) -> None:
    """Meet ``size`` ranks at ``address`` (``host:port`` of rank 0): NCCL between GPUs, gloo between CPUs.

    A rank that does not come within ``timeout`` is an error on those that wait; so is, later, one that does not
    take part in a collective operation.
    """
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"tcp://{address}", rank=rank, world_size=size, timeout=timeout)


def init_single_rank(device: torch.device) -> None:
    """A world of one rank, met through this process's memory: no port, no file, no environment variable.

    It lasts as long as the process, for several learners share it; NCCL warns unless it is left before the end.
    """
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
        atexit.register(leave)


def leave() -> None:
    """Destroy the process group, unless that has been done."""
    if dist.is_initialized():
        dist.destroy_process_group()
