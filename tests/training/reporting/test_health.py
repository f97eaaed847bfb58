from __future__ import annotations

import pytest

from asyppo_cli.runs import metrics as names
from asyppo_cli.training.reporting.health import health_warnings

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
