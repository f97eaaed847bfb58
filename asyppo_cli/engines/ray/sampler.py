"""Several samplers as one: each rank has a copy of the policy and draws responses to a share of the prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import ray
from torch import Tensor

from asyppo_cli.engines.ray.learner import WeightStream
from asyppo_cli.engines.ray.rank_group import RankGroup
from asyppo_cli.engines.ray.transport import chunked
from asyppo_cli.types import Response, SamplingParams


class RaySampler:
    """Samples wherever the ranks of ``group`` are. Implements :class:`~asyppo_cli.ports.Sampler`.

    ``prompts_per_call(prompts, n)`` says how many prompts a rank is given at a time, from which place in the draw on.
    Seeds follow from places, so the number of ranks changes no response of a sampler that generates as many at once
    in any case; vLLM, which batches as it likes, may round differently. ``transfers``: ranks are vLLM's, started to
    take the weights of a :class:`WeightStream` by vLLM's own transfer.
    """

    def __init__(self, group: RankGroup, prompts_per_call: Callable[[int, int], int], transfers: bool = False) -> None:
        self._group = group
        self._prompts_per_call = prompts_per_call
        self._transfers = transfers

    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        """Draw ``n`` responses to each prompt; shares are dealt to the ranks in turn."""
        size = self._prompts_per_call(len(prompts), n)
        starts = range(0, len(prompts), size)
        shares = [(list(prompts[i : i + size]), n, replace(params, offset=params.offset + i)) for i in starts]
        drawn = self._group.call("sampling", "sample", shares)
        return [responses for shard in drawn for responses in shard]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Take over the policy's weights: one copy in the object store for all ranks.

        Those of a :class:`WeightStream` go from the learner to the samplers and not through this process.
        """
        if isinstance(weights, WeightStream) and self._transfers:
            weights.send(self._group)
            self._group.call_all("dropping what it has cached", "reset_cache")
            return
        if isinstance(weights, WeightStream):
            references = weights.references()
        else:
            references = [ray.put(chunk) for chunk in chunked(weights)]
        self._group.call_all("taking new weights", "load_weights", references)

    def close(self) -> None:
        """End the processes."""
        self._group.close()
