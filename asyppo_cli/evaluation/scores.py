"""Scores of graded samples with their intervals. Numbers only: numpy, no model, no grader.

Legend: ``P`` problems, ``n`` samples of a problem (may differ between problems), ``k`` samples of a score. Intervals
are over problems, of which a benchmark has few.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from asyppo_cli.types import VerdictKind

Floats = NDArray[np.float64]

LEVEL = 0.95
DRAWS = 10_000
_FEW_LEVELS = 32
# Resamples are drawn in blocks of about this many numbers, so that memory does not grow with the benchmark.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class GradedSample:
    """One sample: the verdict's kind, the class of equal answers it votes for, its length in tokens.

    ``vote`` is None without an answer; votes are compared within a problem only. A sample that could not be drawn is
    of kind ``failed`` and counts as not right.
    """

    kind: VerdictKind | Literal["failed"]
    vote: Hashable | None
    length: int
    truncated: bool
    empty: bool = False

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.kind == "right"


GradedSamples = Sequence[Sequence[GradedSample]]


@dataclass(frozen=True)
class ScoreInterval:
    """A value and the ends of its interval, NaN for a single problem."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """All scores of one model on one benchmark.

    ``avg`` is avg@``samples``; ``pass_at`` and ``maj_at`` are by k. ``ties`` counts problems with a tied vote at the
    largest k. ``length`` is the mean in tokens, ``truncated`` and ``empty`` are shares of responses; ``kinds`` counts
    verdicts, failed samples included.
    """

    problems: int
    samples: int
    avg: ScoreInterval
    pass_at: Mapping[int, ScoreInterval]
    maj_at: Mapping[int, ScoreInterval]
    ties: int
    length: float
    truncated: float
    empty: float
    kinds: Mapping[str, int]

    @property
    def failed(self) -> int:
        """Samples that could not be drawn."""
        return self.kinds.get("failed", 0)

    def as_json(self) -> dict[str, Any]:
        """JSON values, NaN as None."""
        return dict(_without_nan(asdict(self)))


def score(marks: GradedSamples, ks: Sequence[int] = (), seed: int = 0) -> Scores:
    """Score the samples ``[P][n]``: avg@n, and pass@k and maj@k for ``ks`` (default: 1, 2, 4, ... and the least n).

    Raises ValueError for no problem, a problem without a sample, or a k above the least n.
    """
    check_marks(marks)
    fewest = min(map(len, marks))
    wanted = sorted(set(ks)) if ks else powers_up_to(fewest)
    known: dict[bytes, ScoreInterval] = {}

    def interval(values: Floats) -> ScoreInterval:
        # With one sample all scores have the same values.
        key = values.tobytes()
        if key not in known:
            known[key] = bootstrap(values, seed)
        return known[key]

    pass_at = {k: interval(pass_at_k(marks, k)) for k in wanted}
    votes = {k: majority(marks, k) for k in wanted}
    flat = [mark for problem in marks for mark in problem]
    return Scores(
        problems=len(marks),
        samples=fewest,
        avg=interval(average(marks)),
        pass_at=pass_at,
        maj_at={k: interval(values) for k, (values, _) in votes.items()},
        ties=votes[wanted[-1]][1],
        length=sum(mark.length for mark in flat) / len(flat),
        truncated=sum(mark.truncated for mark in flat) / len(flat),
        empty=sum(mark.empty for mark in flat) / len(flat),
        kinds=dict(Counter(mark.kind for mark in flat)),
    )


def check_marks(marks: GradedSamples) -> None:
    """Raise ValueError unless there is a problem and every problem has a sample."""
    if not marks:
        raise ValueError("there is nothing to score: no problem")
    if not all(marks):
        raise ValueError(f"problem number {[*map(len, marks)].index(0) + 1} has no sample to score")


def powers_up_to(most: int) -> list[int]:
    """1, 2, 4, ... and ``most`` itself."""
    return sorted({2**power for power in range(most.bit_length())} | {most})


def average(marks: GradedSamples) -> Floats:
    """Share of right samples of each problem, ``[P]``: its mean is avg@n."""
    return np.array([sum(mark.right for mark in problem) / len(problem) for problem in marks])


def pass_at_k(marks: GradedSamples, k: int) -> Floats:
    """Probability that one of k samples is right, ``[P]``, unbiased: 1 - C(n - c, k) / C(n, k) with c right of n.

    Chen et al. 2021 (arXiv:2107.03374), equation 1. Raises ValueError unless 1 <= k <= n for every problem.
    """
    _check_k(marks, k, "pass")
    values = []
    for problem in marks:
        n, c = len(problem), sum(mark.right for mark in problem)
        values.append(1.0 - math.comb(n - c, k) / math.comb(n, k))
    return np.array(values)


def majority(marks: GradedSamples, k: int) -> tuple[Floats, int]:
    """Whether the most frequent answer among the first k samples is right, ``[P]``, and the number of ties.

    Samples without an answer do not vote. In a tie each leading answer counts equally: one right of two gives 0.5.
    Raises ValueError unless 1 <= k <= n for every problem.
    """
    _check_k(marks, k, "maj")
    values, ties = [], 0
    for problem in marks:
        votes = Counter(mark.vote for mark in problem[:k] if mark.vote is not None)
        right = {mark.vote for mark in problem[:k] if mark.right and mark.vote is not None}
        most = max(votes.values(), default=0)
        leaders = [vote for vote, count in votes.items() if count == most]
        ties += len(leaders) > 1
        values.append(sum(vote in right for vote in leaders) / len(leaders) if leaders else 0.0)
    return np.array(values), ties


def bootstrap(
    values: Floats, seed: int = 0, level: float = LEVEL, draws: int = DRAWS, lowest: float = 0.0
) -> ScoreInterval:
    """The mean of ``values`` ``[P]`` with its BCa interval over problems, fixed by the seed.

    Bias-corrected and accelerated, Efron 1987: percentiles of the resampled means, shifted by the bias z0 of the median
    and the skewness a from the jackknife. If all values are equal, so are the resamples, though zero of thirty does
    not prove zero: then the interval extends by 1 - (1 - level)^(1/P), the largest share of other problems that could
    have remained unseen, within ``lowest`` and 1. NaN ends for a single problem. (scipy.stats.bootstrap has no
    such case, and draws P x draws numbers where a multinomial draw needs one for each different value.)
    """
    mean = float(values.mean())
    count = len(values)
    if count == 1:
        return ScoreInterval(mean, math.nan, math.nan)
    if np.ptp(values) == 0:
        unseen = 1 - (1 - level) ** (1 / count)
        return ScoreInterval(mean, max(lowest, mean - unseen), min(1.0, mean + unseen))
    means = _resampled_means(values, seed, draws)
    normal = NormalDist()
    # Sums in another order round differently: values equal to the mean but for rounding count as ties.
    equal = np.isclose(means, mean, rtol=0.0, atol=1e-12)
    below = (np.sum((means < mean) & ~equal) + 0.5 * np.sum(equal)) / draws
    z0 = normal.inv_cdf(float(np.clip(below, 0.5 / draws, 1 - 0.5 / draws)))
    centred = values - mean  # of a mean, the jackknife's deviations are these divided by P - 1
    a = float(np.sum(centred**3) / (6 * np.sum(centred**2) ** 1.5))
    ends = []
    for probability in ((1 - level) / 2, (1 + level) / 2):
        z = z0 + normal.inv_cdf(probability)
        ends.append(float(np.quantile(means, normal.cdf(z0 + z / (1 - a * z)))))
    return ScoreInterval(mean, *ends)


def paired_difference(first: GradedSamples, second: GradedSamples, seed: int = 0) -> ScoreInterval:
    """avg@n of ``second`` minus that of ``first`` over the same problems in the same order, with its interval.

    Resampling whole problems makes the interval narrower than two separate ones. Raises ValueError if the numbers of
    problems differ.
    """
    if len(first) != len(second):
        raise ValueError(f"only the same problems can be compared in pairs, not {len(first)} with {len(second)}")
    check_marks(first)
    check_marks(second)
    return bootstrap(average(second) - average(first), seed, lowest=-1.0)


def _resampled_means(values: Floats, seed: int, draws: int) -> Floats:
    """Means of ``draws`` resamples ``[draws]``."""
    generator = np.random.default_rng(seed)
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) <= _FEW_LEVELS:
        # The counts of the values in a resample are multinomial: a score has few values and many problems.
        means: Floats = generator.multinomial(len(values), counts / len(values), draws) @ levels / len(values)
        return means
    rows = max(1, _BLOCK // len(values))
    blocks = [min(rows, draws - begin) for begin in range(0, draws, rows)]
    return np.concatenate([generator.choice(values, (block, len(values))).mean(axis=1) for block in blocks])


def _check_k(marks: GradedSamples, k: int, name: str) -> None:
    check_marks(marks)
    fewest = min(map(len, marks))
    if not 1 <= k <= fewest:
        raise ValueError(f"{name}@{k} needs 1 to {fewest} as k: a problem has no more than {fewest} samples")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
