"""Everything about masked words in one run: data, findings in words, figures with their CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.figures.style import FORMATS, save, save_text
from analysis.tokens.table import choose_steps, load, step_list
from analysis.wordcloud import figure, parts_of_speech, wording
from analysis.wordcloud.counts import COLUMNS, KEPT, Gate, WordCounts, count_masked, initial_steps
from analysis.wordcloud.parts_of_speech import ClassShare
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import recorded_steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class WordCloud:
    """Of ``run``. ``classes``: that of every word of ``counts``; ``shares`` is empty where nothing was tagged."""

    run: str
    steps: tuple[int, ...]
    initial: bool
    counts: WordCounts
    classes: Sequence[str]
    shares: Sequence[ClassShare]
    tagged: int

    @property
    def where(self) -> str:
        """The steps, in words."""
        stage = "Initial stage, " if self.initial else ""
        noun = "step" if len(self.steps) == 1 else "steps"
        named = f"{stage}{noun} {step_list(self.steps)}"
        return named[0].upper() + named[1:]


def word_cloud(
    run: RunDirectory, steps: str | None = None, gate: Gate = "advantage", tagging: bool = True
) -> WordCloud:
    """Count the words of these steps (None: the initial stage); ``tagging`` tells parts of speech.

    Raises:
        ValueError: no records, damaged ones, nothing that is masked, or no tagger.
    """
    recorded = choose_steps(run, "all" if steps is None else steps)
    chosen = recorded if steps else _initial_stage(run, recorded, gate)
    tag = parts_of_speech.tagger() if tagging else None
    table = load(run, chosen, COLUMNS)
    counts = count_masked(table, gate)
    if not counts.masked.any():
        raise _nothing_masked(run, chosen, gate)
    if tag is None:
        classes = [parts_of_speech.class_by_signs(word) for word in counts.words]
        return WordCloud(run.name, tuple(chosen), steps is None, counts, classes, [], 0)
    rows, kinds = parts_of_speech.classify(table, tag, parts_of_speech.sample_responses(table))
    classes = parts_of_speech.usual_class(table, rows, kinds, counts.word_of, counts.words)
    shares = parts_of_speech.class_shares(table, rows, kinds, gate)
    return WordCloud(run.name, tuple(chosen), steps is None, counts, classes, shares, len(rows))


def _initial_stage(run: RunDirectory, recorded: Sequence[int], gate: Gate) -> list[int]:
    """The first fifth of the steps from the first one on at which the gate took anything; of all if there is none.

    Critics that begin alike do not disagree at first, so that nothing is masked.
    """
    for number, step in enumerate(recorded):
        if not load(run, [step], [KEPT[gate]])[KEPT[gate]].all():
            return initial_steps(recorded[number:])
    return initial_steps(recorded)


def _nothing_masked(run: RunDirectory, chosen: Sequence[int], gate: Gate) -> ValueError:
    verb, setting = wording.VERB[gate], {"advantage": "mask_pct", "entropy": "entropy_filter_pct"}[gate]
    more = "" if len(chosen) == len(recorded_steps(run)) else ", or choose other --steps"
    return ValueError(
        f"no token of run {run.name} is {verb} at step {step_list(chosen)} (gates.{setting} may be 0, or there are "
        f"fewer than two critics): train with {setting}=0.2{more}"
    )


def cloud_findings(data: WordCloud) -> list[str]:
    """What the figures show, in words."""
    lines = wording.word_findings(data.counts, data.where)
    return [*lines, *(wording.class_findings(data.counts, data.shares) if data.shares else [])]


def draw_cloud(data: WordCloud, width: float | None = None) -> Figure:
    """The cloud with its ranked bars.

    Raises:
        ValueError: matplotlib is not installed.
    """
    note = f"{data.run}. {data.where}; {int(data.counts.seen.sum()):,} tokens"
    return figure.draw_words(data.counts, data.classes, note, width)


def write_cloud(
    data: WordCloud, folder: Path, formats: Sequence[str] = FORMATS, width: float | None = None
) -> list[Path]:
    """Write the figures, each with its numbers as CSV; returns the paths.

    Raises:
        ValueError: a package is not installed, or nothing can be written there.
    """
    gate = data.counts.gate
    stem = folder / f"wordcloud-{gate}"
    paths = save(draw_cloud(data, width), stem, formats, width)
    paths.append(save_text(stem.with_suffix(".csv"), wording.words_csv(data.counts, data.classes)))
    if any(share.tokens >= wording.MIN for share in data.shares):
        stem = folder / f"wordcloud-{gate}-classes"
        note = f"{data.run}. {data.where}; {data.tagged:,} tokens tagged"
        paths += save(figure.draw_classes(data.shares, gate, note), stem, formats, width)
        paths.append(save_text(stem.with_suffix(".csv"), wording.classes_csv(data.shares)))
    return paths
