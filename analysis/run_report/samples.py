"""Responses worth reading, as markup: the best, the worst and the most disputed of the last recorded step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from analysis.pages.html import joined, tag, text
from analysis.pages.token_page import critic_count, token_data
from analysis.pages.token_source import training_readings
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import read_samples, recorded_steps

EACH = 2
# Longer responses are cut; the token page shows them whole.
MAX_TOKENS = 700
LEVELS = 8
TITLES = {
    "best": ("Best", "right, though the critics or the group expected it least"),
    "worst": ("Worst", "wrong, though most was expected of them"),
    "disputed": ("Most disputed", "the critics' values differ most"),
}


def samples_section(run: RunDirectory) -> Markup:
    """The chosen responses of a run; without token records, the readable samples of its last step."""
    if not recorded_steps(run):
        return _plain_samples(run)
    parts, seen = [], set[int]()
    for order, (title, why) in TITLES.items():
        readings = training_readings(run, None, None, order, "all", EACH)  # type: ignore[arg-type]
        if order == "disputed" and critic_count(readings[0].table) < 2:
            continue
        data = token_data(run.name, readings, readings[0].step, "")
        fresh = [response for response in data["responses"] if response["number"] not in seen]
        seen |= {response["number"] for response in fresh}
        cards = [_card(response, data) for response in fresh]
        if cards:
            parts += [tag("h4", f"{title} ", tag("span", why, class_="muted")), *cards]
    step = recorded_steps(run)[-1]
    shading = "Shaded by the critics' disagreement. " if critic_count(readings[0].table) > 1 else ""
    legend = tag(
        "p",
        f"Training step {step}. {shading}",
        tag("span", "Underlined", class_="masked"),
        ": advantage masked; ",
        tag("span", "dotted above", class_="filtered"),
        ": no entropy bonus. Every number of every token: ",
        tag("code", f"asyppo analyze tokens {run.name} --of training --order disputed"),
        class_="muted small",
    )
    return joined(legend, *parts)


def _card(response: Mapping[str, Any], data: Mapping[str, Any]) -> Markup:
    prompt = data["prompts"][response["prompt"]]
    right = response["verdict"] == "right"
    facts = [tag("span", ("✓ " if right else "✗ ") + response["verdict"], class_="right" if right else "wrong")]
    if response["judged"]:
        facts.append(tag("span", f"answer {response['extracted'] if response['extracted'] is not None else '–'}"))
    if prompt["answer"] is not None:
        facts.append(tag("span", f"gold {prompt['answer']}"))
    length = len(response["token"])
    facts.append(tag("span", f"{length:,} tokens" + (", cut off by the limit" if response["truncated"] else "")))
    question = prompt["problem"] or f"prompt {response['prompt']} (these records were made without prompts)"
    left = f" … {length - MAX_TOKENS:,} more tokens" if length > MAX_TOKENS else ""
    return tag(
        "div",
        tag("p", question, class_="question", dir="auto"),
        tag("p", *facts, class_="facts"),
        tag("p", *_tokens(response, data), left, class_="text"),
        class_="sample",
    )


def _tokens(response: Mapping[str, Any], data: Mapping[str, Any]) -> list[Markup]:
    high = next((scale["high"] for scale in data["scales"] if scale["key"] == "value_std"), None)
    spans = []
    for i, word in enumerate(response["token"][:MAX_TOKENS]):
        value = response["value_std"][i] if high else None
        level = min(LEVELS, round(LEVELS * (value or 0.0) / high)) if high else 0
        marks = [f"d{level}"] if level else []
        marks += ["masked"] if response["masked"][i] else []
        marks += ["filtered"] if response["filtered"][i] else []
        shown = data["texts"][word]
        spans.append(tag("span", shown, class_=" ".join(marks)) if marks else text(shown))
    return spans


def _plain_samples(run: RunDirectory) -> Markup:
    samples = read_samples(run)[: 2 * EACH]
    if not samples:
        return tag("p", "No response was written down.", class_="muted")
    cards = [
        tag(
            "div",
            tag("p", sample.get("problem", ""), class_="question", dir="auto"),
            tag("p", tag("span", f"{sample.get('verdict', '?')}, gold {sample.get('answer', '?')}"), class_="facts"),
            tag("p", sample.get("response", ""), class_="text"),
            class_="sample",
        )
        for sample in samples
    ]
    note = (
        "The first responses of the last step; train with records.every=N to see their tokens, and the best and worst."
    )
    return joined(tag("p", note, class_="muted small"), *cards)
