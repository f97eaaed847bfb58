"""What it is worth that a training process keeps the memory it frees, against the C library's own ways.

    python benchmarks/page_faults.py [--model embedded:policy] [--passes 6] [--rounds 3]

Forward and backward passes of a policy over 64 responses, in processes of their own that take turns; the first two
passes of each are left out. Prints seconds of a pass, page faults and peak memory of both, and the ratios.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from time import perf_counter

LEFT_OUT = 2


def passes(model: str, number: int, keeps: bool) -> dict[str, float]:
    """Medians over passes, in this process."""
    import torch

    from asyppo_cli.engines.hf.models import PolicyModel, load_policy
    from asyppo_cli.engines.hf.prompt_packing import plan_packing
    from asyppo_cli.engines.torch.malloc import set_trim_thresholds
    from asyppo_cli.types import Sequences

    if keeps and not set_trim_thresholds():
        raise SystemExit("this C library cannot be told to keep memory")
    torch.manual_seed(0)
    policy = PolicyModel(load_policy(model, None), 1.0)
    words = policy.model.config.vocab_size
    prompts = [torch.randint(words, (47,)).tolist() for _ in range(8)]
    responses = [torch.randint(words, (int(length),)).tolist() for length in torch.randint(16, 49, (64,))]
    batch = Sequences.join([prompt for prompt in prompts for _ in range(8)], responses)
    seconds, faults = [], []
    for _ in range(number):
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, perf_counter()
        for part in plan_packing(batch, 640, policy.facts.attention_crossover):
            outputs = policy(batch.rows(part.rows), part.sizes)
            (outputs.logprobs.sum() + outputs.entropy.sum()).backward()
        policy.zero_grad()
        seconds.append(perf_counter() - start)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    kept = slice(LEFT_OUT, None)
    return {"seconds": statistics.median(seconds[kept]), "faults": statistics.median(faults[kept]), "peak": peak}


def in_its_own_process(model: str, number: int, keeps: bool) -> dict[str, float]:
    """:func:`passes`, called anew."""
    command = [sys.executable, __file__, "--model", model, "--passes", str(number), "--alone", str(int(keeps))]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    if output.returncode:
        raise SystemExit(output.stderr[-2000:])
    found: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Both ways in turn, then the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded:policy")
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=int, help="Measure one way here; what this script asks of itself.")
    options = parser.parse_args()
    if options.alone is not None:
        print(json.dumps(passes(options.model, options.passes, bool(options.alone))))
        return
    both: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for _ in range(options.rounds):
        for keeps, found in both.items():
            found.append(in_its_own_process(options.model, options.passes, keeps))
    medians = {
        keeps: {name: statistics.median(row[name] for row in found) for name in found[0]}
        for keeps, found in both.items()
    }
    for keeps, row in medians.items():
        name = "kept" if keeps else "given back"
        print(f"{name:<12}{row['seconds']:9.3f} s{row['faults']:>12,.0f} page faults{row['peak']:8.2f} GiB")
    ratios = {name: medians[True][name] / medians[False][name] for name in ("seconds", "peak")}
    print(f"{'ratio':<12}{ratios['seconds']:9.2f}{'':>26}{ratios['peak']:8.2f}")


if __name__ == "__main__":
    main()
