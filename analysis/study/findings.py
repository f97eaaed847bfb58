"""The answer of a study: which setting is better, by how much, how sure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from analysis.study.axes import axis_effects
from analysis.study.importance import Importances, importance_sentence, importances
from analysis.study.search import MOST_BEST, Found, found, found_sentence, front, front_sentence
from analysis.study.settings import Effect, Gap, Setting, baseline_of, effects, gaps, settings_of
from analysis.study.tables import TextTable, importance_table, paper_table, settings_table
from analysis.study.verdict import axes_sentence, search_verdict, verdict
from analysis.study.wording import effect_sentence, gap_sentence
from asyppo_cli.runs.studies import Study

MOST_SHOWN = 40


@dataclass(frozen=True)
class StudyAnswer:
    """What a study says. ``effects`` and ``verdicts`` of each objective; ``gaps`` are trials without a number.

    ``axes`` are the effects of single axes of a grid that has several, and of pairs of their values.
    ``searched`` and ``importances``, of each objective, are those of a search; ``front`` is that of several objectives.
    ``files`` are what was written, ``notices`` why something was not.
    """

    study: Study
    settings: tuple[Setting, ...]
    baseline: str | None
    effects: tuple[tuple[Effect, ...], ...]
    verdicts: tuple[str, ...]
    gaps: tuple[Gap, ...]
    axes: tuple[tuple[Effect, ...], ...] = ()
    searched: tuple[Found, ...] = ()
    importances: tuple[Importances, ...] = ()
    front: tuple[Setting, ...] = ()
    files: tuple[Path, ...] = ()
    notices: tuple[str, ...] = ()

    def findings(self) -> list[str]:
        """Sentences for whoever reads the terminal: the verdicts, what a search found, what is missing, notices."""
        many, objectives = len(self.study.objectives) > 1, self.study.objectives
        pairs = zip(objectives, self.verdicts, strict=True)
        lines = [f"{objective.metric}: {said}" if many else said for objective, said in pairs]
        lines += [axes_sentence(some, o.metric) for o, some in zip(objectives, self.axes, strict=True) if some]
        lines += [line for line in self.search_findings() if line not in lines]
        lines += [front_sentence(self.front, objectives)] * many
        missing = gap_sentence(self.gaps, len(self.study.trials))
        return [*lines, *([missing] if missing else []), *self.notices]

    def search_findings(self) -> list[str]:
        """What a search found, by objective, and what decides on it."""
        pairs = enumerate(zip(self.study.objectives, self.searched, strict=False))
        best = [found_sentence(one, n, objective.metric) for n, (objective, one) in pairs]
        return [line for line in best if line is not None] + [importance_sentence(one) for one in self.importances]

    def differences(self) -> list[str]:
        """A sentence for each difference, the best first, by objective."""
        return [
            effect_sentence(effect, objective.metric, len(some)) + "."
            for objective, some in zip(self.study.objectives, self.effects, strict=True)
            for effect in some[:MOST_SHOWN]
        ]

    def axis_differences(self) -> list[str]:
        """A sentence for each value of an axis and each pair of values, by objective; of grids of several axes."""
        pairs = zip(self.study.objectives, self.axes, strict=True)
        return [effect_sentence(effect, o.metric, len(some)) + "." for o, some in pairs for effect in some]

    def tables(self) -> list[TextTable]:
        """The table of settings of each objective, the importance of searched keys, the paper's numbers beside ours.

        Of a search, and of very many settings, the best ones alone.
        """
        tables = [
            settings_table(shown_settings(self, n), effects_, n, objective)
            for n, (objective, effects_) in enumerate(zip(self.study.objectives, self.effects, strict=True))
        ]
        tables += [importance_table(one) for one in self.importances if one.keys]
        paper = paper_table(self.settings, self.study)
        return [*tables, paper] if paper else tables


def shown_settings(said: StudyAnswer, n: int) -> list[Setting]:
    """All settings in their order where a table can hold them; else the baseline and the best."""
    if len(said.settings) <= MOST_SHOWN and said.study.kind == "grid":
        return list(said.settings)
    best = found(
        said.settings,
        said.baseline,
        n,
        said.study.objectives[n],
        MOST_SHOWN if said.study.kind == "grid" else MOST_BEST,
    )
    first = [setting for setting in said.settings if setting.name == said.baseline and setting not in best.best]
    return [*first, *best.best]


def answer(study: Study) -> StudyAnswer:
    """Everything that the trials' numbers say, but for the importance of searched keys, which takes a second.

    Raises:
        ValueError: the baseline is none of the settings.
    """
    settings = settings_of(study)
    baseline = baseline_of(study, settings)
    against = tuple(tuple(effects(settings, baseline, n, o.direction)) for n, o in enumerate(study.objectives))
    said = tuple(verdict(settings, against[n], baseline, n, o.metric) for n, o in enumerate(study.objectives))
    search = study.kind == "search"
    if search:
        lone = [all(effect.told == "cannot tell" for effect in some) for some in against]
        said = tuple(search_verdict(settings, baseline, n) if lone[n] else text for n, text in enumerate(said))
    return StudyAnswer(
        study=study,
        settings=tuple(settings),
        baseline=baseline,
        effects=against,
        verdicts=said,
        gaps=tuple(gaps(study)),
        axes=tuple(tuple(axis_effects(settings, baseline, n, o.direction)) for n, o in enumerate(study.objectives)),
        searched=tuple(found(settings, baseline, n, o) for n, o in enumerate(study.objectives)) if search else (),
        front=tuple(front(settings, study.objectives)) if len(study.objectives) > 1 else (),
    )


def weigh(said: StudyAnswer) -> StudyAnswer:
    """The answer with the importance of searched keys; a notice where optuna, which measures it, is not installed."""
    if said.study.kind != "search":
        return said
    try:
        found = tuple(importances(said.settings, n, o) for n, o in enumerate(said.study.objectives))
    except ModuleNotFoundError as error:
        return replace(said, notices=(*said.notices, f"importance is left out: {error}"))
    return replace(said, importances=found)
