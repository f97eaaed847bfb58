"""A process that calls a reward function of the user's, or asks a server: JSON lines on a socket, as :mod:`.worker`.

A request is ``{"extension": {...} | null, "url": ..., "timeout": ..., "rows": [...]}``; without rows, it asks for the
form of the function. The reply is ``judging``, then a JSON object: ``{"form": ...}``, ``{"scores": [...]}`` with a
number, an object of named numbers or ``{"failed": REASON}`` for each row, or ``{"fault": REASON}`` where the function
cannot be called at all. The function is the user's own code: it may write files and use the network, and what it prints
goes nowhere. Start it as ``python -m asyppo_cli.tasks.grading.reward_worker TIMEOUT``.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from asyppo_cli.extensions.function import Extension, ExtensionError
from asyppo_cli.keys import did_you_mean
from asyppo_cli.tasks.grading.worker import ORPHAN_SECONDS, close_streams, reply

Form = Literal["single", "async", "batch"]
Row = Mapping[str, Any]
# What a function may ask for of a response, by the names of its parameters; in the plural, for all responses at once.
SINGLE = ("response", "question", "answer", "id", "entry", "correct", "extracted")
PLURAL = dict(
    zip(("responses", "questions", "answers", "ids", "entries", "corrects", "extracteds"), SINGLE, strict=True)
)


def main(timeout: float) -> None:
    """Answer requests until the socket closes."""
    channel = socket.socket(fileno=os.dup(0))
    close_streams()
    os.dup2(1, 2)
    with channel, channel.makefile("r", encoding="ascii") as requests, channel.makefile("w", encoding="ascii") as out:
        for line in requests:
            request = json.loads(line)
            try:
                score = loaded(request)
            except ExtensionError as error:
                score = fault_of(error)
            reply(out, "judging")
            # The default action of SIGALRM ends the process even inside a C function, if the parent is gone.
            signal.setitimer(signal.ITIMER_REAL, timeout + ORPHAN_SECONDS)
            answer = score(request["rows"])
            signal.setitimer(signal.ITIMER_REAL, 0)
            reply(out, json.dumps(answer))


def loaded(request: Mapping[str, Any]) -> Callable[[Sequence[Row]], dict[str, Any]]:
    """What answers the rows of a request; ExtensionError if the function is not there or has unknown parameters."""
    if request["extension"] is None:
        return lambda rows: ask_server(request["url"], request["timeout"], rows) if rows else {"form": "batch"}
    extension = Extension(**request["extension"])
    form, names = form_of(extension)
    if not request["rows"]:
        return lambda _: {"form": form}
    return lambda rows: {"scores": call(extension, form, names, rows, request["timeout"])}


def fault_of(error: ExtensionError) -> Callable[[Sequence[Row]], dict[str, Any]]:
    """Answers that a function cannot be called."""
    return lambda _: {"fault": str(error)}


def form_of(extension: Extension) -> tuple[Form, list[str]]:
    """How a function wants to be called, and the names of its parameters; ExtensionError for a name that is none."""
    function = extension.function()
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    required = [p.name for p in parameters if p.default is p.empty and p.name in names]
    batch = any(name in PLURAL for name in names)
    known = [*PLURAL] if batch else [*SINGLE]
    for name in required:
        if name not in known:
            near = did_you_mean(name, known, len(known))
            raise extension.fault(f"parameter {name!r} is not known; {near}; or give it a default")
    if not any(name in known for name in names):
        raise extension.fault(f"takes none of {', '.join(SINGLE)}, nor their plurals")
    form: Form = "batch" if batch else "async" if inspect.iscoroutinefunction(function) else "single"
    return form, [name for name in names if name in known]


def call(extension: Extension, form: Form, names: Sequence[str], rows: Sequence[Row], timeout: float) -> list[Any]:
    """The score of each row, or why there is none."""
    if form == "async":
        return asyncio.run(_call_together(extension, names, rows, timeout))
    if form == "single":
        return [_call_alone(extension, {name: row[name] for name in names}) for row in rows]
    columns = {name: [row[PLURAL[name]] for row in rows] for name in names}
    try:
        found = extension(**columns)
        if inspect.iscoroutine(found):
            found = asyncio.run(found)
        scores = list(found)
        if len(scores) != len(rows):
            raise extension.fault(f"returned {len(scores)} rewards for {len(rows)} responses")
    except (Exception, SystemExit) as error:  # noqa: BLE001
        # Broad on purpose: what a user's function raises costs the batch its rewards, and is counted.
        return [{"failed": str(extension.explain(error))}] * len(rows)
    return [_as_json(extension, score) for score in scores]


def _call_alone(extension: Extension, named: Mapping[str, Any]) -> Any:
    try:
        return _as_json(extension, extension(**named))
    except ExtensionError as error:
        return {"failed": str(error)}


async def _call_together(extension: Extension, names: Sequence[str], rows: Sequence[Row], timeout: float) -> list[Any]:
    async def one(row: Row) -> Any:
        try:
            # A little before the parent's own limit, which would cost all rows their rewards.
            score = await asyncio.wait_for(extension(**{name: row[name] for name in names}), 0.9 * timeout)
        except TimeoutError:
            return {"failed": f"{extension.key}={extension.reference}: no result within {timeout:g} s"}
        except (Exception, SystemExit) as error:  # noqa: BLE001
            # Broad on purpose, as in :func:`call`.
            return {"failed": str(extension.explain(error))}
        return _as_json(extension, score)

    return await asyncio.gather(*(one(row) for row in rows))


def _as_json(extension: Extension, score: Any) -> Any:
    """A score as JSON takes it; or why it is none."""
    try:
        return checked(score)
    except (TypeError, ValueError) as error:
        return {"failed": str(extension.fault(str(error)))}


def checked(score: Any) -> float | dict[str, float]:
    """A finite number, or finite numbers by name; ValueError or TypeError for anything else."""
    if isinstance(score, Mapping):
        if not score:
            raise ValueError("returned an empty mapping")
        return {str(name): _number(value, f" for {name}") for name, value in score.items()}
    return _number(score, "")


def _number(value: Any, which: str) -> float:
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"returned a {type(value).__name__}{which}, but a reward is a number or a dict of numbers")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"returned {number}{which}, but a reward must be finite")
    return number


def ask_server(url: str, timeout: float, rows: Sequence[Row]) -> dict[str, Any]:
    """The scores that a server gives: POST ``{"responses": [...]}``, answered by ``{"rewards": [...]}``."""
    import httpx

    try:
        answer = httpx.post(url, json={"responses": list(rows)}, timeout=0.9 * timeout).raise_for_status()
        found = answer.json()["rewards"]
        if len(found) != len(rows):
            raise ValueError(f"{len(found)} rewards for {len(rows)} responses")
        return {"scores": [checked(score) for score in found]}
    except (httpx.HTTPError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(f"rewards.url={url}: {type(error).__name__}: {error}".split())
        return {"scores": [{"failed": reason}] * len(rows)}


if __name__ == "__main__":
    main(float(sys.argv[1]))
