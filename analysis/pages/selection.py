"""Selects responses of a step from its token records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from asyppo_cli.runs.records import texts_of

if TYPE_CHECKING:
    import pyarrow as pa

Order = Literal["first", "best", "worst", "disputed"]
Only = Literal["all", "right", "wrong"]


@dataclass(frozen=True)
class ResponseStats:
    """Means over each response's tokens; arrays of one length, in the order in which the responses were recorded.

    ``starts`` and ``stops`` are rows of the table, ``ids`` and ``prompts`` what the records call response and prompt,
    ``right`` is the verifier's verdict; in records without verdicts, a reward above 0.
    """

    ids: Any
    prompts: list[str]
    starts: Any
    stops: Any
    rewards: Any
    right: list[bool]
    advantage: Any
    disagreement: Any


def response_stats(table: pa.Table) -> ResponseStats:
    """Statistics of all responses of one step's records."""
    ids = table["response_id"].to_numpy()
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.zeros(0, int)
    stops = np.r_[starts[1:], len(ids)].astype(int)
    lengths = np.maximum(stops - starts, 1)

    def means(name: str) -> Any:
        column = table[name].to_numpy().astype(np.float64)
        return np.add.reduceat(column, starts) / lengths if len(starts) else column

    rewards, said = table["reward"].to_numpy()[starts], texts_of(table).responses
    return ResponseStats(
        ids=ids[starts],
        prompts=table["prompt_id"].take(starts).to_pylist(),
        starts=starts,
        stops=stops,
        rewards=rewards,
        right=[
            said[number]["verdict"] == "right" if number < len(said) else bool(reward > 0)
            for number, reward in zip(ids[starts].tolist(), rewards, strict=True)
        ],
        advantage=means("advantage"),
        disagreement=means("value_std"),
    )


def choose(stats: ResponseStats, order: Order, only: Only, prompt: str | None, limit: int) -> list[int]:
    """Indices into ``stats`` of at most ``limit`` responses, the foremost first.

    ``best`` and ``worst``: highest and lowest reward, of equals the one that was expected least (highest and lowest
    mean advantage); ``disputed``: highest mean disagreement. Ties stay in the order of the records.

    Raises:
        ValueError: no response is left, or ``prompt`` was not recorded.
    """
    if prompt is not None and prompt not in stats.prompts:
        known = list(dict.fromkeys(stats.prompts))
        raise ValueError(f"prompt {prompt!r} was not recorded; there are {', '.join(known[:4])}, ...: see --prompt")
    kept = [
        i
        for i, right in enumerate(stats.right)
        if (prompt is None or stats.prompts[i] == prompt) and (only == "all" or right == (only == "right"))
    ]
    if not kept:
        raise ValueError(f"no response is {only}: choose --only all, or another step")
    return sorted(kept, key=_ranking(stats, order))[:limit]


def _ranking(stats: ResponseStats, order: Order) -> Any:
    match order:
        case "first":
            return lambda _: 0
        case "best":
            return lambda i: (-stats.rewards[i], -stats.advantage[i])
        case "worst":
            return lambda i: (stats.rewards[i], stats.advantage[i])
        case "disputed":
            return lambda i: -stats.disagreement[i]
