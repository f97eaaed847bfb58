"""One training step, phase by phase, against its floor: bare forward, backward and sampling loops on the same tokens.

    python benchmarks/step.py [--steps 6] [OVERRIDES ...]

Both run in this process, in turn, on the very same rollout: the ratio does not depend on how fast the machine is. The
floor contains what the mathematics cannot do without (one sampling loop over live rows only, one forward pass of every
critic over all responses, one forward and backward pass of every critic over its share and of the policy over all) and
nothing else: no grading, no gates, no optimizer, no records. Exits with 1 if the ratio is above the target.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from contextlib import closing
from time import perf_counter
from typing import Any

import torch
from silent import Silent
from transformers.cache_utils import DynamicCache

from asyppo_cli.algorithm.critics import assign
from asyppo_cli.builders.loop import build_grader, build_loop, load_inputs
from asyppo_cli.config.load import load
from asyppo_cli.engines.hf.microbatches import plan_micro_batches
from asyppo_cli.training.clock import Clock
from asyppo_cli.training.loop import Loop
from asyppo_cli.training.step import StepOutcome
from asyppo_cli.types import Sequences

TARGET = 1.3


def bare_sampling(model: Any, outcome: StepOutcome) -> None:
    """Prompts once, then one forward per position for the rows that are alive, with the draw of a token."""
    rollout = outcome.rollout
    prompts = [prompt.tokens for prompt in rollout.prompts]
    width = max(map(len, prompts))
    tokens = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        model(input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_repeat_interleave(rollout.group_size)
        mask = mask.repeat_interleave(rollout.group_size, 0)
        lengths = torch.tensor([len(response.tokens) for response in rollout.responses])
        texts = torch.nn.utils.rnn.pad_sequence([torch.tensor(r.tokens) for r in rollout.responses], True)
        alive = torch.arange(len(lengths))
        for position in range(int(lengths.max()) - 1):
            kept = lengths[alive] > position + 1
            if not kept.all():
                cache.batch_select_indices(kept.nonzero()[:, 0])
                alive, mask = alive[kept], mask[kept]
            mask = torch.nn.functional.pad(mask, (0, 1), value=1)
            output = model(
                input_ids=texts[alive, position][:, None],
                attention_mask=mask,
                position_ids=mask.sum(-1, keepdim=True) - 1,
                past_key_values=cache,
                use_cache=True,
            )
            torch.multinomial(output.logits[:, -1].softmax(-1), 1)


def bare_passes(module: Any, batch: Sequences, budget: int, backward: bool) -> None:
    """Length-sorted forward passes of a module, with the backward pass of a plain sum if asked for."""
    with torch.set_grad_enabled(backward):
        for rows in plan_micro_batches(batch.lengths, budget):
            micro = batch.rows(rows)
            hidden = module.base_model(input_ids=micro.tokens, use_cache=False).last_hidden_state
            head = module.get_output_embeddings() if hasattr(module, "lm_head") else None
            if head is None:
                loss = hidden.sum()
            else:
                places = torch.arange(micro.tokens.shape[1] - 1) >= micro.prompt_lengths[:, None] - 1
                places &= torch.arange(micro.tokens.shape[1] - 1) < micro.lengths[:, None] - 1
                logits = head(hidden[:, :-1][places])
                loss = torch.nn.functional.cross_entropy(logits, micro.tokens[:, 1:][places])
            if backward:
                loss.backward()
                module.zero_grad()


def floor(loop: Loop, outcome: StepOutcome, budget: int) -> dict[str, float]:
    """Seconds of each part of the floor."""
    stepper: Any = loop.train_step
    seconds = {}
    start = perf_counter()
    bare_sampling(stepper.source.sampler.sampler._model, outcome)
    seconds["sample"] = perf_counter() - start
    if stepper.critics is not None:
        critics = [critic._module.backbone for critic in stepper.critics.critics]
        start = perf_counter()
        for critic in critics:
            bare_passes(critic, outcome.batch, budget, backward=False)
        seconds["values"] = perf_counter() - start
        start = perf_counter()
        shares = assign(outcome.rollout.prompt_index, len(critics), stepper.critics.split)
        for critic, share in zip(critics, shares, strict=True):
            for _ in range(stepper.critics.passes.epochs):
                bare_passes(critic, outcome.batch.rows(share.nonzero()[:, 0]), budget, backward=True)
        seconds["critics"] = perf_counter() - start
    start = perf_counter()
    for _ in range(stepper.policy.passes.epochs):
        bare_passes(stepper.policy.policy._module.model, outcome.batch, budget, backward=True)
    seconds["policy"] = perf_counter() - start
    return seconds


def measure(loop: Loop, steps: int, budget: int) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Phases of ``steps`` steps and of their floors, taken in turn; the first of each is dropped as warm-up."""
    real, bare = [], []
    for step in range(1, steps + 2):
        clock = Clock(Silent())
        outcome = loop.train_step.run(step, clock)
        real.append(clock.seconds)
        bare.append(floor(loop, outcome, budget))
    return real[1:], bare[1:]


def main() -> int:
    """Print the table; 0 if the target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    # Warm-up steps of the critics have no policy phase: leave them out.
    config = load(["critics.warmup_steps=0", *arguments.overrides]).config
    with closing(build_grader(config)) as grader:
        loop = build_loop(config, load_inputs(config), grader, Silent(), Silent())
        real, bare = measure(loop, arguments.steps, config.learner.micro_batch_tokens)
    phases = list(dict.fromkeys(name for seconds in real for name in seconds))
    print(f"{'phase':<14}{'step s':>9}{'floor s':>9}{'share':>8}")
    whole = statistics.median(sum(seconds.values()) for seconds in real)
    for phase in phases:
        mine = statistics.median(seconds.get(phase, 0.0) for seconds in real)
        theirs = statistics.median(seconds.get(phase, 0.0) for seconds in bare)
        print(f"{phase:<14}{mine:>9.3f}{theirs:>9.3f}{mine / whole:>8.0%}")
    ratio = statistics.median(sum(r.values()) / sum(b.values()) for r, b in zip(real, bare, strict=True))
    print(f"{'all':<14}{whole:>9.3f}{statistics.median(sum(b.values()) for b in bare):>9.3f}")
    print(f"step / floor = {ratio:.2f} (target at most {TARGET}): {'PASS' if ratio <= TARGET else 'FAIL'}")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
