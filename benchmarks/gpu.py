"""What a GPU does with the learners: the same numbers as a CPU, all engines alike, and what methods cost.

    python benchmarks/gpu.py --output FOLDER [--device cpu --tiny] [--parts default contract ...]

Parts, each in a process of its own, so that one that fails or hangs costs the others nothing:

* ``default``: the first steps of the embedded default on the device and on a CPU, number by number;
* ``contract``: a small model through every engine: losses against a CPU's, saved and resumed to the bit;
* ``engines``: torch and DeepSpeed, stages 0-3 and offload, bfloat16 and float32, on a Qwen3 of 0.6b random weights:
  tokens a second, share of the device's measured matrix speed, peak memory, losses against torch's in float32;
* ``methods``: one training step's passes of AsyPPO (two mini-critics), symmetric PPO and GRPO on the same rollouts;
* ``sizes``: policies of 1.7b and 4b with two critics of 0.6b, as far as the memory goes.

Needs torch, transformers and DeepSpeed; no vLLM, no hub. Every result is printed and appended to FOLDER/gpu.jsonl as it
comes; FOLDER/gpu.json has all of them, and what failed. Exit code 1 if anything did.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PARTS = ("default", "contract", "engines", "methods", "sizes")
# No part may take longer, in seconds: the others must have their turn.
LONGEST = {"default": 80, "contract": 60, "engines": 90, "methods": 60, "sizes": 90}
TINY_LONGEST = 240


def main() -> int:
    """Run the parts; 0 if all of them gave what they should."""
    options = parse()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.part is not None:
        return run_part(options)
    (options.output / "gpu.jsonl").write_text("")
    end, failed = time.monotonic() + options.seconds, {}
    for part in options.parts:
        problem = run_child(part, options, end - time.monotonic())
        if problem is not None:
            failed[part] = problem
            print(f"{part}: FAILED: {problem}", flush=True)
    rows = [json.loads(line) for line in (options.output / "gpu.jsonl").read_text().splitlines()]
    broken = [row for row in rows if "error" in row]
    (options.output / "gpu.json").write_text(json.dumps({"results": rows, "failed": failed}, indent=1))
    print(f"{len(rows) - len(broken)} results, {len(broken)} failed, parts that ended early: {failed or 'none'}")
    return 1 if failed or broken else 0


def parse() -> argparse.Namespace:
    """The command line; ``--part`` is this script's own, for its children."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for gpu.jsonl and gpu.json")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="models of a few thousand weights: tries the script out")
    parser.add_argument("--seconds", type=float, default=235.0, help="no part is begun or goes on after that")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def run_child(part: str, options: argparse.Namespace, left: float) -> str | None:
    """One part in a process of its own; what went wrong in words, None if nothing did."""
    limit = min(left, TINY_LONGEST if options.tiny else LONGEST[part])
    if limit < 5:
        return "no time was left for it"
    command = [sys.executable, __file__, "--part", part, "--output", str(options.output), "--device", options.device]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    if options.tiny:
        # Threads that wait for each other take most of the time of models this small.
        environment["OMP_NUM_THREADS"] = "1"
    start = time.monotonic()
    try:
        code = subprocess.run(
            [*command, *(["--tiny"] if options.tiny else [])], env=environment, timeout=limit
        ).returncode
    except subprocess.TimeoutExpired:
        return f"it was not done after {limit:.0f} s"
    print(f"{part}: {time.monotonic() - start:.0f} s", flush=True)
    return None if code == 0 else f"its process ended with code {code}"


def run_part(options: argparse.Namespace) -> int:
    """In the child: one part, every result written as it comes."""
    # Imports torch, which the parent has no use for.
    import gpu_parts

    def tell(name: str, **result: Any) -> None:
        row = {"part": options.part, "name": name, **result}
        with (options.output / "gpu.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{options.part:<9}{name:<54}" + "  ".join(f"{k} {shown(v)}" for k, v in result.items()), flush=True)

    gpu_parts.run(options.part, gpu_parts.Bench(options.device, options.tiny, tell))
    return 0


def shown(value: Any) -> str:
    """A number with four digits; a list of them likewise."""
    if isinstance(value, list):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
