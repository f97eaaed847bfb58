"""The output of scores: a table, warnings, the settings, and differences between models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyppo_cli import console
from asyppo_cli.console import Cell, Column, Content
from asyppo_cli.display.drawing import format_value

if TYPE_CHECKING:
    from asyppo_cli.evaluation.scores import ScoreInterval
    from asyppo_cli.evaluation.session import Evaluation, EvaluationResult

# Settings in the order shown; those in the table are left out.
SHOWN = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "seed",
    "engine",
    "dtype",
    "system_prompt",
    "chat_template",
    "benchmark_revision",
    "benchmark_sha256",
    "benchmark_made_by",
    "revision",
    "weights",
    "grader",
)
DIGEST_SHOWN = 16
# Below this width a model's name is above its scores, so that no number is cut.
ONE_TABLE_FROM = 110


@dataclass(frozen=True)
class ScoredEvaluation:
    """An evaluation with its result."""

    evaluation: Evaluation
    result: EvaluationResult

    @property
    def benchmark(self) -> str:
        """The benchmark's name."""
        return str(self.evaluation.settings["benchmark"])

    @property
    def model(self) -> str:
        """The model's label."""
        return str(self.evaluation.settings["model"])


def show_results(results: Sequence[ScoredEvaluation]) -> None:
    """Everything that is printed at the end of an evaluation."""
    show_scores(results)
    for result in results:
        for warning in result.result.warnings:
            console.warn(f"{result.benchmark}, {result.model}: {warning}")
    show_differences(results)
    show_settings(results)
    console.note("in " + ", ".join(dict.fromkeys(str(result.evaluation.directory.path) for result in results)))


def show_scores(results: Sequence[ScoredEvaluation]) -> None:
    """One row a model and benchmark; the mean over benchmarks where a model has several."""
    samples = sorted({result.result.scores.samples for result in results})
    k = str(samples[0]) if len(samples) == 1 else "k"
    # With one sample all three are the same.
    several = samples != [1]
    votes = (f"pass@{k}", f"maj@{k}") if several else ()
    titles = ("problems", f"avg@{k}", "95 % interval", *votes, "length", "truncated")
    columns = [Column("benchmark"), *(Column(title, "right") for title in titles), Column("", wrap=True)]
    blocks: dict[str, list[list[Content]]] = {}
    for model in dict.fromkeys(result.model for result in results):
        own = [result for result in results if result.model == model]
        blocks[model] = [[result.benchmark, *_score_cells(result, several)] for result in own]
        if len(own) > 1:
            blocks[model].append([Cell(f"mean of {len(own)}", "dim"), *_mean_cells(own, several)])
    if console.width() >= ONE_TABLE_FROM:
        rows = [[model, *row] for model, block in blocks.items() for row in block]
        console.table([Column("model", style="bold", wrap=True), *columns], rows)
        return
    for model, block in blocks.items():
        console.heading(model)
        console.table(columns, block)


def _score_cells(result: ScoredEvaluation, several: bool) -> list[Content]:
    scores = result.result.scores
    votes = (scores.pass_at[scores.samples].value, scores.maj_at[scores.samples].value) if several else ()
    return [
        str(scores.problems),
        Cell(percent(scores.avg.value), "bold"),
        interval(scores.avg),
        *map(percent, votes),
        format_value(scores.length, "length"),
        percent(scores.truncated),
        Cell(", ".join(warning.finding for warning in result.result.warnings), "yellow"),
    ]


def _mean_cells(results: Sequence[ScoredEvaluation], several: bool) -> list[Content]:
    """Unweighted over benchmarks; the ends of intervals are combined as independent errors."""
    all_scores = [result.result.scores for result in results]
    count = len(all_scores)
    mean = sum(scores.avg.value for scores in all_scores) / count
    below = math.sqrt(sum((scores.avg.value - scores.avg.low) ** 2 for scores in all_scores)) / count
    above = math.sqrt(sum((scores.avg.high - scores.avg.value) ** 2 for scores in all_scores)) / count
    votes = (
        sum(scores.pass_at[scores.samples].value for scores in all_scores) / count,
        sum(scores.maj_at[scores.samples].value for scores in all_scores) / count,
    )
    return [
        str(sum(scores.problems for scores in all_scores)),
        Cell(percent(mean), "bold"),
        _ends(mean - below, mean + above),
        *map(percent, votes if several else ()),
        format_value(sum(scores.length for scores in all_scores) / count, "length"),
        percent(sum(scores.truncated for scores in all_scores) / count),
        "",
    ]


def show_differences(results: Sequence[ScoredEvaluation]) -> None:
    """Every model against the first, problem by problem, where both have the same problems."""
    from asyppo_cli.evaluation.scores import paired_difference

    rows: list[list[Content]] = []
    for benchmark in dict.fromkeys(result.benchmark for result in results):
        first, *others = [result for result in results if result.benchmark == benchmark]
        for other in others:
            difference = paired_difference(first.result.graded, other.result.graded)
            rows.append([f"{other.model} - {first.model}", benchmark, *difference_cells(difference)])
    if rows:
        console.heading("Differences in avg, over the same problems")
        columns = [Column("models"), Column("benchmark"), Column("points", "right"), Column("95 % interval", "right")]
        console.table([*columns, Column("")], rows)


def difference_cells(difference: ScoreInterval) -> list[Content]:
    """The difference, its interval, and whether it is resolved."""
    resolved = difference.low > 0 or difference.high < 0
    word = Cell("resolved", "green") if resolved else Cell("not resolved", "yellow")
    ends = _ends(difference.low, difference.high, sign=True)
    return [Cell(f"{100 * difference.value:+.1f}", "bold"), ends, word]


def show_settings(results: Sequence[ScoredEvaluation]) -> None:
    """Settings that change scores: those common to all once, then those of each evaluation."""
    console.heading("Settings")
    settings = [_settings(result) for result in results]
    common = {name: value for name, value in settings[0].items() if all(s.get(name) == value for s in settings)}
    own = [{name: value for name, value in each.items() if name not in common} for each in settings]
    rows: list[tuple[str, Content]] = list(_pairs(common))
    for result, each in zip(results, own, strict=True):
        if each:
            text = "; ".join(f"{name} {value}" for name, value in _pairs(each))
            rows.append((f"{result.model}, {result.benchmark}", text))
    console.pairs(rows)


def _settings(result: ScoredEvaluation) -> dict[str, Any]:
    scores = result.result.scores
    known = {**result.evaluation.settings, "grader": result.evaluation.grader, "samples": scores.samples}
    return {name: known[name] for name in ("samples", *SHOWN) if known.get(name) is not None}


def _pairs(settings: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in settings.items():
        text = str(value)
        yield name.replace("_", " "), text[:DIGEST_SHOWN] if name.endswith("sha256") else text


def result_data(result: ScoredEvaluation) -> dict[str, Any]:
    """A result as JSON values."""
    found = result.result
    return {
        "model": result.model,
        "benchmark": result.benchmark,
        "scores": found.scores.as_json(),
        "warnings": [str(warning) for warning in found.warnings],
        "settings": _settings(result),
        "folder": str(result.evaluation.directory.path),
        "drawn": found.drawn,
        "seconds": found.seconds,
        "tokens": found.tokens,
    }


def percent(value: float) -> str:
    """A share."""
    return format_value(value, "percent")


def interval(value: ScoreInterval) -> str:
    """The ends of a share's interval, in percent."""
    return _ends(value.low, value.high)


def _ends(low: float, high: float, sign: bool = False) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    form = "+.1f" if sign else ".1f"
    return f"[{100 * low:{form}}, {100 * high:{form}}]"
