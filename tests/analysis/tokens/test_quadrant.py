"""The quadrants: a worked example, independence, zeros, and the recorded gradient against autograd."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import asyppo_cli
from analysis.tokens.quadrant import (
    cells_csv,
    quadrant,
    quadrant_density_csv,
    quadrant_finding,
)
from analysis.tokens.quadrant_figure import draw_quadrant
from asyppo_cli.runs.directory import RunDirectory

MakeRun = Callable[..., RunDirectory]
LENGTHS = [8] * 30


def of(make_run: MakeRun, sigma: Any, gradient: Any, lengths: list[int] = LENGTHS, name: str = "run") -> Any:
    run = make_run(name, {10: lengths}, value_std=np.asarray(sigma), gradient_norm=np.asarray(gradient))
    return quadrant(run, "10")


def main_axes(figure: Any) -> Any:
    return next(ax for ax in figure.axes if "disagreement" in ax.get_xlabel())


def test_eight_states_by_hand(make_run: MakeRun) -> None:
    # Medians 4.5 and 0.45: large sigma are the last four, large gradients the 3rd, 6th, 7th and 8th.
    data = of(make_run, [1, 2, 3, 4, 5, 6, 7, 8], [0.1, 0.2, 0.5, 0.3, 0.4, 0.6, 0.7, 0.8], [3, 5])
    assert data.medians == (4.5, pytest.approx(0.45))
    np.testing.assert_allclose(data.shares, [[3 / 8, 1 / 8], [1 / 8, 3 / 8]])
    assert data.concordant.value == 0.75 and data.independent == 0.5 and data.excess.value == 0.25
    # (9 - 1) / sqrt(4 * 4 * 4 * 4), and 9 / 1.
    assert data.phi.value == 0.5 and data.odds_ratio.value == 9.0
    assert not data.phi.known, "two responses allow no interval"
    assert "No association" in " ".join(quadrant_finding(data))


def test_independent_quantities_are_not_called_associated(make_run: MakeRun) -> None:
    random = np.random.default_rng(0)
    data = of(make_run, random.random(240), random.random(240))
    assert data.excess.holds(0.0) and data.concordant.holds(0.5)
    assert "No association" in quadrant_finding(data)[1]


@pytest.mark.parametrize(("sign", "said"), [(1, "rises with disagreement, strongly"), (-1, "falls with disagreement")])
def test_an_association_is_told_with_its_direction(make_run: MakeRun, sign: int, said: str) -> None:
    random = np.random.default_rng(0)
    sigma = random.random(240)
    data = of(make_run, sigma, np.exp(sign * 3 * sigma + 0.3 * random.normal(size=240)))
    assert said in quadrant_finding(data)[1]
    assert "independence gives 50.0 %" in quadrant_finding(data)[1]


def test_an_association_that_few_responses_carry_is_uncertain(make_run: MakeRun) -> None:
    # All states of a response are alike: 240 states are 30 pieces of evidence, and the interval says so.
    random = np.random.default_rng(2)
    sigma, gradient = np.repeat(random.random(30), 8), np.repeat(random.random(30), 8)
    alike = of(make_run, sigma + 1e-6 * random.random(240), gradient + 1e-6 * random.random(240), name="alike")
    apart = of(make_run, random.random(240), random.random(240), name="apart")
    assert alike.phi.high - alike.phi.low > 1.8 * (apart.phi.high - apart.phi.low)


def test_zeros_are_counted_and_drawn_apart(make_run: MakeRun) -> None:
    random = np.random.default_rng(0)
    gradient = random.exponential(0.1, 240)
    gradient[:24] = 0.0
    data = of(make_run, random.random(240), gradient)
    assert data.y.zero_share == pytest.approx(0.1) and data.x.zero_share == 0.0
    assert data.counts[:, 0].sum() == 24 and data.counts.sum() == 240
    assert "10 % of the states have gradient exactly 0." in quadrant_finding(data)[-1]
    drawn = main_axes(draw_quadrant(data)).collections[0].get_array()
    assert drawn[0].sum() == 24 and drawn[1].mask.all(), "the zeros, a gap, the rest"
    labels = [label.get_text() for label in main_axes(draw_quadrant(data)).get_yticklabels()]
    assert "0" in labels


def test_all_zeros_are_still_a_picture(make_run: MakeRun) -> None:
    data = of(make_run, np.zeros(240), np.zeros(240))
    assert data.counts[0, 0] == 240 and data.shares[0, 0] == 1.0
    assert "100 % of the states have gradient exactly 0 and 100 %" in quadrant_finding(data)[-1]
    draw_quadrant(data)


def test_several_steps_are_split_each_at_its_own_medians(make_run: MakeRun) -> None:
    # Both quantities shrink tenfold from one step to the next; within each they are independent.
    random = np.random.default_rng(0)
    run = make_run("run", {1: LENGTHS, 2: LENGTHS}, value_std=random.random(240), gradient_norm=random.random(240))
    make_run("two", {2: LENGTHS}, value_std=random.random(240) / 10, gradient_norm=random.random(240) / 10)
    (run.path.parent / "two" / "records" / "step-000002.parquet").replace(run.records(2))
    data = quadrant(run, "all")
    assert data.relative and data.medians == (1.0, 1.0)
    assert data.concordant.holds(0.5), "what training does to both is not taken for an association"


def test_the_picture_is_the_table(make_run: MakeRun) -> None:
    random = np.random.default_rng(0)
    data = of(make_run, random.random(240), random.exponential(1, 240))
    figure = draw_quadrant(data)
    main = main_axes(figure)
    assert main.collections[0].get_array().sum() == 240
    assert {text.get_text() for text in main.texts} == {f"{100 * share:.1f} %" for share in data.shares.ravel()}
    rows = list(csv.DictReader(io.StringIO(quadrant_density_csv(data))))
    assert sum(int(row["states"]) for row in rows) == 240
    median = 10 ** main.lines[0].get_xdata()[0]
    assert median == pytest.approx(data.medians[0], rel=1e-5)
    cells = {row["what"]: row["number"] for row in csv.DictReader(io.StringIO(cells_csv(data)))}
    assert float(cells["large std, large gradient"]) == pytest.approx(data.shares[1, 1])
    assert float(cells["phi"]) == pytest.approx(data.phi.value, rel=1e-6)


def test_recorded_gradients_are_those_of_autograd(make_run: MakeRun) -> None:
    """On the embedded policy: the norm by the logits, and by the output matrix the hidden state's norm times that."""
    from transformers import AutoModelForCausalLM

    from asyppo_cli.engines.hf.models import PolicyModel
    from asyppo_cli.engines.hf.prompt_packing import predicting_positions
    from asyppo_cli.training.reporting.recording import token_columns
    from asyppo_cli.types import Sequences

    temperature = 0.7
    model = AutoModelForCausalLM.from_pretrained(Path(asyppo_cli.__file__).parent / "embedded" / "policy")
    generator = torch.Generator().manual_seed(1)
    responses = [torch.randint(20, (n,), generator=generator).tolist() for n in (5, 9, 2)]
    batch = Sequences.join([[3, 4], [5], [6, 7, 8]], responses)
    advantages = torch.randn(batch.response_mask.shape, generator=generator)
    with torch.no_grad():
        old = PolicyModel(model, temperature)(batch)
    ones = torch.ones_like(advantages)
    outcome: Any = SimpleNamespace(
        step=1,
        batch=batch,
        old=old,
        values=None,
        rollout=SimpleNamespace(
            responses=[SimpleNamespace(tokens=r) for r in responses],
            prompts=[SimpleNamespace(problem=SimpleNamespace(id="p"))],
            group_size=3,
            rewards=torch.zeros(3),
        ),
        targets=SimpleNamespace(
            values=ones, disagreement=ones, advantages=advantages, advantage_kept=ones > 0, entropy_kept=ones > 0
        ),
    )
    recorded = token_columns(outcome, 3, str, temperature)["gradient_norm"]
    by_logits, by_matrix, hidden_norms = autograd(model, batch, predicting_positions(batch), advantages, temperature)
    np.testing.assert_allclose(recorded, by_logits, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(recorded * hidden_norms, by_matrix, rtol=1e-4, atol=1e-6)


def autograd(model: Any, batch: Any, where: Any, advantages: Any, temperature: float) -> tuple[Any, Any, Any]:
    """Of each response token: the norms of its loss's gradient by its logits and by the output matrix, and |hidden|."""
    with torch.no_grad():
        hidden = model.base_model(input_ids=batch.tokens).last_hidden_state[where]
    matrix = model.get_output_embeddings().weight.detach().clone().requires_grad_()
    chosen = batch.tokens[:, 1:][where[:, :-1]]
    found = []
    for state, token, advantage in zip(hidden, chosen, advantages[batch.response_mask], strict=True):
        logits = state @ matrix.T
        logits.retain_grad()
        logprob = (logits / temperature).log_softmax(-1)[token]
        matrix.grad = None
        # The clipped objective at ratio 1, of one token, as a loss.
        ratio = (logprob - logprob.detach()).exp()
        (-torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)).backward()
        found.append((logits.grad.norm().item(), matrix.grad.norm().item(), state.norm().item()))
    return tuple(np.array(part) for part in zip(*found, strict=True))
