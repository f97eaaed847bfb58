from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from asyppo_cli.engines.hf.microbatches import plan_micro_batches
from asyppo_cli.engines.hf.models import PolicyModel, ValueModel
from asyppo_cli.engines.hf.prompt_packing import find_attention_crossover, plan_packing
from asyppo_cli.engines.torch.learner import AdamW, TorchLearner
from asyppo_cli.types import LossTerms, Sequences, TensorRecord, ValueOutputs

FAR = 1e9
FAMILIES = ["qwen3", "llama", "gpt2", "phi3"]


def loss(outputs: TensorRecord, targets: TensorRecord) -> LossTerms:
    """Every output with weights of its own, so that no row can stand in for another."""
    values = vars(outputs)
    parts = [v * w for v, w in zip(values.values(), (1.0, 0.3, 0.0), strict=False)]
    return LossTerms(sum((part * next(iter(vars(targets).values()))).sum() for part in parts), {})  # type: ignore[arg-type]


def weights_of(batch: Sequences) -> ValueOutputs:
    generator = torch.Generator().manual_seed(1)
    return ValueOutputs(torch.randn(batch.response_mask.shape, generator=generator) * batch.response_mask)


def learner(module: Any, share: bool, budget: int = 10_000) -> TorchLearner[Any]:
    learner = TorchLearner(
        module,
        AdamW(1e-3, 0.0, (0.9, 0.95), 1e9, 0, "constant", 10),
        device=torch.device("cpu"),
        dtype=torch.float32,
        micro_batch_tokens=budget,
        gradient_checkpointing=False,
        share_prompts=share,
    )
    if learner._attention_crossover is not None:
        # A tiny model's attention is dear: it would share less.
        learner._attention_crossover = FAR
    return learner


def gradients(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}


def build(make_model: Callable[..., Any], family: str, kind: str) -> Any:
    model = make_model(family)
    if kind == "policy":
        return PolicyModel(model, 0.7)
    critic = ValueModel(model.base_model)
    torch.manual_seed(0)
    torch.nn.init.normal_(critic.head.weight)
    return critic


@pytest.mark.parametrize("kind", ["policy", "critic"])
@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_and_gradients_are_those_of_rows_with_a_prompt_each(
    make_model: Callable[..., Any], groups: Sequences, family: str, kind: str
) -> None:
    separate, packed = build(make_model, family, kind), build(make_model, family, kind)
    expected, sums = learner(separate, False).forward_backward(groups, weights_of(groups), loss)
    found, same = learner(packed, True).forward_backward(groups, weights_of(groups), loss)
    assert same["loss"] == pytest.approx(sums["loss"], rel=1e-4)
    for name, value in vars(expected).items():
        torch.testing.assert_close(getattr(found, name), value, atol=2e-5, rtol=1e-4)
    whole = gradients(separate)
    assert gradients(packed).keys() == whole.keys()
    for name, gradient in gradients(packed).items():
        torch.testing.assert_close(gradient, whole[name], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("budget", [1, 30, 60, 10_000])
def test_neither_order_nor_micro_batches_nor_the_rest_of_a_group_change_anything(
    make_model: Callable[..., Any], groups: Sequences, budget: int
) -> None:
    expected = learner(build(make_model, "qwen3", "policy"), False).forward(groups).logprobs
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(5))
    for rows in (order, order[::2], order[:1]):
        shared = learner(build(make_model, "qwen3", "policy"), True, budget).forward(groups.rows(rows)).logprobs
        torch.testing.assert_close(shared, expected[rows, : shared.shape[1]], atol=2e-5, rtol=1e-4)


def test_a_prompt_is_computed_once(make_model: Callable[..., Any], groups: Sequences) -> None:
    seen = []
    module = build(make_model, "qwen3", "policy")
    sharing = learner(module, True)
    module.model.get_input_embeddings().register_forward_hook(lambda _m, given, _o: seen.append(given[0]))
    sharing.forward(groups)
    rows = torch.cat([row.flatten() for row in seen])
    once = {bytes(t[:n].numpy()): int(n) for t, n in zip(groups.tokens, groups.prompt_lengths, strict=True)}
    needed = sum(once.values()) + int(groups.response_lengths.sum())
    assert int((rows != 0).sum()) == needed < int(groups.lengths.sum())


def test_parts_hold_every_row_once_and_stay_within_the_budget(groups: Sequences) -> None:
    for budget in (1, 20, 50, 1000):
        parts = plan_packing(groups, budget, FAR)
        assert sorted(torch.cat([part.rows for part in parts]).tolist()) == list(range(len(groups)))
        for rows, sizes in parts:
            if sizes is None:
                assert len(rows) == 1 or len(rows) * int(groups.lengths[rows].max()) <= budget
                continue
            assert int(sizes.sum()) == len(rows) and int(sizes.min()) > 1
            lengths = []
            for row in rows.split(sizes.tolist()):
                prompts = {bytes(groups.tokens[b, : groups.prompt_lengths[b]].numpy()) for b in row}
                assert len(prompts) == 1
                lengths.append(int(groups.prompt_lengths[row[0]] + groups.response_lengths[row].sum()))
            assert len(sizes) * max(lengths) <= budget


def test_long_responses_stay_alone_and_short_ones_meet() -> None:
    prompt, lengths = [7] * 20, [300, 5, 320, 6, 4, 310]
    batch = Sequences.join([prompt] * 6, [[9] * n for n in lengths])
    separate, packed = plan_packing(batch, 100_000, 200.0)
    assert separate.sizes is None and sorted(separate.rows.tolist()) == [0, 2, 5]
    assert packed.sizes is not None and packed.sizes.tolist() == [3] and sorted(packed.rows.tolist()) == [1, 3, 4]


def test_without_a_shared_prompt_nothing_is_new(batch: Sequences) -> None:
    expected = plan_micro_batches(batch.lengths, 30)
    for attention_crossover in (None, FAR):
        parts = plan_packing(batch, 30, attention_crossover)
        assert all(part.sizes is None and torch.equal(part.rows, e) for part, e in zip(parts, expected, strict=True))


def test_a_model_that_heeds_no_such_mask_is_found_out(make_model: Callable[..., Any], groups: Sequences) -> None:
    for family in FAMILIES:
        assert find_attention_crossover(make_model(family).base_model) is not None, family
    # Windows, a recurrent state, positions that are part of the mask.
    for family in ("gemma2", "mistral", "mamba", "bloom"):
        assert find_attention_crossover(make_model(family).base_model) is None, family
    # This implementation adds a mask to its scores, and true and false are 1 and 0 to it.
    adding = make_model("qwen3")
    adding.set_attn_implementation("eager")
    assert find_attention_crossover(adding.base_model) is None
    expected = learner(build(make_model, "mistral", "policy"), False).forward(groups).logprobs
    assert torch.equal(learner(build(make_model, "mistral", "policy"), True).forward(groups).logprobs, expected)
