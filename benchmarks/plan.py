"""What asyppo plan says against what real runs take: the peak of every process, and the error.

    python benchmarks/plan.py [--model FOLDER] [CASE ...]

Every case is a short run of the real command; its processes are watched from outside (VmHWM, the system's own peak),
and asked for by the run itself (memory/*). Then the plan is made with the lengths that the run has met, since a plan is
for the limits that are set. FOLDER is a Hugging Face model for the cases that need one, such as SmolLM2-135M. Exits
with 1 if a process is off by more than a tenth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET = 0.10
SHORT = ["max_steps=2", "critics.warmup_steps=0", "evaluation.every=0", "records.every=1"]
ON_MODEL = [
    "experiment=local_model",
    "rollout.prompts=2",
    "rollout.responses=4",
    "rollout.prompt_length=128",
    "rollout.response_length=24",
    "evaluation.problems=2",
    "learner.micro_batch_tokens=600",
    "grading.workers=1",
]
RAY = ["cluster=ray", "sampler=transformers", "cluster.cpus_per_rank=0.2"]
TWO = ["learner=deepspeed", "cluster.policy.ranks=2"]
# Name, overrides, and whether a model from outside the package is needed.
CASES: dict[str, tuple[list[str], bool]] = {
    "embedded": ([], False),
    "one critic": (["critic_count=1", "mask_pct=off", "entropy_filter_pct=off"], False),
    "four critics": (["critic_count=4"], False),
    "symmetric": (["algorithm=ppo"], False),
    "checkpointing": (["learner.gradient_checkpointing=true"], False),
    "ray": (RAY, False),
    "ray, two ranks": ([*RAY, *TWO], False),
    "model": ([*ON_MODEL, "sampler=transformers"], True),
    "model, bfloat16": ([*ON_MODEL, "sampler=transformers", "learner.dtype=bfloat16"], True),
    "model, vllm": ([*ON_MODEL, "sampler=vllm", "sampler.vllm.kv_cache_gib=0.5", "learner.dtype=bfloat16"], True),
}
NAMES = {
    "asyppo_cli.engines.vllm.process": "vllm",
    "asyppo_cli.tasks.grading.worker": "grader",
    "raylet": "ray",
    "gcs_": "ray",
}


def descendants(root: int) -> list[int]:
    """The process and all that it has started, and these."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def peak_of(pid: int) -> tuple[str, int] | None:
    """What a process is, and its peak in bytes; None when it is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    peak = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
    return next((name for part, name in NAMES.items() if part in words), "other"), peak


def watch(process: subprocess.Popen[bytes]) -> dict[int, tuple[str, int]]:
    """Peaks of the process and its descendants by number, to its end."""
    peaks: dict[int, tuple[str, int]] = {}
    while process.poll() is None:
        for pid in descendants(process.pid):
            found = peak_of(pid)
            if found is not None and found[1] >= peaks.get(pid, ("", 0))[1]:
                peaks[pid] = ("main", found[1]) if pid == process.pid else found
        time.sleep(0.2)
    return peaks


def run(overrides: list[str], folder: Path) -> tuple[dict[str, float], int]:
    """Peaks by process of a real run, the largest of several alike; and the longest response of it."""
    command = [sys.executable, "-P", "-m", "asyppo_cli", "train", "--name", "it", "--fresh", *SHORT, *overrides]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        peaks = watch(process)
    if process.returncode:
        raise RuntimeError((folder / "log").read_text()[-800:])
    found: dict[str, float] = {}
    for name, peak in peaks.values():
        found[name] = max(found.get(name, 0.0), float(peak))
    last = json.loads((folder / "runs/it/metrics.jsonl").read_text().splitlines()[-1])
    roles = {
        key.split("/")[1].removesuffix("_peak_bytes"): value
        for key, value in last.items()
        if key.endswith("_peak_bytes")
    }
    found |= roles
    return found, longest_response(folder / "runs/it")


def longest_response(folder: Path) -> int:
    """Tokens of the longest response of the recorded steps."""
    import pyarrow.parquet as parquet

    files = sorted((folder / "records").glob("*.parquet"))
    return max(max(parquet.read_table(file, columns=["position"]).column(0).to_pylist()) + 1 for file in files)


def longest_prompt(overrides: list[str]) -> int:
    """Tokens of the longest prompt of the held-out set."""
    from asyppo_cli.builders.loop import load_inputs
    from asyppo_cli.config.load import load

    return max(len(prompt.tokens) for prompt in load_inputs(load(overrides).config).heldout)


def planned(overrides: list[str], folder: Path, response: int) -> dict[str, float]:
    """The plan's peaks by process, ranks of a role added up as the run does it."""
    file = folder / "plan.json"
    command = [sys.executable, "-P", "-m", "asyppo_cli", "plan", "--json", str(file), *SHORT, *overrides]
    expected = ["--response-tokens", str(response), "--prompt-tokens", str(longest_prompt(overrides))]
    subprocess.run([*command, *expected], cwd=folder, check=True, capture_output=True)
    found: dict[str, float] = {}
    for process in json.loads(file.read_text())["places"][0]["processes"]:
        name = process["process"].partition(" (")[0]
        times = process["count"] if name not in ("grader",) else 1
        found[name] = found.get(name, 0.0) + process["bytes"] * times
    return found


def compare(name: str, overrides: list[str]) -> float:
    """One case, printed; returns the largest error of its processes."""
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="asyppo-plan-") as made:
        measured, response = run(overrides, Path(made))
        expected = planned(overrides, Path(made), response)
    if "driver" in expected:
        measured["driver"] = measured.pop("main")
    for process in expected:
        if process in measured:
            error = expected[process] / measured[process] - 1.0
            worst = max(worst, abs(error))
            sizes = f"{expected[process] / 2**20:>10,.0f}{measured[process] / 2**20:>10,.0f}"
            print(f"{name:<18}{process:<10}{sizes}{error:>+8.1%}", flush=True)
    return worst


def main() -> int:
    """Print the table; 0 if every process of every case is within the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    print(f"{'case':<18}{'process':<10}{'planned':>10}{'measured':>10}{'error':>8}   (MiB)", flush=True)
    worst = 0.0
    for name, (overrides, outside) in CASES.items():
        if (arguments.cases and name not in arguments.cases) or (outside and not arguments.model):
            continue
        worst = max(worst, compare(name, [*overrides, *([f"policy.model={arguments.model}"] if outside else [])]))
    print(f"largest error {worst:.1%} (target at most {TARGET:.0%}): {'PASS' if worst <= TARGET else 'FAIL'}")
    return 0 if worst <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
