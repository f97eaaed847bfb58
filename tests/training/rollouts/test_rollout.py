from __future__ import annotations

import torch

from asyppo_cli.runs import metrics as names
from asyppo_cli.training.rollouts.rollout import Rollout, informative_groups, keep_informative, rollout_metrics
from asyppo_cli.types import Problem, Prompt, Response, Verdict, VerdictKind


def rollout(*kinds: tuple[VerdictKind, VerdictKind], first: int = 0) -> Rollout:
    """Groups of two responses; the token of a response tells which it is."""
    prompts = [Prompt(Problem(f"p{first + g}", "?", "1"), (7, 8)) for g in range(len(kinds))]
    flat = [kind for group in kinds for kind in group]
    responses = [Response((100 * first + b, 1), (-0.5, -0.1), truncated=b % 2 == 1) for b in range(len(flat))]
    verdicts = [Verdict(kind, float(kind == "right"), None) for kind in flat]
    return Rollout(prompts, responses, [str(r.tokens[0]) for r in responses], verdicts)


def test_groups_with_one_outcome_teach_nothing() -> None:
    batch = rollout(("right", "wrong"), ("right", "right"), ("wrong", "unparseable"))
    assert informative_groups(batch) == 1


def test_informative_groups_come_first_and_the_batch_stays_full() -> None:
    first = rollout(("right", "right"), ("right", "wrong"), ("wrong", "wrong"))
    second = rollout(("right", "right"), ("right", "right"), ("wrong", "right"), first=10)
    kept = keep_informative([first, second], 3)
    assert [prompt.problem.id for prompt in kept.prompts] == ["p0", "p1", "p12"]
    assert kept.rewards.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 1.0]
    assert kept.texts == ["0", "1", "2", "3", "1004", "1005"] and kept.rounds == 2
    assert kept.prompt_index.tolist() == [0, 0, 1, 1, 2, 2]


def test_kinds_of_failure_are_counted_apart() -> None:
    metrics = rollout_metrics(rollout(("right", "wrong"), ("timed_out", "unparseable"), ("unparseable_gold", "right")))
    for name, share in {
        names.REWARD_MEAN: 2 / 6,
        names.WRONG: 1 / 6,
        names.TIMED_OUT: 1 / 6,
        names.UNPARSEABLE: 1 / 6,
        names.UNPARSEABLE_GOLD: 1 / 6,
        names.TRUNCATED: 3 / 6,
        names.DEAD_GROUPS: 1 / 3,
    }.items():
        assert abs(metrics[name] - share) < 1e-6, name


def test_sequences_pair_prompts_with_responses() -> None:
    batch = rollout(("right", "wrong"), ("right", "right")).sequences()
    assert batch.tokens.tolist() == [[7, 8, b, 1] for b in range(4)]
    assert torch.equal(batch.response_mask, torch.ones(4, 2, dtype=torch.bool))
