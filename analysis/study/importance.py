"""The importance of each searched key: two measures over the settings of a study, with a permutation test.

``share`` is PED-ANOVA's (Watanabe and others 2023, in optuna): how far the values of the best settings lie from those
of all, as a share of all keys. It finds something in noise too. ``explained`` is the share of the numbers' variance
that the key explains alone, its values in up to five groups of like size; with the numbers shuffled a thousand times it
says how often chance explains as much, Holm's correction for the number of keys included.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.stats.effects import direction_sign
from analysis.stats.power import holm
from analysis.stats.wording import ALPHA, listed
from analysis.study.settings import StudySetting
from asyppo_cli.keys import short_names
from asyppo_cli.requirements import pip_install
from asyppo_cli.runs.studies import Objective

Array = NDArray[Any]
SHUFFLES = 999
MAX_GROUPS, MIN_IN_GROUP = 5, 4
MIN_SETTINGS = 10
# More settings than this tell no more, and take seconds.
MAX_SETTINGS = 1000
UNSET = "not set"
LOG_SPAN, CROWDED = 10, 0.25


@dataclass(frozen=True)
class Importance:
    """Of one key; ``chance`` is how often shuffled numbers explain as much, corrected for the number of keys."""

    key: str
    share: float
    explained: float
    chance: float

    @property
    def significant(self) -> bool:
        """Whether it is distinguishable from a key without effect."""
        return self.chance <= ALPHA


@dataclass(frozen=True)
class Importances:
    """Keys by falling share, over ``settings``; ``why`` there are none."""

    metric: str
    keys: tuple[Importance, ...]
    settings: int
    why: str | None = None


def importances(settings: Sequence[StudySetting], objective: Objective) -> Importances:
    """The importance of every key that varies, for the objective under which the settings are.

    Raises:
        ModuleNotFoundError: optuna is not installed.
    """
    scored = [(s, s.mean.mean) for s in _alike(settings) if s.mean is not None]
    if len(scored) < MIN_SETTINGS:
        why = f"importance needs {MIN_SETTINGS} settings, and {len(scored)} have a number"
        return Importances(objective.metric, (), len(scored), why)
    if len(scored) > MAX_SETTINGS:
        step = (len(scored) - 1) / (MAX_SETTINGS - 1)
        scored = [scored[round(i * step)] for i in range(MAX_SETTINGS)]
    keys = dict.fromkeys(key for setting, _ in scored for key in setting.point)
    columns = {key: [setting.point.get(key, UNSET) for setting, _ in scored] for key in keys}
    columns = {key: column for key, column in columns.items() if len(set(column)) > 1}
    losses = np.array([number for _, number in scored]) * -direction_sign(objective.direction)
    if not columns or np.ptp(losses) == 0.0:
        return Importances(objective.metric, (), len(scored), "nothing varies, so nothing is important")
    return Importances(objective.metric, tuple(_ranked(columns, losses)), len(scored))


def _alike(settings: Sequence[StudySetting]) -> list[StudySetting]:
    """Settings with all keys that most have: the default, of which nothing was typed, has no place on their scales."""
    counts = Counter(key for setting in settings for key in setting.point)
    most = {key for key, count in counts.items() if 2 * count > len(settings)}
    return [setting for setting in settings if most <= setting.point.keys()]


def _ranked(columns: Mapping[str, Sequence[str]], losses: Array) -> list[Importance]:
    random = np.random.default_rng(0)
    mixed = np.stack([random.permutation(losses) for _ in range(SHUFFLES)])
    tested = [explained(groups_of(column), losses, mixed) for column in columns.values()]
    chances = holm([chance for _, chance in tested])
    shares = ped_anova(columns, losses.tolist())
    rows = zip(columns, tested, chances, strict=True)
    found = [Importance(key, shares[key], share, chance) for key, (share, _), chance in rows]
    return sorted(found, key=lambda one: (-one.share, one.key))


def groups_of(column: Sequence[str]) -> Array:
    """The group of each setting ``[N]``, integers from 0: numbers in up to five groups of like size, words by word.

    Equal numbers are in one group, and so are all words that are rare.
    """
    numbers = numbers_of(column)
    if numbers is None:
        counts = Counter(column)
        words = [word if counts[word] >= MIN_IN_GROUP else "" for word in column]
        return np.unique(np.array(words), return_inverse=True)[1]
    count = max(2, min(MAX_GROUPS, len(column) // MIN_IN_GROUP))
    if len(set(numbers)) <= count:
        return np.unique(np.array(numbers), return_inverse=True)[1]
    edges = np.unique(np.quantile(numbers, np.arange(1, count) / count))
    return np.unique(np.searchsorted(edges, numbers, side="left"), return_inverse=True)[1]


def explained(group: Array, losses: Array, mixed: Array) -> tuple[float, float]:
    """The share of variance between the groups, corrected for their number, and how often chance gives as much.

    ``losses`` ``[N]``, ``mixed`` the same shuffled ``[D, N]``.
    """
    member = np.eye(int(group.max()) + 1)[group]
    counts, size = member.sum(0), len(losses)
    if len(counts) < 2:
        return 0.0, 1.0
    centred = losses - losses.mean()
    total = float(centred @ centred)
    between = float((((centred @ member) ** 2) / counts).sum()) / total
    chance = ((((mixed - losses.mean()) @ member) ** 2) / counts).sum(1) / total
    share = 1 - (1 - between) * (size - 1) / max(1, size - len(counts))
    return max(0.0, share), float((1 + (chance >= between - 1e-12).sum()) / (1 + len(mixed)))


def ped_anova(columns: Mapping[str, Sequence[str]], losses: Sequence[float]) -> dict[str, float]:
    """PED-ANOVA's share of each key for low losses; equal shares where no key tells the best settings apart.

    Raises:
        ModuleNotFoundError: optuna is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"it needs the package optuna: {pip_install('optuna')}") from error
    kinds = {key: _distribution(column) for key, column in columns.items()}
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="minimize")
        for row, loss in enumerate(losses):
            params = {key: _typed(column[row], kinds[key]) for key, column in columns.items()}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=loss))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = evaluator.evaluate(study, params=list(columns))
    finally:
        optuna.logging.set_verbosity(before)
    total = sum(found.values())
    return {key: found[key] / total if total else 1 / len(columns) for key in columns}


