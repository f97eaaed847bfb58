"""Problems that a run's metrics show, in words, each with advice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.listing import lookup, whole_number
from asyppo_cli.runs.metric_log import MetricRows
from asyppo_cli.training.reporting.health import TIMED_OUT_SHARE, TRUNCATED_SHARE, UNPARSEABLE_SHARE

# Of the last fifth of the steps, the mean is what counts: one bad step is no diagnosis.
LATE = 0.2
DEAD_SHARE = 0.5
# A critic that explains less of the returns' variance than this is hardly better than their mean.
EXPLAINED = 0.05
# Entropy at a tenth of where it began, and small in itself: the policy hardly tries anything any more.
ENTROPY_SHARE, ENTROPY_NATS = 0.1, 0.1
# A policy that is right this often may be sure of itself.
SETTLED = 0.7
CLIPPED_SHARE = 0.3
# For runs whose configuration says nothing of it: below 0.005 sampler and trainer agree.
LOGPROB_DIFF = 0.01
# Where disagreement is this small against a reward of 1, critics are copies of each other.
DISAGREEMENT = 0.01


@dataclass(frozen=True)
class Diagnosis:
    """``words`` describe the problem, ``advice`` what to do; a note is information, a warning needs attention."""

    level: Literal["warning", "note"]
    title: str
    words: str
    advice: str


def diagnose(metrics: MetricRows, config: Mapping[str, Any]) -> list[Diagnosis]:
    """Everything that looks wrong in a run, warnings first."""
    steps = [row for row in metrics.rows if row[names.STEP] > 0]
    if not steps:
        return []
    late = steps[-max(1, math.ceil(LATE * len(steps))) :]
    found = [
        *_responses(late),
        *_signal(late),
        *_critics(late, config),
        *_policy(steps, late),
        *_staleness(late, config),
        *_accuracy(metrics),
        *_not_finite(steps),
    ]
    return sorted(found, key=lambda diagnosis: diagnosis.level == "note")


def mean_of(rows: Sequence[Mapping[str, float]], name: str) -> float | None:
    """Mean of a metric's finite values, None if there is none."""
    values = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
    return sum(values) / len(values) if values else None


def _responses(late: Sequence[Mapping[str, float]]) -> list[Diagnosis]:
    found = []
    share = mean_of(late, names.TRUNCATED)
    if share is not None and share > TRUNCATED_SHARE:
        words = f"{share:.0%} of the late responses were cut by the length limit and earned nothing for what they said."
        found.append(Diagnosis("warning", "Responses are cut off", words, "Raise rollout.response_length."))
    share = mean_of(late, names.UNPARSEABLE)
    if share is not None and share > UNPARSEABLE_SHARE:
        words = f"{share:.0%} of the late responses box no answer."
        advice = "Start from a model that does (asyppo warmstart), or look at task.system_prompt."
        found.append(Diagnosis("warning", "Answers are not found", words, advice))
    share = mean_of(late, names.TIMED_OUT)
    if share is not None and share > TIMED_OUT_SHARE:
        words = f"{share:.0%} of the answers took longer to grade than grading.deadline allows, and count as wrong."
        found.append(Diagnosis("warning", "Grading times out", words, "Raise grading.deadline or grading.workers."))
    return found


def _signal(late: Sequence[Mapping[str, float]]) -> list[Diagnosis]:
    share, reward = mean_of(late, names.DEAD_GROUPS), mean_of(late, names.REWARD_MEAN)
    if share is None or share <= DEAD_SHARE:
        return []
    easy = reward is not None and reward > 0.5
    why = "right" if easy else "wrong"
    words = f"{share:.0%} of the late prompts got the same reward for all their responses, mostly all {why}."
    advice = f"{'A harder' if easy else 'An easier'} task (task.params), or rewards.drop_uniform_groups=true."
    # With critics a uniform group still has advantages; without, it has none at all.
    return [Diagnosis("note" if easy else "warning", "Many prompts compare nothing", words, advice)]


def _critics(late: Sequence[Mapping[str, float]], config: Mapping[str, Any]) -> list[Diagnosis]:
    count, found = whole_number(config, "critics.count"), []
    explained = {m: mean_of(late, names.critic(m, "explained_variance")) for m in range(count)}
    poor = {m: share for m, share in explained.items() if share is not None and share < EXPLAINED}
    if poor:
        who = ", ".join(f"critic {m} {share:.1%}" for m, share in poor.items())
        words = f"Of the returns' variance late in the run they explain: {who}"
        words += " (below 0: less than a constant would)." if min(poor.values()) < 0 else "."
        advice = "A larger critic (critic_size), a higher learner.critics.lr, or critics.warmup_steps."
        title = "The critics explain nothing" if len(poor) == count else "A critic explains nothing"
        found.append(Diagnosis("warning", title, words, advice))
    spread = mean_of(late, names.DISAGREEMENT)
    if count > 1 and spread is not None and spread < DISAGREEMENT:
        words = f"The critics differ by {spread:.4f} on average: they are nearly copies, and their gates rank noise."
        advice = "Look at critics.split (by_response keeps their data apart)."
        found.append(Diagnosis("warning", "The critics agree about everything", words, advice))
    asked, masked = lookup(config, "gates.mask_pct", 0.0), mean_of(late, names.ADVANTAGE_MASKED)
    if asked and masked == 0.0:
        words = f"gates.mask_pct asks for {asked:.0%}, yet no advantage was masked late in the run."
        advice = "Gates by value_std need two critics (critic_count) that differ."
        found.append(Diagnosis("note", "The gates are idle", words, advice))
    return found


