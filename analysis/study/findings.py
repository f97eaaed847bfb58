"""The answer of a study: which setting is better, by how much, how sure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from analysis.stats.effects import Effect, effects
from analysis.stats.wording import effect_sentence
from analysis.study.axes import axis_effects
from analysis.study.importance import Importances, importance_sentence, importances
from analysis.study.search import (
    MAX_BEST,
    FrontPoint,
    SearchResult,
    front,
    front_points,
    front_sentence,
    search_result,
    search_sentence,
)
from analysis.study.settings import MissingTrial, StudySetting, baseline_of, missing_trials, settings_of
from analysis.study.tables import TextTable, importance_table, paper_table, settings_table
from analysis.study.verdict import axes_sentence, missing_sentence, search_verdict, verdict
from asyppo_cli.runs.studies import Objective, Study

MAX_SHOWN = 40


@dataclass(frozen=True)
class ObjectiveAnswer:
    """The answer for one objective: all settings, differences to the baseline, and the verdict in words.

    ``axes`` are the effects of single axes, and pairs of their values, of a grid of several axes; ``search`` and
    ``importances`` those of a search.
    """

    objective: Objective
    settings: tuple[StudySetting, ...]
    effects: tuple[Effect, ...]
    verdict: str
    axes: tuple[Effect, ...] = ()
    search: SearchResult | None = None
    importances: Importances | None = None

    @property
    def metric(self) -> str:
        """The objective's metric."""
        return self.objective.metric

    def search_findings(self) -> list[str]:
        """The best setting of a search."""
        sentence = search_sentence(self.search, self.metric) if self.search else None
        return [sentence] if sentence else []

    def differences(self) -> list[str]:
        """A sentence for each difference, the best first."""
        return [f"{effect_sentence(e, self.metric, len(self.effects))}." for e in self.effects[:MAX_SHOWN]]

    def axis_differences(self) -> list[str]:
        """A sentence for each value of an axis and each pair of values."""
        return [f"{effect_sentence(effect, self.metric, len(self.axes))}." for effect in self.axes]


@dataclass(frozen=True)
class StudyAnswer:
    """The answer of a study by objective; ``missing`` are trials without a number, ``front`` the Pareto front.

    ``files`` are what was written, ``notices`` why something was not.
    """

    study: Study
    baseline: str | None
    objectives: tuple[ObjectiveAnswer, ...]
    missing: tuple[MissingTrial, ...]
    front: tuple[FrontPoint, ...] = ()
    files: tuple[Path, ...] = ()
    notices: tuple[str, ...] = ()

    def findings(self) -> list[str]:
        """Sentences for a terminal: verdicts, axes, the results of a search, missing trials, notices."""
        many = len(self.objectives) > 1
        lines = [f"{one.metric}: {one.verdict}" if many else one.verdict for one in self.objectives]
        axes = [(one.metric, axes_sentence(one.axes, one.metric)) for one in self.objectives if one.axes]
        lines += [f"{metric}: {sentence}" if many else sentence for metric, sentence in axes]
        lines += [line for one in self.objectives for line in one.search_findings()]
        lines += [importance_sentence(one.importances) for one in self.objectives if one.importances]
        lines += [front_sentence(self.front, self.study.objectives)] * many
        missing = missing_sentence(self.missing, len(self.study.trials))
        return [*lines, *([missing] if missing else []), *self.notices]

    def differences(self) -> list[str]:
        """A sentence for each difference, by objective."""
        return [line for one in self.objectives for line in one.differences()]

    def axis_differences(self) -> list[str]:
        """A sentence for each effect of an axis, by objective."""
        return [line for one in self.objectives for line in one.axis_differences()]

    def tables(self) -> list[TextTable]:
        """The table of settings of each objective, the importance of searched keys, the paper's numbers beside ours.

        Of a search, and of very many settings, the best ones alone.
        """
        tables = [settings_table(self.shown_settings(one), one.effects, one.objective) for one in self.objectives]
        tables += [importance_table(o.importances) for o in self.objectives if o.importances and o.importances.keys]
        paper = paper_table(self.objectives[0].settings, self.study)
        return [*tables, paper] if paper else tables

    def shown_settings(self, one: ObjectiveAnswer) -> list[StudySetting]:
        """All settings in their order where a table can hold them; else the baseline and the best."""
        grid = self.study.kind == "grid"
        if len(one.settings) <= MAX_SHOWN and grid:
            return list(one.settings)
        best = search_result(one.settings, self.baseline, one.objective, MAX_SHOWN if grid else MAX_BEST).best
        first = [setting for setting in one.settings if setting.name == self.baseline and setting not in best]
        return [*first, *best]


def answer_study(study: Study) -> StudyAnswer:
    """Everything that the trials' numbers say, but for the importance of searched keys, which takes a second.

    Raises:
        ValueError: the baseline is none of the settings.
    """
    baseline = baseline_of(study, list(dict.fromkeys(trial.setting for trial in study.trials)))
    answers = tuple(_of_objective(study, baseline, n) for n in range(len(study.objectives)))
    points = front_points([one.settings for one in answers]) if len(answers) > 1 else []
    return StudyAnswer(study, baseline, answers, tuple(missing_trials(study)), tuple(front(points, study.objectives)))


def _of_objective(study: Study, baseline: str | None, number: int) -> ObjectiveAnswer:
    objective, settings = study.objectives[number], settings_of(study, number)
    found = effects({s.name: s.values for s in settings}, baseline, objective.direction)
    text, search = verdict(settings, found, baseline, objective.metric), study.kind == "search"
    if search and all(effect.verdict == "cannot tell" for effect in found):
        text = search_verdict(settings, baseline)
    return ObjectiveAnswer(
        objective=objective,
        settings=tuple(settings),
        effects=tuple(found),
        verdict=text,
        axes=tuple(axis_effects(settings, baseline, objective.direction)),
        search=search_result(settings, baseline, objective) if search else None,
    )


def with_importance(answer: StudyAnswer) -> StudyAnswer:
    """The answer with the importance of searched keys; a notice where optuna, which measures it, is not installed."""
    if answer.study.kind != "search":
        return answer
    try:
        found = [replace(one, importances=importances(one.settings, one.objective)) for one in answer.objectives]
    except ModuleNotFoundError as error:
        return replace(answer, notices=(*answer.notices, f"importance is left out: {error}"))
    return replace(answer, objectives=tuple(found))
