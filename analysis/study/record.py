"""A study's answer for other programs: JSON (unknown numbers are null), and CSV in the metrics' own units."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from analysis.figures.csv_export import csv_text
from analysis.stats.effects import Effect
from analysis.stats.seed_bootstrap import SeedMean
from analysis.study.findings import ObjectiveAnswer, StudyAnswer
from analysis.study.importance import Importances
from analysis.study.settings import StudySetting, value_of
from asyppo_cli.runs.studies import Study, StudyTrial

SETTING_COLUMNS = ("objective", "direction", "trials", "finished", "seeds")
MEAN_COLUMNS = ("mean", "low", "high", "spread", "interval_by")
EFFECT_COLUMNS = ("baseline", "common_seeds", "difference", "difference_low", "difference_high", "p", "p_holm")


def answer_json(answer: StudyAnswer) -> str:
    """One object: the study, its settings with means and differences, sentences, trials without a number, trials."""
    found = {
        **_study(answer.study),
        "baseline": answer.baseline,
        "verdicts": [one.verdict for one in answer.objectives],
        "findings": answer.findings(),
        "settings": [_setting(row) for row in zip(*(_scores(one) for one in answer.objectives), strict=True)],
        "axes": [[{"of": e.setting, **(_effect(e) or {})} for e in one.axes] for one in answer.objectives],
        "importances": [_importances(one.importances) for one in answer.objectives if one.importances],
        "front": [point.name for point in answer.front],
        "without_a_number": [{**asdict(missing), "trial": missing.name} for missing in answer.missing],
        "trials": [_trial(trial) for trial in answer.study.trials],
    }
    return json.dumps(finite(found), indent=1, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """The same with None in place of every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list) else value


def _study(study: Study) -> dict[str, Any]:
    paper = study.paper
    return {
        "study": study.name,
        "kind": study.kind,
        "question": study.question,
        "overrides": list(study.overrides),
        "objectives": [{"metric": o.metric, "direction": o.direction} for o in study.objectives],
        "paper": paper and {"metric": paper.metric, "source": paper.source, "values": dict(paper.values)},
    }


def _scores(one: ObjectiveAnswer) -> list[tuple[StudySetting, str, dict[str, Any]]]:
    """Every setting with the metric and its record under this objective."""
    effects = {effect.setting: effect for effect in one.effects}
    return [
        (
            setting,
            one.metric,
            {
                "by_seed": {"none" if seed is None else str(seed): x for seed, x in setting.values.items()},
                "mean": _mean(setting.mean),
                "difference": _effect(effects.get(setting.name)),
            },
        )
        for setting in one.settings
    ]


def _setting(row: Sequence[tuple[StudySetting, str, dict[str, Any]]]) -> dict[str, Any]:
    setting = row[0][0]
    return {
        "setting": setting.name,
        "point": dict(setting.point),
        "trials": len(setting.trials),
        "finished": setting.count("finished"),
        "seconds": setting.seconds,
        "objectives": {metric: score for _, metric, score in row},
    }


def _mean(mean: SeedMean | None) -> dict[str, Any] | None:
    if mean is None:
        return None
    ends = {"low": mean.low, "high": mean.high}
    return {"mean": mean.mean, **ends, "seeds": mean.seeds, "spread": mean.spread, "interval_by": mean.method}


def _effect(effect: Effect | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    tested = {"p": effect.difference.p, "p_holm": effect.holm, "detectable": effect.detectable}
    return {"against": effect.baseline, **(_mean(effect.difference) or {}), **tested, "verdict": effect.verdict}


def _importances(found: Importances) -> dict[str, Any]:
    keys = [{**asdict(key), "significant": key.significant} for key in found.keys]
    return {"metric": found.metric, "settings": found.settings, "why_none": found.why, "keys": keys}


def _trial(trial: StudyTrial) -> dict[str, Any]:
    return {
        "trial": trial.name,
        "setting": trial.setting,
        "point": dict(trial.point),
        "seed": trial.seed,
        "state": trial.state,
        "values": list(trial.values),
        "seconds": trial.seconds,
        "reason": trial.reason,
    }


def trials_csv(study: Study) -> str:
    """One line a trial."""
    keys = list(dict.fromkeys(key for trial in study.trials for key in trial.point))
    metrics = [o.metric for o in study.objectives]
    rows: list[Sequence[Any]] = []
    for t in study.trials:
        values = [value_of(t, i) for i in range(len(metrics))]
        rows.append(
            [t.name, t.setting, *(t.point.get(key) for key in keys), t.seed, t.state, *values, t.seconds, t.reason]
        )
    return csv_text(["trial", "setting", *keys, "seed", "state", *metrics, "seconds", "reason"], rows)


def settings_csv(answer: StudyAnswer) -> str:
    """One line a setting and objective."""
    keys = list(dict.fromkeys(key for setting in answer.objectives[0].settings for key in setting.point))
    rows = []
    for one in answer.objectives:
        effects = {effect.setting: effect for effect in one.effects}
        for s in one.settings:
            point = [s.point.get(key) for key in keys]
            head = [s.name, *point, one.metric, one.objective.direction, len(s.trials), s.count("finished")]
            rows.append([*head, *_mean_cells(s), *_effect_cells(effects.get(s.name)), s.seconds])
    return csv_text(
        ["setting", *keys, *SETTING_COLUMNS, *MEAN_COLUMNS, *EFFECT_COLUMNS, "detectable", "verdict", "seconds"], rows
    )


def _mean_cells(setting: StudySetting) -> list[Any]:
    mean = setting.mean
    if mean is None:
        return [0, *[None] * 4, "none"]
    return [mean.seeds, mean.mean, mean.low, mean.high, mean.spread, mean.method]


def _effect_cells(effect: Effect | None) -> list[Any]:
    if effect is None:
        return [None] * 9
    found = effect.difference
    numbers = [found.seeds, found.mean, found.low, found.high, found.p, effect.holm, effect.detectable]
    return [effect.baseline, *numbers, effect.verdict]
