"""The data of the token page: responses of one or several steps, with every quantity of every token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from analysis.pages.html import number, page, template
from analysis.pages.selection import ResponseStats, response_stats
from analysis.tokens.text import read_spelling
from asyppo_cli.runs.records import RecordTexts, texts_of

if TYPE_CHECKING:
    import pyarrow as pa

# A colour scale ends at this quantile, so that one extreme token does not make all others pale.
EXTREME = 0.99


@dataclass(frozen=True)
class TokenQuantity:
    """A quantity of every token: its column in the records, label, meaning and colour scale."""

    column: str
    label: str
    meaning: str
    diverging: bool


def quantities(critics: int) -> list[TokenQuantity]:
    """The quantities that tokens can be coloured by, the default first; without critics there are no values."""
    values = [
        TokenQuantity("value_mean", "value", "mean of the critics: the reward they expect from here on", True),
        *(TokenQuantity(f"value_{m}", f"value, critic {m}", f"critic {m} alone", True) for m in range(critics)),
    ]
    spread = [TokenQuantity("value_std", "disagreement", "standard deviation of the critics' values", False)]
    return [
        *(spread if critics > 1 else []),
        *(values if critics > 1 else values[:1]),
        TokenQuantity("advantage", "advantage", "outcome against expectation, before any mask", True),
        TokenQuantity("entropy", "entropy (nats)", "how undecided the policy was", False),
        TokenQuantity("gradient_norm", "gradient norm", "pull of this token on its logits, before the mask", False),
    ]


@dataclass(frozen=True)
class StepResponses:
    """Responses of one step that go on a page: ``rows`` index the responses of ``table``, ``texts`` came with it.

    ``left_out`` responses were chosen too, but the page would have become too large.
    """

    step: int
    table: pa.Table
    stats: ResponseStats
    rows: Sequence[int]
    texts: RecordTexts
    left_out: int = 0


def step_responses(
    step: int, table: pa.Table, rows: Sequence[int], known: Mapping[str, Mapping[str, Any]], left_out: int = 0
) -> StepResponses:
    """A step's responses; ``known`` prompts replace those that the records lack."""
    texts = texts_of(table)
    both = RecordTexts({**known, **texts.prompts}, texts.responses)
    return StepResponses(step, table, response_stats(table), rows, both, left_out)


def critic_count(table: pa.Table) -> int:
    """How many critics' values the records hold."""
    return sum(name.removeprefix("value_").isdigit() for name in table.column_names)


def token_data(run: str, readings: Sequence[StepResponses], start: int, what: str) -> dict[str, Any]:
    """Everything the page's script needs, as JSON values; the page opens at step ``start``.

    One distinct text is stored once; numbers have four significant digits.
    """
    critics = critic_count(readings[0].table)
    shown = quantities(critics)
    parts = [
        (part, row, part.table.slice(part.stats.starts[row], part.stats.stops[row] - part.stats.starts[row]))
        for part in readings
        for row in part.rows
    ]
    texts: dict[str, int] = {}
    columns = {q.column: np.concatenate([tokens[q.column].to_numpy() for *_, tokens in parts]) for q in shown}
    rewards = np.concatenate([part.stats.rewards for part in readings])
    return {
        "run": run,
        "what": what,
        "start": start,
        "steps": [part.step for part in readings],
        "critics": critics,
        "scales": [_scale(q, columns[q.column], rewards) for q in shown],
        "prompts": _prompts(readings),
        "responses": [_response(part, row, tokens, shown, texts) for part, row, tokens in parts],
        "texts": read_spelling(list(texts)),
    }


def _scale(quantity: TokenQuantity, values: Any, rewards: Any) -> dict[str, Any]:
    """The ends of a quantity's colour scale, the same on the whole page.

    Values run over the range of rewards, at least from 0 to 1; advantages lie symmetric around 0.
    """
    finite = np.abs(values[np.isfinite(values)])
    extreme = float(np.quantile(finite, EXTREME)) if len(finite) else 0.0
    if quantity.column.startswith("value_") and quantity.column != "value_std":
        low, high = min(0.0, float(rewards.min(initial=0))), max(1.0, float(rewards.max(initial=1)))
    else:
        high = extreme or 1.0
        low = -high if quantity.diverging else 0.0
    named = {"key": quantity.column, "label": quantity.label, "meaning": quantity.meaning}
    return named | {"diverging": quantity.diverging, "low": number(low, 3), "high": number(high, 3)}


def _prompts(readings: Sequence[StepResponses]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for part in readings:
        for row in part.rows:
            prompt = part.stats.prompts[row]
            said = part.texts.prompts.get(prompt, {})
            found.setdefault(prompt, {"problem": said.get("problem"), "answer": said.get("answer")})
    return found


def _response(
    part: StepResponses, row: int, tokens: pa.Table, shown: Sequence[TokenQuantity], texts: dict[str, int]
) -> dict[str, Any]:
    """One response with its tokens; texts that are new are added to ``texts``."""
    response_id = int(part.stats.ids[row])
    said = part.texts.responses[response_id] if response_id < len(part.texts.responses) else {}
    reward = float(part.stats.rewards[row])
    return {
        "step": part.step,
        "prompt": part.stats.prompts[row],
        "number": response_id,
        "reward": number(reward),
        "verdict": said.get("verdict", "right" if part.stats.right[row] else "not right"),
        "components": {name: number(value) for name, value in said.get("components", {}).items()},
        "extracted": said.get("extracted"),
        "truncated": bool(said.get("truncated", False)),
        "judged": bool(said),
        "disagreement": number(float(part.stats.disagreement[row])),
        "token": [texts.setdefault(text, len(texts)) for text in tokens["token"].to_pylist()],
        "id": tokens["token_id"].to_pylist(),
        "logprob": [number(x) for x in tokens["logprob"].to_pylist()],
        "masked": [int(not kept) for kept in tokens["advantage_kept"].to_pylist()],
        "filtered": [int(not kept) for kept in tokens["entropy_kept"].to_pylist()],
        **{q.column: [number(x) for x in tokens[q.column].to_pylist()] for q in shown},
    }


def token_page(data: Mapping[str, Any]) -> str:
    """The page as HTML."""
    title = f"{data['run']}: {data['what']}"
    styles = template("base.css") + template("tokens.css")
    body = Markup(template("tokens.html"))  # noqa: S704 (a file of ours)
    return page(title, body, styles, template("tokens.js"), data)
