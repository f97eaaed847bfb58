"""Trying things in a process of their own: an import that crashes the interpreter crashes that one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TORCHVISION = "operator torchvision::nms does not exist"
TORCHVISION_CURE = "pip uninstall -y torchvision torchaudio torchcodec (text models need none of them)"
LONGEST = 300
# The one line of what a probe prints that is meant for us; libraries print what they like.
MARK = "asyppo-doctor:"


@dataclass(frozen=True)
class Answer:
    """``value`` is the probe's answer, None if it failed; ``error`` says how, in one line."""

    value: Any
    error: str = ""


def probe(arguments: Sequence[str], given: Any, seconds: float) -> Answer:
    """Run ``python ARGUMENTS`` with ``given`` as JSON on its stdin, and take the JSON of its marked line.

    The current folder is never imported from. Whatever it starts ends with it.
    """
    command = [sys.executable, "-P", *arguments]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(json.dumps(given), timeout=seconds)
        except subprocess.TimeoutExpired:
            return Answer(None, f"no answer within {seconds:g} seconds")
        finally:
            end(process)
    marked = [line.removeprefix(MARK) for line in out.splitlines() if line.startswith(MARK)]
    return Answer(json.loads(marked[-1])) if marked else Answer(None, how_it_failed(process.returncode, err))


def end(process: subprocess.Popen[str]) -> None:
    """Kill the probe's whole process group, if anything is left of it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def how_it_failed(code: int, err: str) -> str:
    """One line for a probe without an answer: its last error, or the signal that ended it."""
    if TORCHVISION in err:
        return TORCHVISION
    errors = [
        line.strip() for line in err.splitlines() if re.match(r"^[\w.]*(Error|Exception|Interrupt)\b", line.strip())
    ]
    if errors:
        return errors[-1][:LONGEST]
    if code < 0:
        return f"the interpreter was ended by {signal.Signals(-code).name}"
    return (err.strip().splitlines() or [f"it ended with code {code}"])[-1][:LONGEST]


def fix_of(error: str, otherwise: str) -> str:
    """What to do about a known fault."""
    return TORCHVISION_CURE if TORCHVISION in error or "torchvision::nms" in error else otherwise


def tell(value: Any) -> None:
    """The other end of :func:`probe`: what a probe has found out."""
    print(MARK + json.dumps(value), flush=True)


def given() -> Any:
    """What :func:`probe` was given."""
    return json.load(sys.stdin)
