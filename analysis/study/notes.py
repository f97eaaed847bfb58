"""How the numbers of a study are to be read, in a paragraph."""

from __future__ import annotations

from analysis.stats.seed_bootstrap import FEWEST_BOOTSTRAPPED
from analysis.study.findings import StudyAnswer


def how_to_read(said: StudyAnswer, measured: str = "docs/studies.md") -> str:
    """Where the intervals come from; ``measured`` is where their coverage is written down."""
    used = {mean.method for setting in said.settings for mean in setting.means if mean is not None}
    parts = []
    if "bootstrap" in used:
        parts.append("Intervals of means are studentized bootstraps over seeds.")
    if "t" in used:
        few = f"of fewer than {FEWEST_BOOTSTRAPPED} seeds " if "bootstrap" in used else ""
        parts.append(f"Intervals {few}are Student's t over seeds: a bootstrap would cover far less than it promises.")
    if used - {"none"}:
        parts.append(f"What each covers was measured ({measured}).")
    if any(said.effects):
        parts.append(
            "Differences are paired by seed, their intervals Student's t. What could be seen is the least true"
        )
        parts.append("difference that so many seeds show in four of five cases. Of many comparisons some look resolved")
        parts.append("by chance: Holm's p allows for their number.")
    return " ".join(parts)
