"""Why a score may not mean what it seems to: responses without an answer, empty, cut off, or never drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from asyppo_cli.evaluation.scores import Scores

# Above this share of the samples, a score says more about the form of the responses than about the answers.
MOST = 0.5


@dataclass(frozen=True)
class ScoreWarning:
    """What is wrong, with its share, for the score's own line; and what to do."""

    finding: str
    advice: str

    def __str__(self) -> str:
        return f"{self.finding}: {self.advice}"


def diagnose(scores: Scores, failures: Sequence[str] = ()) -> list[ScoreWarning]:
    """Warnings to show with a score; ``failures`` are the reasons of failed samples."""
    kinds, total = scores.kinds, sum(scores.kinds.values())
    shares = [
        (scores.empty, "empty", "check the server, the chat template and the stop tokens"),
        (scores.truncated, "cut off", "raise --max-tokens"),
        (
            kinds.get("unparseable", 0) / total - scores.empty,
            "without a readable answer",
            "the grader reads the last \\boxed{...}: ask for one with --system-prompt, or see asyppo eval show --wrong",
        ),
        (kinds.get("unparseable_gold", 0) / total, "to unreadable golds", "give answers alone, such as 42"),
        (kinds.get("timed_out", 0) / total, "too slow to grade", "see them with asyppo eval show --wrong"),
    ]
    found = [ScoreWarning(f"{100 * share:.0f} % {what}", advice) for share, what, advice in shares if share > MOST]
    if scores.failed:
        [(reason, _)] = Counter(failures).most_common(1) or [("no reason given", 0)]
        advice = f"they count as not right ({reason}); draw them again with --retry-failed"
        found.append(ScoreWarning(f"partial, {scores.failed} of {total} samples failed", advice))
    return found