def _policy(steps: Sequence[Mapping[str, float]], late: Sequence[Mapping[str, float]]) -> list[Diagnosis]:
    found = []
    first, last = mean_of(steps[:1], names.ENTROPY), mean_of(late, names.ENTROPY)
    if first is not None and last is not None and last < min(ENTROPY_SHARE * first, ENTROPY_NATS):
        settled = (mean_of(late, names.REWARD_MEAN) or 0.0) > SETTLED
        words = f"The policy's entropy fell from {first:.3f} to {last:.4f} nats a token: it hardly tries anything new"
        words += ", and is mostly right as it is." if settled else ", while it is still often wrong."
        advice = "To go on learning: raise policy_loss.entropy_coef, lower learner.policy.lr, or a harder task."
        found.append(Diagnosis("note" if settled else "warning", "Entropy has collapsed", words, advice))
    clipped = mean_of(late, names.CLIP_SHARE)
    if clipped is not None and clipped > CLIPPED_SHARE:
        words = f"{clipped:.0%} of the late tokens were clipped: the policy moves further than a step may."
        found.append(Diagnosis("warning", "Most of the update is clipped", words, "Lower learner.policy.lr or utd."))
    return found


def _staleness(late: Sequence[Mapping[str, float]], config: Mapping[str, Any]) -> list[Diagnosis]:
    """Rollouts that come from another policy than the one that learns from them, meant or not."""
    gap, limit = mean_of(late, names.LOGPROB_DIFF), lookup(config, "sampler.logprob_diff_warning", LOGPROB_DIFF)
    if gap is None or gap <= limit:
        return []
    words = f"Sampler and trainer differ by {gap:.3f} nats a token (more than {limit:g})"
    if age := mean_of(late, names.STALENESS):
        words += f": batches were sampled {age:.1f} steps before they were learnt from."
        advice = "Meant so (rollout.async_generate_level); a lower learner.policy.lr narrows the gap."
        return [Diagnosis("note", "Rollouts are behind the policy", words, advice)]
    words += ", although every batch was sampled by the newest weights: importance ratios are off."
    advice = "Look at learner.dtype and the sampler's engine; policy_loss.importance_cap=2 corrects for it."
    return [Diagnosis("warning", "The sampler is stale", words, advice)]


def _accuracy(metrics: MetricRows) -> list[Diagnosis]:
    scored = [row for row in metrics.rows if math.isfinite(row.get(names.ACCURACY, math.nan))]
    if len(scored) < 2:
        return []
    first, last = scored[0], scored[-1]
    best = max(scored, key=lambda row: row[names.ACCURACY])
    half = math.hypot(last.get(names.ACCURACY_HALFWIDTH, 0.0), best.get(names.ACCURACY_HALFWIDTH, 0.0))
    if best[names.ACCURACY] - last[names.ACCURACY] > half:
        words = (
            f"Held-out accuracy was {best[names.ACCURACY]:.1%} at step {best[names.STEP]:.0f} and is "
            f"{last[names.ACCURACY]:.1%} at the end."
        )
        advice = "The best checkpoint is kept; look at entropy and the critics where it turned."
        return [Diagnosis("warning", "It has become worse", words, advice)]
    gained = last[names.ACCURACY] - first[names.ACCURACY]
    half = math.hypot(last.get(names.ACCURACY_HALFWIDTH, 0.0), first.get(names.ACCURACY_HALFWIDTH, 0.0))
    if gained <= half:
        words = (
            f"Held-out accuracy changed by {100 * gained:+.1f} points, within ± {100 * half:.1f} of what luck may do."
        )
        return [Diagnosis("note", "No gain is resolved", words, "More steps, or more evaluation.problems.")]
    return []


def _not_finite(steps: Sequence[Mapping[str, float]]) -> list[Diagnosis]:
    bad = {name: int(row[names.STEP]) for row in reversed(steps) for name, x in row.items() if not math.isfinite(x)}
    # Correlation and explained variance are undefined, not broken, where values or returns are all equal.
    undefined = (names.CORRELATION, "explained_variance")
    bad = {name: step for name, step in bad.items() if not name.endswith(undefined)}
    if not bad:
        return []
    listed = ", ".join(f"{name} (first at step {step})" for name, step in list(bad.items())[:4])
    return [Diagnosis("warning", "Numbers that are none", f"Not finite: {listed}.", "Lower the learning rates.")]