def numbers_of(column: Sequence[str]) -> list[float] | None:
    """The values as finite numbers; None where one is none."""
    try:
        numbers = [float(value) for value in column]
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def is_log(numbers: Sequence[float]) -> bool:
    """Whether numbers crowd so near their least one that only a logarithmic scale tells them apart."""
    low, high = min(numbers), max(numbers)
    return low > 0 and high >= LOG_SPAN * low and float(np.median(numbers)) < low + CROWDED * (high - low)


def _distribution(column: Sequence[str]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    numbers = numbers_of(column)
    if numbers is None:
        return CategoricalDistribution(sorted(set(column)))
    return FloatDistribution(min(numbers), max(numbers), log=is_log(numbers))


def _typed(value: str, kind: Any) -> str | float:
    from optuna.distributions import CategoricalDistribution

    return value if isinstance(kind, CategoricalDistribution) else float(value)


def importance_sentence(found: Importances) -> str:
    """Which keys matter, in words."""
    if found.why is not None:
        return f"Importance for {found.metric}: {found.why}."
    short = short_names([one.key for one in found.keys])
    named = [f"{short[one.key]} ({100 * one.explained:.0f} % of the variance)" for one in found.keys if one.significant]
    other = [short[one.key] for one in found.keys if not one.significant]
    few = f"only {found.settings}" if found.settings < 10 * len(found.keys) else f"{found.settings}"
    if not named:
        return f"By {few} settings no key can be told from one that does nothing for {found.metric} ({listed(other)})."
    rest = f"; {listed(other)} cannot be told from chance" if other else ""
    return f"By {few} settings what decides on {found.metric} is {listed(named)}{rest}."
