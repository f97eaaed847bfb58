"""A time line: the phases of a few steps as bars, a track for each worker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.csv_export import csv_text
from analysis.figures.style import COLOURS, FAINT, GROUND, INK, MUTED, caption, grid, new_figure, styled
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.files.jsonl import damaged, read_objects

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Waiting is the absence of work: grey. What takes long gets the strong colours.
PHASE_COLOURS = {
    "sample": COLOURS[0],
    "policy": COLOURS[1],
    "critics": COLOURS[2],
    "values": COLOURS[3],
    "old_logprobs": COLOURS[4],
    "sync": COLOURS[5],
    "wait": "#D0D7DE",
}
TRACK_HEIGHT = 0.62
# A bar narrower than this share of the picture has no room for its name.
LABEL_SHARE = 0.045


@dataclass(frozen=True)
class Bar:
    """A phase of a step in one track, in seconds since the first bar began."""

    track: str
    step: int
    phase: str
    start: float
    end: float


@dataclass(frozen=True)
class Timeline:
    """Bars of the steps chosen. Tracks in the order met, the trainer's first."""

    run: str
    bars: tuple[Bar, ...]

    @property
    def tracks(self) -> list[str]:
        """Names of the tracks."""
        found = dict.fromkeys(bar.track for bar in self.bars)
        return sorted(found, key=lambda track: track != "trainer")

    @property
    def steps(self) -> list[int]:
        """The steps shown, by what the trainer did."""
        return sorted({bar.step for bar in self.bars if bar.track == "trainer"})

    @property
    def seconds(self) -> float:
        """From the beginning of the first bar to the end of the last."""
        return max(bar.end for bar in self.bars)


def read_timeline(run: RunDirectory) -> list[Bar]:
    """All bars of a run, times since the epoch; of a step done again after a resume, the last.

    Raises:
        ValueError: the run has none, or the file is damaged.
    """
    if not run.timeline.exists():
        raise ValueError(f"run {run.name} has no timeline ({run.timeline.name}): it was made before there was one")
    steps: dict[int, list[Bar]] = {}
    latest = 0
    for number, row in read_objects(run.timeline):
        try:
            bar = Bar(str(row["track"]), int(row["step"]), str(row["phase"]), float(row["start"]), float(row["end"]))
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(run.timeline, number) from error
        if bar.step < latest:
            steps = {step: bars for step, bars in steps.items() if step < bar.step}
        latest = bar.step
        steps.setdefault(bar.step, []).append(bar)
    return [bar for step in sorted(steps) for bar in steps[step]]


def timeline(run: str, bars: Sequence[Bar], steps: Iterable[int]) -> Timeline:
    """The bars of ``steps``, and of what other tracks did meanwhile, from time 0.

    Raises:
        ValueError: there is nothing of these steps.
    """
    chosen = set(steps)
    own = [bar for bar in bars if bar.step in chosen and bar.track == "trainer"]
    if not own:
        known = sorted({bar.step for bar in bars})
        span = f"{known[0]} to {known[-1]}" if known else "none"
        raise ValueError(f"run {run} has no timeline of steps {sorted(chosen)}: there are {span}")
    begin, end = min(bar.start for bar in own), max(bar.end for bar in own)
    # What was sampled for the first of these steps was sampled before it.
    seen = [bar for bar in bars if bar.end > begin and bar.start < end]
    return Timeline(run, tuple(Bar(bar.track, bar.step, bar.phase, bar.start - begin, bar.end - begin) for bar in seen))


def overlap(shown: Timeline) -> tuple[float, float]:
    """Seconds in which the sampler sampled, and those of them in which the trainer worked too."""
    sampling = [(bar.start, bar.end) for bar in shown.bars if bar.phase == "sample"]
    working = [
        (bar.start, bar.end) for bar in shown.bars if bar.track == "trainer" and bar.phase not in ("wait", "sample")
    ]
    both = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in sampling for b in working)
    return sum(end - start for start, end in sampling), both


def finding(shown: Timeline) -> str:
    """The overlap in words."""
    sampled, both = overlap(shown)
    waited = sum(bar.end - bar.start for bar in shown.bars if bar.phase == "wait")
    share = both / sampled if sampled else 0.0
    return (
        f"{shown.run}, steps {shown.steps[0]} to {shown.steps[-1]}: {share:.0%} of {sampled:.2f} s of sampling went on "
        f"while the trainer worked; the trainer waited {waited:.2f} of {shown.seconds:.2f} s"
    )


def timeline_csv(shown: Timeline) -> str:
    """All bars, one a line."""
    rows = [(bar.track, bar.step, bar.phase, bar.start, bar.end) for bar in shown.bars]
    return csv_text(["track", "step", "phase", "start_seconds", "end_seconds"], rows)


def draw_timeline(shown: Timeline) -> Figure:
    """A track for each worker; bars are named where there is room, and all phases are in the legend."""
    with styled():
        tracks = shown.tracks
        figure = new_figure(9.0, 1.3 + 0.62 * len(tracks))
        ax = figure.subplots()
        phases = [phase for phase in PHASE_COLOURS if any(bar.phase == phase for bar in shown.bars)]
        for bar in shown.bars:
            row, width = tracks.index(bar.track), bar.end - bar.start
            colour = PHASE_COLOURS.get(bar.phase, FAINT)
            ax.barh(row, width, TRACK_HEIGHT, bar.start, color=colour, edgecolor=GROUND, linewidth=0.4)
            if width > LABEL_SHARE * shown.seconds:
                ink = INK if bar.phase == "wait" else "#FFFFFF"
                ax.text(
                    bar.start + width / 2,
                    row,
                    f"{bar.phase.replace('_', ' ')} {bar.step}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=ink,
                    clip_on=True,
                )
        for phase in phases:
            ax.barh(0, 0, 0, color=PHASE_COLOURS[phase], label=phase.replace("_", " "))
        ax.barh(0, 0, 0, color=FAINT, label="other")
        ax.set_yticks(range(len(tracks)), tracks)
        ax.invert_yaxis()
        ax.set_xlim(0, shown.seconds)
        ax.set_xlabel("time (s)")
        ax.tick_params(axis="y", length=0, labelcolor=MUTED)
        grid(ax, "x")
        figure.legend(loc="outside upper left", ncols=len(phases) + 1, handlelength=1.0)
        caption(figure, f"{shown.run}, steps {shown.steps[0]} to {shown.steps[-1]}")
    return figure
