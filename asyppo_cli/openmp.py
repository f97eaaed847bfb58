"""How long OpenMP's threads wait for each other before they give their core up. Set before torch is loaded.

Threads that wait at the end of a parallel loop spin by default: libgomp 300,000 times, libiomp for 200 milliseconds.
Where another process holds the core of the thread that is waited for, that time is lost. A short spin saves waking a
thread for every loop where cores are free, and costs little where they are not (docs/performance.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

# Each library reads its own when it is loaded; OMP_WAIT_POLICY is read by both.
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
BUSY_SHARE = 0.75
SHORT_SPIN = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}


def yield_cores() -> None:
    """Let this process and those it starts give their cores up soon, unless the user says how threads wait.

    Without effect on this process once torch is loaded.
    """
    if not wait_settings(os.environ):
        os.environ.update(SHORT_SPIN)


def wait_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment that say how threads wait."""
    return {name: environment[name] for name in VARIABLES if name in environment}


def describe_waiting(environment: Mapping[str, str]) -> str:
    """One line for people."""
    settings = wait_settings(environment)
    if not settings:
        return "the libraries' long spin"
    origin = "a short spin" if settings == SHORT_SPIN else "as the environment says"
    return f"{origin} ({' '.join(f'{name}={value}' for name, value in settings.items())})"


def is_busy(cores: int, competing: float) -> bool:
    """Whether ``competing`` threads of other processes occupy most of the cores."""
    return competing > BUSY_SHARE * cores


def busy_notice(cores: int, competing: float) -> str | None:
    """A note for the start of a run beside other programs; None on a machine that is free."""
    if not is_busy(cores, competing):
        return None
    return f"{competing:.0f} threads of other programs compute on these {cores} cores: steps take longer in proportion"
