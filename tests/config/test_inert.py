"""Which settings have no effect; that training agrees is tested with real runs."""

from __future__ import annotations

import pytest

from asyppo_cli.config.inert import effective, only_warms_up
from asyppo_cli.config.load import load


def same(common: list[str], one: list[str], other: list[str]) -> bool:
    first, second = (load([*common, *words]) for words in (one, other))
    return effective(first.config, first.resolved) == effective(second.config, second.resolved)


@pytest.mark.parametrize(
    ("common", "one", "other", "equal"),
    [
        (["algorithm=grpo"], ["mask_pct=0.1"], ["mask_pct=0.3"], True),
        (["algorithm=grpo", "gates.mask_signal=random"], ["mask_pct=0.1"], ["mask_pct=0.3"], False),
        (["algorithm=grpo"], ["learner.critics.lr=1e-3"], ["learner.critics.lr=1e-4"], True),
        ([], ["mask_pct=0.1"], ["mask_pct=0.3"], False),
        ([], ["mask_pct=0.1"], ["mask_pct=off"], False),
        (["mask_pct=off"], ["gates.mask_signal=random"], ["gates.mask_signal=value_std"], True),
        (["critic_count=1"], ["mask_pct=0.1"], ["mask_pct=0.3"], True),
        (["critic_count=1"], ["critics.aggregation=min"], ["critics.aggregation=max"], True),
        (["critic_count=2"], ["critics.aggregation=min"], ["critics.aggregation=max"], False),
        ([], ["policy_loss.kl_form=k1"], ["policy_loss.kl_form=k3"], True),
        (["policy_loss.kl_coef=0.1"], ["policy_loss.kl_form=k1"], ["policy_loss.kl_form=k3"], False),
        ([], ["learner.threads=1"], ["learner.threads=2"], True),
        ([], ["seed=1"], ["seed=2"], False),
        (["max_steps=3"], ["mask_pct=0.1"], ["mask_pct=0.3"], True),
    ],
)
def test_equal_results_are_known_from_the_settings(
    common: list[str], one: list[str], other: list[str], equal: bool
) -> None:
    assert same(common, one, other) is equal


def test_a_warm_up_as_long_as_the_run_is_found() -> None:
    assert only_warms_up(load(["max_steps=3"]).config) is not None
    assert only_warms_up(load(["max_steps=4"]).config) is None
    assert only_warms_up(load(["max_steps=3", "algorithm=grpo"]).config) is None
