"""Everything about the critics' disagreement in one run: data, findings in words, figures with their CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.figures.style import FORMATS, save, save_text
from analysis.tokens import critic_agreement, std_by_token, std_correlates, std_profiles
from analysis.tokens.critic_agreement import Agreement
from analysis.tokens.resampling import Resamples
from analysis.tokens.std_by_token import Ranking
from analysis.tokens.std_correlates import Meaning
from analysis.tokens.std_profiles import Places, Training
from analysis.tokens.table import choose_steps, load, require_disagreement
from asyppo_cli.runs.directory import RunDirectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = (std_profiles, std_by_token, critic_agreement, std_correlates)
COLUMNS = tuple(dict.fromkeys(column for part in PARTS for column in part.COLUMNS))


@dataclass(frozen=True)
class ValueStd:
    """What is known of the disagreement in one run."""

    training: Training
    places: Places
    ranking: Ranking
    agreement: Agreement
    meaning: Meaning


def value_std(run: RunDirectory, steps: str = "all") -> ValueStd:
    """Analyse the recorded steps (see :func:`analysis.tokens.table.choose_steps`) of a run of several critics.

    Raises:
        ValueError: fewer than two critics, no records, or damaged ones.
    """
    chosen = choose_steps(run, steps)
    require_disagreement(run)
    table = load(run, chosen, COLUMNS)
    resamples = Resamples(table.responses)
    # NumPy lets go of the interpreter while it works, so that the parts run side by side.
    with ThreadPoolExecutor() as pool:
        training = pool.submit(std_profiles.over_training, table)
        places = pool.submit(std_profiles.by_place, table, resamples)
        agreement = pool.submit(critic_agreement.agreement, table)
        ranks = std_correlates.rank_states(table)
        ranking = pool.submit(std_by_token.by_token, table, ranks, resamples)
        meaning = pool.submit(std_correlates.meaning, table, ranks, resamples)
    return ValueStd(training.result(), places.result(), ranking.result(), agreement.result(), meaning.result())


def std_findings(data: ValueStd) -> list[str]:
    """A verdict in one line, then what each figure shows."""
    return [
        std_correlates.verdict(data.meaning),
        std_profiles.training_finding(data.training),
        std_profiles.places_finding(data.places),
        std_by_token.tokens_finding(data.ranking),
        critic_agreement.agreement_finding(data.agreement),
        std_correlates.error_finding(data.meaning),
        std_correlates.overlap_finding(data.meaning),
    ]


def write_std(data: ValueStd, folder: Path, formats: Sequence[str] = FORMATS, width: float | None = None) -> list[Path]:
    """Write five figures, each with its numbers as CSV; returns the paths.

    Raises:
        ValueError: matplotlib is not installed, or nothing can be written there.
    """
    parts: dict[str, tuple[Callable[[], Figure], str]] = {
        "training": (lambda: std_profiles.draw_training(data.training), std_profiles.training_csv(data.training)),
        "places": (lambda: std_profiles.draw_places(data.places, width), std_profiles.places_csv(data.places)),
        "tokens": (lambda: std_by_token.draw_tokens(data.ranking), std_by_token.tokens_csv(data.ranking)),
        "critics": (
            lambda: critic_agreement.draw_agreement(data.agreement, width),
            critic_agreement.agreement_csv(data.agreement),
        ),
        "meaning": (lambda: std_correlates.draw_meaning(data.meaning, width), std_correlates.meaning_csv(data.meaning)),
    }
    paths: list[Path] = []
    for name, (draw, csv) in parts.items():
        stem = folder / f"value-std-{name}"
        paths += [*save(draw(), stem, formats, width), save_text(stem.with_suffix(".csv"), csv)]
    density = critic_agreement.agreement_density_csv(data.agreement)
    return [*paths, save_text(folder / "value-std-critics-density.csv", density)]
