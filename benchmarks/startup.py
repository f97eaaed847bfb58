"""How long the command line takes to answer, against ``python -c pass`` of the same interpreter.

    python benchmarks/startup.py [ROUNDS]

Rounds of all commands interleaved, the best of each: what is left is work, not the machine's mood.
"""

from __future__ import annotations

import subprocess
import sys
import time

ASYPPO = [sys.executable, "-P", "-m", "asyppo_cli"]
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "asyppo --help": [*ASYPPO, "--help"],
    "asyppo --version": [*ASYPPO, "--version"],
    "asyppo train --help": [*ASYPPO, "train", "--help"],
    "asyppo runs ls": [*ASYPPO, "runs", "ls", "--runs-dir", "no-such-folder"],
    "asyppo eval ls": [*ASYPPO, "eval", "ls"],
    "asyppo config ls": [*ASYPPO, "config", "ls"],
    "asyppo config show": [*ASYPPO, "config", "show"],
}
# What was promised: at most so many times the bare interpreter, or so many seconds.
TIMES_BARE = {"asyppo --help": 12.0}
SECONDS = {"asyppo config show": 1.0, "asyppo eval ls": 1.0}


def measure(command: list[str]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begin


def best_of(rounds: int) -> dict[str, float]:
    """Least seconds of every command."""
    best = dict.fromkeys(COMMANDS, float("inf"))
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            best[name] = min(best[name], measure(command))
    return best


def main() -> int:
    """Print seconds and ratios; exit 1 if a promise is broken."""
    best = best_of(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    bare = best["python -c pass"]
    kept = True
    for name, seconds in best.items():
        limit = TIMES_BARE[name] * bare if name in TIMES_BARE else SECONDS.get(name, float("inf"))
        kept = kept and seconds <= limit
        promise = "" if limit == float("inf") else f"   promised: at most {limit:.3f} s"
        print(f"{name:<22} {seconds:7.3f} s {seconds / bare:6.1f} x{promise}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
