"""The tables of a study as text cells, for a terminal, a page or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.figures.units import unit_of, with_unit
from analysis.stats.effects import Effect, seed_order
from analysis.stats.wording import bare, signed, small, span
from analysis.study.importance import Importances
from analysis.study.settings import StudySetting
from asyppo_cli.display.drawing import format_duration
from asyppo_cli.keys import short_names
from asyppo_cli.runs.studies import Objective, Study


@dataclass(frozen=True)
class TextTable:
    """Rows of text under a header; the first column names the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def settings_table(settings: Sequence[StudySetting], found: Sequence[Effect], o: Objective) -> TextTable:
    """Every setting with its mean, and its difference to the baseline."""
    effects = {effect.setting: effect for effect in found}
    of = with_unit("", o.metric)
    change = " (points)" if unit_of(o.metric).sign == "%" else of
    header = ["setting", "finished", f"mean{of}", "95 % interval", f"difference{change}", "95 % interval of it", "p"]
    header += ["p, Holm", f"could be seen{change}", "time of a run"]
    rows = tuple(_row(setting, effects.get(setting.name), o.metric) for setting in settings)
    against = f", differences to {found[0].baseline} paired by seed" if found else ""
    return TextTable(f"{o.metric}: means over seeds{against}", tuple(header), rows)


def _row(setting: StudySetting, effect: Effect | None, metric: str) -> tuple[str, ...]:
    mean, done = setting.mean, setting.count("finished")
    cells = [setting.name, f"{done} of {len(setting.trials)}" if done < len(setting.trials) else str(done)]
    cells += [bare(mean.mean, metric), span(mean, metric)] if mean is not None else ["-", "-"]
    if effect is None:
        cells += [""] * 5
    else:
        found = effect.difference
        cells += [signed(found.mean, metric), span(found, metric, signs=True), small(found.p)]
        cells += [small(effect.holm), bare(effect.detectable, metric)]
    return (*cells, "-" if setting.seconds is None else format_duration(setting.seconds))


def seeds_table(settings: Sequence[StudySetting], o: Objective) -> TextTable:
    """Every number by setting and seed."""
    seeds = sorted({seed for setting in settings for seed in setting.values}, key=seed_order)
    header = ("setting", *("no seed" if seed is None else f"seed {seed}" for seed in seeds))
    rows = tuple(
        (s.name, *(bare(s.values[seed], o.metric) if seed in s.values else "-" for seed in seeds)) for s in settings
    )
    return TextTable(f"{with_unit(o.metric)}, seed by seed", header, rows)


def paper_table(settings: Sequence[StudySetting], study: Study) -> TextTable | None:
    """Our means beside what the paper reports; None where it reports nothing."""
    if study.paper is None:
        return None
    o = study.objectives[0]
    ours = {setting.name: setting.mean for setting in settings}
    names = list(dict.fromkeys([*ours, *study.paper.values]))
    header = ("setting", f"here: {with_unit(o.metric)}", f"the paper: {study.paper.metric}")
    cells = [
        (bare(mean.mean, o.metric) if (mean := ours.get(name)) else "-", study.paper.values.get(name)) for name in names
    ]
    rows = tuple(
        (name, own, "-" if paper is None else f"{paper:g}") for name, (own, paper) in zip(names, cells, strict=True)
    )
    return TextTable(f"Beside the paper, which has other models and other data ({study.paper.source})", header, rows)


def importance_table(found: Importances) -> TextTable:
    """Every searched key with both measures of its importance."""
    short = short_names([one.key for one in found.keys])
    header = ("key", "share of importance (%)", "variance explained (%)", "chance does as much", "told from chance")
    rows = tuple(
        (short[key.key], f"{100 * key.share:.0f}", f"{100 * key.explained:.0f}", small(key.chance), answer)
        for key in found.keys
        for answer in ["yes" if key.significant else "no"]
    )
    return TextTable(f"What decides on {found.metric}, by {found.settings} settings", header, rows)


def filled_columns(table: TextTable) -> list[int]:
    """The columns in which something stands, and the first."""
    return [i for i in range(len(table.header)) if i == 0 or any(row[i] for row in table.rows)]


def markdown(table: TextTable) -> list[str]:
    """The lines of a table in Markdown; columns in which nothing stands are left out."""
    kept = filled_columns(table)
    lines = ["| " + " | ".join(cell(table.header[i]) for i in kept) + " |"]
    lines += ["|" + "|".join("---" if i == 0 else "---:" for i in kept) + "|"]
    return lines + ["| " + " | ".join(cell(row[i]) for i in kept) + " |" for row in table.rows]


def cell(text: str) -> str:
    """Text that ends no cell, starts no markup and breaks no line."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    for sign in "\\|<>[]`*":
        shown = shown.replace(sign, f"\\{sign}")
    return shown.strip()
