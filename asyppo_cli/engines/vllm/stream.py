"""vLLM for evaluations: every response is handed over as soon as it is finished, whatever the others do.

So no batch waits for its longest response, and an interruption loses only what is under way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asyppo_cli.engines.vllm.engine import VllmEngine, request_seed
from asyppo_cli.types import Response, SamplingParams


@dataclass(frozen=True)
class StreamRequest:
    """One response wanted: number ``sample`` to the prompt at ``position``, which two fix its seed."""

    prompt: Sequence[int]
    position: int
    sample: int


class VllmStream(VllmEngine):
    """A started engine that returns responses one by one; their log-probabilities are left out."""

    def stream(
        self, requests: Sequence[StreamRequest], params: SamplingParams
    ) -> Iterator[tuple[StreamRequest, Response]]:
        """Responses as they finish. A seed belongs to a response alone, so the order of requests does not matter."""
        from vllm import SamplingParams as VllmParams
        from vllm.sampling_params import RequestOutputKind

        engine = self._llm.llm_engine
        waiting = {str(number): request for number, request in enumerate(requests)}
        try:
            for number, request in waiting.items():
                drawn = VllmParams(
                    max_tokens=params.max_tokens,
                    temperature=params.temperature,
                    top_p=params.top_p,
                    top_k=params.top_k,
                    seed=request_seed(params.seed, request.position, request.sample),
                    stop_token_ids=sorted(self._eos),
                    ignore_eos=True,
                    detokenize=False,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                )
                engine.add_request(number, {"prompt_token_ids": list(request.prompt)}, drawn)
            while waiting:
                for output in engine.step():
                    if output.finished:
                        tokens = output.outputs[0].token_ids
                        yield waiting.pop(output.request_id), Response(tokens, (), tokens[-1] not in self._eos)
        finally:
            # Whoever stops listening wants no more of them.
            if waiting:
                engine.abort_request(list(waiting))
