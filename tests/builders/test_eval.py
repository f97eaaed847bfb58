"""Settings of an evaluation: they depend on the model and the options, never on the problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyppo_cli.builders.eval import EvaluationOptions, sampling_settings
from asyppo_cli.builders.eval_engines import FEWEST_ROWS, batch_rows
from asyppo_cli.builders.eval_models import ScoredModel, paper_config
from asyppo_cli.builders.samplers import greedy
from asyppo_cli.types import SamplingParams


@pytest.fixture(scope="module")
def model() -> ScoredModel:
    return ScoredModel("m", "", Path("results"), "w", paper_config(), own=False)


@pytest.mark.parametrize(
    ("context", "asked", "tokens", "notes"),
    [
        (None, None, 8000, 0),
        (32768, None, 8000, 0),
        (8192, None, 8192 - 1024, 1),
        (1024, None, 512, 1),
        (2048, 2000, 2000, 0),
    ],
)
def test_the_longest_response_follows_from_the_model_alone(
    model: ScoredModel, context: int | None, asked: int | None, tokens: int, notes: int
) -> None:
    found: list[str] = []
    assert sampling_settings(model, EvaluationOptions(max_tokens=asked), context, found).max_tokens == tokens
    assert len(found) == notes


def test_a_response_as_long_as_the_context_is_refused(model: ScoredModel) -> None:
    with pytest.raises(ValueError, match="--max-tokens 2048"):
        sampling_settings(model, EvaluationOptions(max_tokens=2048), 2048, [])


@pytest.mark.parametrize(
    ("most", "parameters", "response", "device", "rows"),
    [
        (1024, 500_000, 256, "cpu", 1024),  # the embedded model: as in training
        (64, 135_000_000, 512, "cpu", 10),
        (64, 135_000_000, 8000, "cpu", FEWEST_ROWS),
        (4, 135_000_000, 8000, "cpu", 4),
        (64, 135_000_000, 8000, "cuda", 64),
    ],
)
def test_a_batch_is_about_half_a_minute_of_work(
    most: int, parameters: int, response: int, device: str, rows: int
) -> None:
    assert batch_rows(most, parameters, response, device) == rows


def test_temperature_zero_is_the_most_probable_token() -> None:
    params = SamplingParams(8, 0.0, 0.9, 50, seed=3)
    assert (greedy(params).temperature, greedy(params).top_k) == (1.0, 1)
    warm = SamplingParams(8, 0.7, 0.9, 50, seed=3)
    assert greedy(warm) == warm
