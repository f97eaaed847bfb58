"""vLLM's samplers, made to report what a trainer computes: log-probabilities of the full softmax at the temperature.

vLLM reports them either before the temperature (raw) or renormalised after top-p and top-k (processed). Under either,
an importance ratio would be wrong by a factor that depends on the token. Draws are not touched. Written against
vLLM 0.32 and run on CPUs; its two model runners have a sampler each. Imported in vLLM's workers only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from vllm.v1.outputs import LogprobsTensors
from vllm.v1.sample.sampler import Sampler
from vllm.v1.worker.gpu.sample.sampler import Sampler as SecondSampler


class FullSoftmaxSampler(Sampler):  # type: ignore[misc]
    """The sampler of the first model runner."""

    def __init__(self, use_fp64_gumbel: bool) -> None:
        # The inner top-k and top-p stage is set to "raw": it computes no log-probabilities of its own.
        super().__init__("raw_logprobs", use_fp64_gumbel)
        # And the outer one "processed": it reports those that sample() returns.
        self.logprobs_mode = "processed_logprobs"

    def sample(self, logits: Tensor, sampling_metadata: Any, *args: Any) -> tuple[Tensor, Tensor | None]:
        """Draw as ever; the log-probabilities are taken before vLLM changes the logits in place."""
        wanted = sampling_metadata.max_num_logprobs is not None
        full = (logits / sampling_metadata.temperature[:, None]).log_softmax(-1) if wanted else None
        drawn, _ = super().sample(logits, sampling_metadata, *args)
        return drawn, full

    @staticmethod
    def gather_logprobs(logprobs: Tensor, num_logprobs: int, token_ids: Tensor) -> LogprobsTensors:
        """Those of the drawn tokens. No other is ever asked for; their ranks would cost a pass over the vocabulary."""
        assert num_logprobs == 0
        drawn = token_ids[:, None]
        ranks = torch.zeros(len(token_ids), dtype=torch.int32, device=token_ids.device)
        return LogprobsTensors(drawn.to(torch.int32), logprobs.gather(-1, drawn), ranks)


class FullSoftmaxV2Sampler(SecondSampler):  # type: ignore[misc]
    """The sampler of the second model runner, vLLM's default on GPUs. Not run there yet."""

    def _sample_random(self, processed_logits: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        """Draw as ever; what is reported are the logits after the temperature, before top-k and top-p."""
        tempered = processed_logits.clone()
        drawn, _ = super()._sample_random(processed_logits, *args)
        return drawn, tempered


def install(runner: Any) -> None:
    """Replace a model runner's sampler. RuntimeError for one that is neither of the two."""
    sampler = runner.sampler
    if isinstance(sampler, SecondSampler):
        sampler.__class__ = FullSoftmaxV2Sampler
        sampler.logprobs_mode = "processed_logprobs"
    elif type(sampler) is Sampler:
        runner.sampler = FullSoftmaxSampler(sampler.use_fp64_gumbel)
    else:
        raise RuntimeError(
            f"this vLLM samples with {type(sampler).__module__}.{type(sampler).__name__}, whose log-probabilities are "
            "not those of the full softmax: install vLLM 0.32"
        )
