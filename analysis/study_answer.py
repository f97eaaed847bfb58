"""The answer of a study: which setting is better, by how much, how sure."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.study_settings import Effect, Gap, Setting, baseline_of, effects, gaps, settings_of
from analysis.study_tables import TextTable, paper_table, settings_table
from analysis.study_verdict import verdict
from analysis.study_words import effect_sentence, gap_sentence
from asyppo_cli.runs.studies import Study


@dataclass(frozen=True)
class StudyAnswer:
    """What a study says. ``effects`` and ``verdicts`` of each objective; ``gaps`` are trials without a number."""

    study: Study
    settings: tuple[Setting, ...]
    baseline: str | None
    effects: tuple[tuple[Effect, ...], ...]
    verdicts: tuple[str, ...]
    gaps: tuple[Gap, ...]

    def findings(self) -> list[str]:
        """Sentences for whoever reads the terminal: the verdicts, then what is missing."""
        many = len(self.study.objectives) > 1
        pairs = zip(self.study.objectives, self.verdicts, strict=True)
        lines = [f"{objective.metric}: {said}" if many else said for objective, said in pairs]
        missing = gap_sentence(self.gaps, len(self.study.trials))
        return [*lines, missing] if missing else lines

    def differences(self) -> list[str]:
        """A sentence for each difference, the best first, by objective."""
        return [
            effect_sentence(effect, objective.metric, len(found)) + "."
            for objective, found in zip(self.study.objectives, self.effects, strict=True)
            for effect in found
        ]

    def tables(self) -> list[TextTable]:
        """The table of settings of each objective, and the paper's numbers beside ours."""
        tables = [
            settings_table(self.settings, found, n, objective)
            for n, (objective, found) in enumerate(zip(self.study.objectives, self.effects, strict=True))
        ]
        paper = paper_table(self.settings, self.study)
        return [*tables, paper] if paper else tables


def answer(study: Study) -> StudyAnswer:
    """Everything that the trials' numbers say.

    Raises:
        ValueError: the baseline is none of the settings.
    """
    settings = settings_of(study)
    baseline = baseline_of(study, settings)
    found = tuple(tuple(effects(settings, baseline, n, o.direction)) for n, o in enumerate(study.objectives))
    said = tuple(
        verdict(settings, found[n], baseline, n, objective.metric) for n, objective in enumerate(study.objectives)
    )
    return StudyAnswer(study, tuple(settings), baseline, found, said, tuple(gaps(study)))
