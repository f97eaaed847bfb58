"""The tables of a study, as text cells for a terminal, a page or Markdown, and as CSV in the metrics' own units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.figures.csv_export import csv_text
from analysis.metrics.curves import unit_of
from analysis.study.importance import Importances
from analysis.study.settings import Effect, Setting, value_of
from analysis.study.wording import bare, signed, small, span
from asyppo_cli.display.drawing import format_duration
from asyppo_cli.keys import short_names
from asyppo_cli.runs.studies import Objective, Study


@dataclass(frozen=True)
class TextTable:
    """Rows of text under a header; the first column names the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def settings_table(settings: Sequence[Setting], found: Sequence[Effect], n: int, o: Objective) -> TextTable:
    """Every setting with its mean, and its difference to the baseline."""
    effects = {effect.setting: effect for effect in found}
    sign = unit_of(o.metric).sign
    of = f" ({sign})" if sign else ""
    change = " (points)" if sign == "%" else of
    header = ["setting", "finished", f"mean{of}", "95 % interval", f"difference{change}", "95 % interval of it", "p"]
    header += ["p, Holm", f"could be seen{change}", "time of a run"]
    rows = tuple(_row(setting, effects.get(setting.name), n, o.metric) for setting in settings)
    against = f", differences to {found[0].baseline} paired by seed" if found else ""
    return TextTable(f"{o.metric}: means over seeds{against}", tuple(header), rows)


def _row(setting: Setting, effect: Effect | None, n: int, metric: str) -> tuple[str, ...]:
    mean, done = setting.means[n], setting.count("finished")
    cells = [setting.name, f"{done} of {len(setting.trials)}" if done < len(setting.trials) else str(done)]
    cells += [bare(mean.mean, metric), span(mean.interval, metric)] if mean is not None else ["-", "-"]
    if effect is None:
        cells += [""] * 5
    else:
        found = effect.difference
        cells += [signed(found.mean, metric), span(found.interval, metric, signs=True), small(found.p)]
        cells += [small(effect.holm), bare(effect.detectable, metric)]
    return (*cells, "-" if setting.seconds is None else format_duration(setting.seconds))


def seeds_table(settings: Sequence[Setting], n: int, o: Objective) -> TextTable:
    """Every number by setting and seed."""
    seeds = list(dict.fromkeys(seed for setting in settings for seed in setting.values[n]))
    seeds.sort(key=lambda seed: (seed is not None, seed or 0))
    header = ("setting", *("no seed" if seed is None else f"seed {seed}" for seed in seeds))
    sign = unit_of(o.metric).sign
    rows = tuple(
        (s.name, *(bare(s.values[n][seed], o.metric) if seed in s.values[n] else "-" for seed in seeds))
        for s in settings
    )
    return TextTable(f"{o.metric}{f' ({sign})' if sign else ''}, seed by seed", header, rows)


def paper_table(settings: Sequence[Setting], study: Study) -> TextTable | None:
    """Our means beside what the paper reports; None where it reports nothing."""
    if study.paper is None:
        return None
    o = study.objectives[0]
    ours = {setting.name: setting.means[0] for setting in settings}
    names = list(dict.fromkeys([*ours, *study.paper.values]))
    sign = unit_of(o.metric).sign
    header = ("setting", f"here: {o.metric}{f' ({sign})' if sign else ''}", f"the paper: {study.paper.metric}")
    cells = [
        (bare(mean.mean, o.metric) if (mean := ours.get(name)) else "-", study.paper.values.get(name)) for name in names
    ]
    rows = tuple(
        (name, own, "-" if told is None else f"{told:g}") for name, (own, told) in zip(names, cells, strict=True)
    )
    return TextTable(f"Beside the paper, which has other models and other data ({study.paper.source})", header, rows)


def importance_table(said: Importances) -> TextTable:
    """Every searched key with both measures of its importance."""
    short = short_names([one.key for one in said.keys])
    header = ("key", "share of importance (%)", "variance explained (%)", "chance does as much", "told from chance")
    rows = tuple(
        (short[k.key], f"{100 * k.share:.0f}", f"{100 * k.explained:.0f}", small(k.chance), "yes" if k.told else "no")
        for k in said.keys
    )
    return TextTable(f"What decides on {said.metric}, by {said.settings} settings", header, rows)


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


def settings_csv(
    settings: Sequence[Setting], effects: Sequence[Sequence[Effect]], objectives: Sequence[Objective]
) -> str:
    """One line a setting and objective."""
    keys = list(dict.fromkeys(key for setting in settings for key in setting.point))
    header = [
        "setting",
        *keys,
        "objective",
        "direction",
        "trials",
        "finished",
        "seeds",
        "mean",
        "low",
        "high",
        "spread",
    ]
    header += [
        "interval_by",
        "baseline",
        "common_seeds",
        "difference",
        "difference_low",
        "difference_high",
        "p",
        "p_holm",
    ]
    header += ["detectable", "told", "seconds"]
    rows = []
    for n, o in enumerate(objectives):
        against = {effect.setting: effect for effect in effects[n]}
        for s in settings:
            head = [
                s.name,
                *(s.point.get(key) for key in keys),
                o.metric,
                o.direction,
                len(s.trials),
                s.count("finished"),
            ]
            rows.append([*head, *_mean_cells(s, n), *_effect_cells(against.get(s.name)), s.seconds])
    return csv_text(header, rows)


def _mean_cells(setting: Setting, n: int) -> list[Any]:
    mean = setting.means[n]
    if mean is None:
        return [0, None, None, None, None, "none"]
    return [mean.seeds, mean.mean, mean.interval.low, mean.interval.high, mean.spread, mean.method]


def _effect_cells(effect: Effect | None) -> list[Any]:
    if effect is None:
        return [None] * 9
    found = effect.difference
    ends = [found.interval.low, found.interval.high]
    return [effect.baseline, found.seeds, found.mean, *ends, found.p, effect.holm, effect.detectable, effect.told]


def markdown(table: TextTable) -> list[str]:
    """The lines of a table in Markdown; columns in which nothing stands are left out."""
    kept = [i for i in range(len(table.header)) if i == 0 or any(row[i] for row in table.rows)]
    lines = ["| " + " | ".join(cell(table.header[i]) for i in kept) + " |"]
    lines += ["|" + "|".join("---" if i == 0 else "---:" for i in kept) + "|"]
    return lines + ["| " + " | ".join(cell(row[i]) for i in kept) + " |" for row in table.rows]


def cell(text: str) -> str:
    """Text that ends no cell, starts no markup and breaks no line."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    for sign in "\\|<>[]`*":
        shown = shown.replace(sign, f"\\{sign}")
    return shown.strip()
