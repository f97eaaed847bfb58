from __future__ import annotations

import pytest

from asyppo_cli.runs import metrics as names
from asyppo_cli.training.reporting.health import SamplerAgreement, health_warnings

HEALTHY = {names.TRUNCATED: 0.02, names.DEAD_GROUPS: 0.4, names.UNPARSEABLE: 0.1, names.LOGPROB_DIFF: 1e-5}


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        (names.TRUNCATED, 0.5, "rollout.response_length"),
        (names.DEAD_GROUPS, 1.0, "rollout.responses"),
        (names.UNPARSEABLE, 0.9, "warmstart"),
        (names.TIMED_OUT, 0.2, "grading.deadline"),
        (names.LOGPROB_DIFF, 0.05, "importance ratios"),
    ],
)
def test_each_fault_is_named_with_what_to_do(name: str, value: float, advice: str) -> None:
    assert health_warnings(HEALTHY, 0.01) == {}
    found = health_warnings({**HEALTHY, name: value}, 0.01)
    assert list(found) == [name] and advice in found[name]


def test_a_batch_of_an_earlier_version_may_differ() -> None:
    assert health_warnings({**HEALTHY, names.LOGPROB_DIFF: 0.05, names.STALENESS: 1}, 0.01) == {}
    assert health_warnings({**HEALTHY, names.LOGPROB_DIFF: 0.05}, 0.1) == {}


@pytest.mark.parametrize(
    ("limit", "earlier", "difference", "staleness", "found"),
    [
        (0.1, [1e-5] * 5, 0.5, 0, True),
        (0.1, [1e-5] * 5, float("nan"), 0, True),
        (0.1, [1e-5] * 5, 0.09, 0, False),  # a jump, below the limit
        (0.1, [0.06, 0.05, 0.06], 0.5, 0, False),  # above the limit, and no jump
        (0.1, [0.04, 0.04, 0.04], 0.5, 0, True),
        (0.1, [0.0] * 5, 0.2, 0, True),
        (0.1, [1e-5] * 2, 0.5, 0, False),  # nothing to compare with yet
        (0.1, [1e-5] * 5, 0.5, 1, False),  # a batch of an earlier version
        (None, [1e-5] * 5, 0.5, 0, False),
    ],
)
def test_a_jump_of_the_difference_between_sampler_and_trainer(
    limit: float | None, earlier: list[float], difference: float, staleness: int, found: bool
) -> None:
    agreement = SamplerAgreement(limit)
    assert all(agreement.jump({**HEALTHY, names.LOGPROB_DIFF: value}) is None for value in earlier)
    fault = agreement.jump({**HEALTHY, names.LOGPROB_DIFF: difference, names.STALENESS: staleness})
    assert (fault is not None) == found
    if fault is not None:
        assert f"{difference:.3g}" in fault and f"{earlier[0]:.3g}" in fault and "logprob_diff_limit" in fault


def test_stale_batches_are_not_what_later_steps_are_compared_with() -> None:
    agreement = SamplerAgreement(0.1)
    for _ in range(5):
        assert agreement.jump({names.LOGPROB_DIFF: 1e-5, names.STALENESS: 0}) is None
        assert agreement.jump({names.LOGPROB_DIFF: 0.4, names.STALENESS: 1}) is None
    assert agreement.jump({names.LOGPROB_DIFF: 0.4, names.STALENESS: 0}) is not None
