"""Host memory of each DeepSpeed rank while it loads a model: read once for all ranks, against all of it on every rank.

    python benchmarks/loading.py [--layers 16] [--stage 3] [--dtype bfloat16] [--folder FOLDER]

A Qwen3 with random weights (410 million with 24 layers) is written once to FOLDER; then two ranks load it over gloo, in
processes of their own, each way in turn. Prints the peak of resident memory of each rank above what it had before, in
MiB, once the module is there and once DeepSpeed's engine is. Peaks count pages of the model's file that are mapped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

RANKS = 2
MIB = 2**20
WAYS = ("on every rank", "once for all")


def main() -> int:
    """Both ways, and their ratio; or, as a child, one rank of one way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--stage", type=int, default=3)
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "asyppo-loading")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank is not None:
        return run_rank(options)
    weights = write_model(options.folder / f"{options.layers}-layers", options.layers)
    print(f"{weights / 1e6:.0f} million weights, {weights * 4 / MIB:.0f} MiB in float32; stage {options.stage}")
    peaks = {way: measure(options, way) for way in WAYS}
    print(f"{'peak MiB of':<16}" + "".join(f"rank {rank}: module, engine      " for rank in range(RANKS)))
    for way, ranks in peaks.items():
        print(f"{way:<16}" + "".join(f"{module:>14.0f}{engine:>10.0f}      " for module, engine in ranks))
    before, after = ([sum(column) for column in zip(*peaks[way], strict=True)] for way in WAYS)
    print(f"both ranks together, after / before: {after[0] / before[0]:.2f} module, {after[1] / before[1]:.2f} engine")
    return 0


def write_model(folder: Path, layers: int) -> int:
    """Make the model if it is not there; number of weights."""
    from transformers import AutoModelForCausalLM, Qwen3Config

    sizes = {"hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16, "num_key_value_heads": 8}
    config = Qwen3Config(vocab_size=32_000, num_hidden_layers=layers, head_dim=128, tie_word_embeddings=True, **sizes)
    with torch.device("meta"):
        outline = AutoModelForCausalLM.from_config(config)
    if not (folder / "config.json").is_file():
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in outline.parameters())


def measure(options: argparse.Namespace, way: str) -> list[tuple[float, float]]:
    """Peaks of each rank: module, engine."""
    store = Path(tempfile.mkdtemp()) / "store"
    own = ["--layers", str(options.layers), "--stage", str(options.stage), "--dtype", options.dtype]
    command = [sys.executable, __file__, *own, "--way", way, "--folder", str(options.folder)]
    ranks = [
        subprocess.Popen([*command, "--rank", str(rank)], stdout=subprocess.PIPE, text=True, env=environment(store))
        for rank in range(RANKS)
    ]
    printed = [rank.communicate()[0].split() for rank in ranks]
    return [(float(words[-2]), float(words[-1])) for words in printed]


def environment(store: Path) -> dict[str, str]:
    """One thread each, this checkout first, and where the ranks meet."""
    import os

    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "ASYPPO_STORE": str(store)}


def run_rank(options: argparse.Namespace) -> int:
    """One rank: load, start the engine, print both peaks."""
    import os

    from torch import distributed as dist

    from asyppo_cli.builders.learners import build_learner, build_policy_learner
    from asyppo_cli.config.load import load
    from asyppo_cli.engines.deepspeed import learner
    from asyppo_cli.engines.deepspeed.engine import load_deepspeed
    from asyppo_cli.engines.deepspeed.loading import policy_builder
    from asyppo_cli.engines.hf.models import PolicyModel, load_policy

    folder = options.folder / f"{options.layers}-layers"
    dist.init_process_group(
        "gloo",
        init_method=f"file://{os.environ['ASYPPO_STORE']}",
        rank=options.rank,
        world_size=RANKS,
        timeout=timedelta(minutes=10),
    )
    settings = [f"learner.deepspeed.stage={options.stage}", f"learner.dtype={options.dtype}", "learner.device=cpu"]
    config = load([f"policy.model={folder}", "learner=deepspeed", *settings]).config
    load_deepspeed(torch.device("cpu"))
    # What is imported counts for neither way.
    policy_builder(str(folder), None)
    # Linux: forget the peak so far.
    Path("/proc/self/clear_refs").write_text("5")
    before, at_module = peak(), []
    real = learner.DeepSpeedLearner.__init__

    def noting(self: Any, *arguments: Any, **named: Any) -> None:
        at_module.append(peak() - before)
        real(self, *arguments, **named)

    learner.DeepSpeedLearner.__init__ = noting  # type: ignore[method-assign]
    if options.way == WAYS[0]:
        module = PolicyModel(load_policy(str(folder), None), config.sampler.temperature)
        build_learner(module, config.learner, config.learner.policy, 1)
    else:
        build_policy_learner(config)
    print(at_module[0] / MIB, (peak() - before) / MIB)
    return 0


def peak() -> int:
    """The largest resident memory that this process has had, in bytes."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
