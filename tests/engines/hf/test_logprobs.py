from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from asyppo_cli.engines.hf import logprobs
from asyppo_cli.engines.hf.logprobs import statistics_of_logits, token_statistics
from asyppo_cli.engines.hf.models import PolicyModel
from asyppo_cli.types import Sequences

TOKENS, HIDDEN, WORDS = 24, 16, 1000

Table = tuple[nn.Linear, Tensor, Tensor]


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 256, the last narrower."""
    monkeypatch.setitem(logprobs.BLOCK_LOGITS, "cpu", 1)


def table(bias: bool = False, spread: float = 1.0) -> Table:
    torch.manual_seed(0)
    head = nn.Linear(HIDDEN, WORDS, bias=bias)
    hidden = torch.randn(TOKENS, HIDDEN) * spread
    return head, hidden.requires_grad_(), torch.randint(WORDS, (TOKENS,))


def in_full(head: nn.Linear, hidden: Tensor, chosen: Tensor, temperature: float) -> tuple[Tensor, ...]:
    return statistics_of_logits(head(hidden), chosen, temperature)


def numbers(way: Callable[..., tuple[Tensor, ...]], given: Table, temperature: float, which: str) -> list[Tensor]:
    """Results, then gradients of all that has one; log-probability and entropy have upstream gradients of their own."""
    head, hidden, chosen = given
    logprobs, entropy, elsewhere = way(head, hidden, chosen, temperature)
    weights = torch.linspace(-1, 2, TOKENS)
    parts = {"logprobs": (logprobs * weights).sum(), "entropy": (entropy * weights.flip(0)).sum()}
    loss = parts["logprobs"] + parts["entropy"] if which == "both" else parts[which]
    gradients = torch.autograd.grad(loss, [hidden, *head.parameters()])
    return [logprobs.detach(), entropy.detach(), elsewhere, *gradients]


@pytest.mark.parametrize("which", ["logprobs", "entropy", "both"])
@pytest.mark.parametrize(("bias", "temperature", "spread"), [(False, 1.0, 1.0), (True, 0.7, 1.0), (True, 1.5, 20.0)])
def test_results_and_gradients_are_autograds_own(bias: bool, temperature: float, spread: float, which: str) -> None:
    given = table(bias, spread)
    expected = numbers(in_full, given, temperature, which)
    for found, wanted in zip(numbers(token_statistics, given, temperature, which), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)


def test_a_near_certain_word_leaves_the_others_their_mass() -> None:
    head, hidden, chosen = table(True)
    with torch.no_grad():
        head.bias[chosen] += 25.0
    wide = nn.Linear(HIDDEN, WORDS).double()
    wide.load_state_dict(head.state_dict())
    log_pi = wide(hidden.double()).log_softmax(-1)
    expected = log_pi.exp().square().scatter(-1, chosen[:, None], 0.0).sum(-1)
    # All of a token's neighbours in the batch have the bias too: look at what is tiny beside a mass of 1.
    torch.testing.assert_close(token_statistics(head, hidden, chosen, 1.0)[2].double(), expected, rtol=1e-3, atol=0.0)


def test_under_autocast_it_is_as_exact_as_the_plain_way() -> None:
    given = table(True)
    exact = numbers(in_full, given, 1.0, "both")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain, found = numbers(in_full, given, 1.0, "both"), numbers(token_statistics, given, 1.0, "both")
    assert {value.dtype for value in found} == {torch.float32}
    for ours, theirs, value in zip(found, plain, exact, strict=True):
        assert (ours - value).norm() <= 1.25 * (theirs - value).norm() + 1e-6


def test_nothing_is_ever_as_large_as_the_whole_table() -> None:
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                largest = max(largest, result.numel())
            return result

    with Watch():
        numbers(token_statistics, table(), 1.0, "both")
    assert largest == max(TOKENS * logprobs.MIN_BLOCK, HIDDEN * WORDS) < TOKENS * WORDS


def test_a_frozen_head_and_no_gradient_at_all_cost_no_backward() -> None:
    head, hidden, chosen = table()
    head.weight.requires_grad_(False)
    logprobs, entropy, _ = token_statistics(head, hidden, chosen, 1.0)
    (logprobs + entropy).sum().backward()
    assert head.weight.grad is None and hidden.grad is not None
    with torch.no_grad():
        assert not any(value.requires_grad for value in token_statistics(head, hidden, chosen, 1.0))


def test_a_token_without_weight_has_no_gradient() -> None:
    head, hidden, chosen = table()
    logprobs, entropy, _ = token_statistics(head, hidden, chosen, 1.0)
    weights = torch.ones(TOKENS)
    weights[3] = 0.0
    ((logprobs + entropy) * weights).sum().backward()
    assert hidden.grad is not None
    assert not hidden.grad[3].any() and hidden.grad[4].all()


def test_the_head_keeps_its_own_forward_whatever_happens() -> None:
    head, hidden, chosen = table()
    token_statistics(head, hidden, chosen, 1.0)
    with pytest.raises(RuntimeError):
        token_statistics(head, hidden[:, :3], chosen, 1.0)
    assert head(hidden).shape == (TOKENS, WORDS)


def test_tied_embeddings_add_both_gradients_up(make_model: Callable[..., Any], batch: Sequences) -> None:
    def gradients(plain_head: bool) -> dict[str, Tensor]:
        model = make_model("qwen3")
        assert model.config.tie_word_embeddings
        module = PolicyModel(model, 0.8)
        assert module.capabilities.plain_head
        module.capabilities = module.capabilities._replace(plain_head=plain_head)
        outputs = module(batch)
        (outputs.logprobs.sum() + 0.1 * outputs.entropy.sum()).backward()
        return {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}

    found, expected = gradients(True), gradients(False)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-4)
