"""Everything about the critics' disagreement in one run: data, findings in words, figures with their twins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import critic_agreement, sigma_meaning, sigma_spread, sigma_tokens
from analysis.clustered import Resamples
from analysis.critic_agreement import Agreement
from analysis.records_table import choose_steps, load, require_disagreement
from analysis.sigma_meaning import Meaning
from analysis.sigma_spread import Places, Training
from analysis.sigma_tokens import Ranking
from analysis.style import FORMATS, save, save_text
from asyppo_cli.runs.directory import RunDirectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = (sigma_spread, sigma_tokens, critic_agreement, sigma_meaning)
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
    """Analyse the recorded steps (see :func:`analysis.records_table.choose_steps`) of a run of several critics.

    Raises:
        ValueError: fewer than two critics, no records, or damaged ones.
    """
    chosen = choose_steps(run, steps)
    require_disagreement(run)
    table = load(run, chosen, COLUMNS)
    resamples = Resamples(table.responses)
    # NumPy lets go of the interpreter while it works, so that the parts run side by side.
    with ThreadPoolExecutor() as pool:
        training = pool.submit(sigma_spread.over_training, table)
        places = pool.submit(sigma_spread.by_place, table, resamples)
        agreement = pool.submit(critic_agreement.agreement, table)
        ranks = sigma_meaning.rank_states(table)
        ranking = pool.submit(sigma_tokens.by_token, table, ranks, resamples)
        meaning = pool.submit(sigma_meaning.meaning, table, ranks, resamples)
    return ValueStd(training.result(), places.result(), ranking.result(), agreement.result(), meaning.result())


def findings(data: ValueStd) -> list[str]:
    """What the figures show, in words."""
    return [
        sigma_spread.training_finding(data.training),
        sigma_spread.places_finding(data.places),
        sigma_tokens.tokens_finding(data.ranking),
        critic_agreement.agreement_finding(data.agreement),
        sigma_meaning.error_finding(data.meaning),
        sigma_meaning.overlap_finding(data.meaning),
    ]


def write(data: ValueStd, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write five figures, each with its numbers as CSV; returns the paths.

    Raises:
        ValueError: matplotlib is not installed, or nothing can be written there.
    """
    parts: dict[str, tuple[Callable[[], Figure], str]] = {
        "training": (lambda: sigma_spread.draw_training(data.training), sigma_spread.training_csv(data.training)),
        "places": (lambda: sigma_spread.draw_places(data.places), sigma_spread.places_csv(data.places)),
        "tokens": (lambda: sigma_tokens.draw_tokens(data.ranking), sigma_tokens.tokens_csv(data.ranking)),
        "critics": (
            lambda: critic_agreement.draw_agreement(data.agreement),
            critic_agreement.agreement_csv(data.agreement),
        ),
        "meaning": (lambda: sigma_meaning.draw_meaning(data.meaning), sigma_meaning.meaning_csv(data.meaning)),
    }
    paths: list[Path] = []
    for name, (draw, csv) in parts.items():
        stem = folder / f"value-std-{name}"
        paths += [*save(draw(), stem, formats), save_text(stem.with_suffix(".csv"), csv)]
    density = critic_agreement.density_csv(data.agreement)
    return [*paths, save_text(folder / "value-std-critics-density.csv", density)]
