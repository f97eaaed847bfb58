"""Everything an answer says as JSON, for whoever goes on from there; what is not known is null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.stats.seed_bootstrap import SeedMean
from analysis.study.findings import StudyAnswer
from analysis.study.settings import Effect, Gap, Setting
from asyppo_cli.runs.studies import Study, StudyTrial


def answer_json(said: StudyAnswer) -> str:
    """One object: the study, its settings with means and differences, words, trials without a number, trials."""
    metrics = [o.metric for o in said.study.objectives]
    against = [{effect.setting: effect for effect in some} for some in said.effects]
    found = {
        **_study(said.study),
        "baseline": said.baseline,
        "verdicts": list(said.verdicts),
        "findings": said.findings(),
        "settings": [_setting(setting, metrics, against) for setting in said.settings],
        "axes": [[{"of": e.setting, **(_effect(e) or {})} for e in some] for some in said.axes],
        "importances": [_importances(said, n) for n in range(len(said.importances))],
        "front": [setting.name for setting in said.front],
        "without_a_number": [_gap(gap) for gap in said.gaps],
        "trials": [_trial(trial) for trial in said.study.trials],
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


def _setting(setting: Setting, metrics: Sequence[str], against: Sequence[Mapping[str, Effect]]) -> dict[str, Any]:
    return {
        "setting": setting.name,
        "point": dict(setting.point),
        "trials": len(setting.trials),
        "finished": setting.count("finished"),
        "seconds": setting.seconds,
        "objectives": {
            metric: {
                "by_seed": {"none" if seed is None else str(seed): x for seed, x in setting.values[n].items()},
                "mean": _mean(setting.means[n]),
                "difference": _effect(against[n].get(setting.name)),
            }
            for n, metric in enumerate(metrics)
        },
    }


def _mean(mean: SeedMean | None) -> dict[str, Any] | None:
    if mean is None:
        return None
    ends = {"low": mean.interval.low, "high": mean.interval.high}
    return {"mean": mean.mean, **ends, "seeds": mean.seeds, "spread": mean.spread, "interval_by": mean.method}


def _effect(effect: Effect | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    tested = {"p": effect.difference.p, "p_holm": effect.holm, "detectable": effect.detectable, "told": effect.told}
    return {"against": effect.baseline, **(_mean(effect.difference) or {}), **tested}


def _importances(said: StudyAnswer, n: int) -> dict[str, Any]:
    found = said.importances[n]
    keys = [
        {"key": k.key, "share": k.share, "explained": k.explained, "chance": k.chance, "told": k.told}
        for k in found.keys
    ]
    return {"metric": found.metric, "settings": found.settings, "why_none": found.why, "keys": keys}


def _gap(gap: Gap) -> dict[str, Any]:
    return {"trial": gap.name, "setting": gap.setting, "seed": gap.seed, "state": gap.state, "reason": gap.reason}


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
