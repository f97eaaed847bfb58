"""The parts of benchmarks/gpu.py, each in a process of its own."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gpu_models import SIZES, new_model, work
from torch import Tensor

from asyppo_cli.algorithm.critics import assign
from asyppo_cli.algorithm.losses import token_weights
from asyppo_cli.engines.hf.models import PolicyModel, ValueModel
from asyppo_cli.engines.torch.learner import AdamW, TorchLearner
from asyppo_cli.training.objectives import PolicyObjective, ValueObjective
from asyppo_cli.types import PolicyTargets, Sequences, ValueTargets

GIB = 2**30
STEPS = 3
OPTIMIZER = AdamW(
    lr=3e-4, weight_decay=0.0, betas=(0.9, 0.95), max_grad_norm=1.0, warmup_steps=0, schedule="constant", total_steps=99
)
# With some likelihood in it: the rest of it hardly changes from step to step on one batch, and would tell nothing.
POLICY_LOSS = PolicyObjective(0.2, 0.2, None, "token", 0.01, 0.0, "k3", 1.0, None)
VALUE_LOSS = ValueObjective(None)
BF16, FLOAT32 = torch.bfloat16, torch.float32
# Engine, stage, offload.
ENGINES: dict[str, tuple[int, Any] | None] = {
    "torch": None,
    **{f"deepspeed {stage}": (stage, "none") for stage in range(4)},
    "deepspeed 2, optimizer offloaded": (2, "optimizer"),
    "deepspeed 3, all offloaded": (3, "all"),
}


@dataclass(frozen=True)
class Bench:
    """Where to run, how large, and whom to tell: ``tell(name, **result)``."""

    device: str
    tiny: bool
    tell: Callable[..., None]

    def size(self, name: str) -> str:
        """The size asked for, or the tiny one."""
        return "tiny" if self.tiny else name

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """Tell of an error, forget what it held, and go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever one measurement meets, the others must have their turn
            words = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            error.__traceback__ = None
            self.tell(name, error=words)
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def now(self) -> float:
        """Seconds, when the device has done what it was told."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def peak(self) -> float:
        """Peak of the device's memory in GiB; none is counted on a CPU."""
        return torch.cuda.max_memory_allocated() / GIB if self.device == "cuda" else 0.0


def run(part: str, bench: Bench) -> None:
    """One part by name."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    name = torch.cuda.get_device_name() if bench.device == "cuda" else "cpu"
    bench.tell("device", device=name, torch=torch.__version__, transformers=transformers.__version__)
    {"default": default, "contract": contract, "engines": engines, "methods": methods, "sizes": sizes}[part](bench)


def default(bench: Bench) -> None:
    """The embedded default, step by step, on both devices."""
    rows = {}
    for device in ("cpu", bench.device):
        with bench.trying(f"embedded default on {device}"):
            start = bench.now()
            rows[device] = first_steps(device)
            bench.tell(f"embedded default on {device}", seconds=bench.now() - start)
    if len(rows) < len({"cpu", bench.device}):
        return
    for step, (here, there) in enumerate(zip(rows["cpu"], rows[bench.device], strict=True), 1):
        differences = {k: abs(here[k] - there[k]) / max(abs(here[k]), 1e-6) for k in here}
        bench.tell(f"step {step}, relative differences", **differences)


def first_steps(device: str) -> list[dict[str, float]]:
    """Losses, norms and rewards of the first steps."""
    from unittest.mock import MagicMock

    # All that only a whole run needs is imported here, so that the other parts do not.
    from asyppo_cli.builders.loop import build_grader, build_loop, load_inputs
    from asyppo_cli.config.load import load
    from asyppo_cli.runs import metrics as names
    from asyppo_cli.training.clock import Clock

    wanted = [names.REWARD_MEAN, names.LENGTH_MEAN, names.POLICY_LOSS, names.POLICY_GRAD_NORM, names.ENTROPY]
    wanted += [names.critic(m, quantity) for m in range(2) for quantity in ("loss", "grad_norm")]
    short = ["critics.warmup_steps=0", "rollout.prompts=16", "sampler=transformers", f"learner.device={device}"]
    config = load(["learner=torch", *short]).config
    rows = []
    with (
        closing(build_grader(config)) as grader,
        closing(build_loop(config, load_inputs(config), grader, MagicMock(), MagicMock())) as loop,
    ):
        for step in range(1, STEPS + 1):
            outcome = loop.train_step.run(step, Clock(MagicMock()))
            rows.append({name: float(outcome.metrics[name]) for name in wanted})
    return rows


def contract(bench: Bench) -> None:
    """A small model through every engine: a CPU's losses, and a checkpoint that goes on to the bit."""
    batch = rollouts(16, 16, 48, SIZES[bench.size("small")][-1])
    cpu = Bench("cpu", bench.tiny, bench.tell)
    for kind in ("policy", "critic"):
        expected = learnt(build(cpu, "torch", bench.size("small"), kind, FLOAT32, 400), batch, kind, STEPS + 2)
        for engine in ENGINES:
            for dtype in (FLOAT32, BF16):
                with bench.trying(f"{kind}, {engine}, {short(dtype)}"):
                    check_engine(bench, engine, kind, dtype, batch, expected)


def check_engine(
    bench: Bench, engine: str, kind: str, dtype: torch.dtype, batch: Sequences, expected: list[float]
) -> None:
    """Some steps, a checkpoint, some more; again from the checkpoint under other weights."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(build(bench, engine, bench.size("small"), kind, dtype, 400)) as through,
    ):
        losses = learnt(through, batch, kind, STEPS)
        through.save(Path(folder) / "saved")
        after = learnt(through, batch, kind, 2)
        with closing(build(bench, engine, bench.size("small"), kind, dtype, 400, seed=1)) as resumed:
            resumed.load(Path(folder) / "saved")
            again = learnt(resumed, batch, kind, 2)
    worst = relative([*losses, *after], expected)
    bench.tell(f"{kind}, {engine}, {short(dtype)}", worst_against_cpu=worst, resumed_to_the_bit=again == after)
    if dtype == FLOAT32 and worst > 1e-3:
        raise RuntimeError(f"losses differ from a CPU's by {worst:.2g}: {[*losses, *after]} against {expected}")


def engines(bench: Bench) -> None:
    """All engines on one model and batch."""
    size = bench.size("0.6b")
    rows, prompt, response, budget = (4, 8, 24, 100) if bench.tiny else (32, 128, 1024, 4 * 1152)
    batch, best = rollouts(rows, prompt, response, SIZES[size][-1]), matrix_speed(bench)
    expected: list[float] | None = None
    for dtype in (FLOAT32, BF16):
        for engine in ENGINES:
            with (
                bench.trying(f"{size}, {engine}, {short(dtype)}"),
                closing(build(bench, engine, size, "policy", dtype, budget)) as learner,
            ):
                losses, seconds = timed(bench, learner, batch)
                if expected is None:
                    expected = losses
                flops = 3 * work(size, batch, "policy") / seconds
                bench.tell(
                    f"{size}, {engine}, {short(dtype)}",
                    tokens_per_second=int(batch.lengths.sum()) / seconds,
                    tflops=flops / 1e12,
                    share_of_matrix_speed=flops / best[dtype],
                    peak_gib=bench.peak(),
                    losses=losses,
                    worst_loss_difference=relative(losses, expected),
                )


def methods(bench: Bench) -> None:
    """The training part of a step, models all in memory at once as in a run on one GPU."""
    cases = {"AsyPPO, two critics of 0.6b": ["0.6b"] * 2, "symmetric PPO": ["1.7b"], "GRPO, no critic": []}
    for name, critics in cases.items():
        with bench.trying(name):
            tell_step(bench, f"policy of 1.7b, {name}", "1.7b", critics, checkpointing=False)


def sizes(bench: Bench) -> None:
    """Larger policies, with activations recomputed; symmetric PPO where it can only fit as well as it fits."""
    for policy, critics in (("4b", ["0.6b"] * 2), ("4b", []), ("4b", ["4b"])):
        name = f"policy of {policy}, critics of {', '.join(critics) or 'no size'}, activations recomputed"
        with bench.trying(name):
            tell_step(bench, name, policy, critics, checkpointing=True)


def tell_step(bench: Bench, name: str, policy_size: str, critic_sizes: list[str], checkpointing: bool) -> None:
    """Passes and optimizer steps of policy and critics: values, critics' learning, policy's learning."""
    policy_size, critic_sizes = bench.size(policy_size), [bench.size(size) for size in critic_sizes]
    rows, prompt, response, budget = (8, 8, 24, 100) if bench.tiny else (32, 128, 1024, 4 * 1152)
    batch = rollouts(rows, prompt, response, SIZES[policy_size][-1])
    policy = build(bench, "torch", policy_size, "policy", BF16, budget, checkpointing=checkpointing)
    critics = [build(bench, "torch", s, "critic", BF16, budget, m, checkpointing) for m, s in enumerate(critic_sizes)]
    taken: dict[str, list[float]] = {"values": [], "critics": [], "policy": []}
    for _ in range(STEPS):
        start = bench.now()
        for critic in critics:
            critic.forward(batch)
        values = bench.now()
        shares = assign(torch.arange(rows) // 8, len(critics), "by_response") if critics else ()
        for critic, share in zip(critics, shares, strict=True):
            learnt(critic, batch.rows(share.nonzero()[:, 0]), "critic", 1)
        learnt_values = bench.now()
        learnt(policy, batch, "policy", 1)
        end = bench.now()
        for part, seconds in zip(taken, (values - start, learnt_values - values, end - learnt_values), strict=True):
            taken[part].append(seconds)
    # The first step sets everything up.
    medians = {part: statistics.median(seconds[1:]) for part, seconds in taken.items()}
    bench.tell(name, seconds=sum(medians.values()), **medians, peak_gib=bench.peak())


def rollouts(rows: int, prompt: int, response: int, vocabulary: int) -> Sequences:
    """Random tokens; responses between half of ``response`` tokens and all of them."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(response // 2, response + 1, (rows,), generator=generator).tolist()
    lengths[0] = response
    draw = [torch.randint(vocabulary, (prompt + length,), generator=generator).tolist() for length in lengths]
    return Sequences.join([tokens[:prompt] for tokens in draw], [tokens[prompt:] for tokens in draw])


def build(
    bench: Bench,
    engine: str,
    size: str,
    kind: str,
    dtype: torch.dtype,
    budget: int,
    seed: int = 0,
    checkpointing: bool = False,
) -> Any:
    """A learner around a new model."""
    model = new_model(bench.device, size, seed)
    module: Any = PolicyModel(model, 1.0) if kind == "policy" else ValueModel(model.base_model)
    settings: dict[str, Any] = {
        "device": torch.device(bench.device),
        "dtype": dtype,
        "micro_batch_tokens": budget,
        "gradient_checkpointing": checkpointing,
    }
    sharing = ENGINES[engine]
    if sharing is None:
        return TorchLearner(module.to(bench.device), OPTIMIZER, **settings)
    from asyppo_cli.engines.deepspeed.learner import DeepSpeedLearner

    return DeepSpeedLearner(module.to(bench.device), OPTIMIZER, stage=sharing[0], offload=sharing[1], **settings)


def learnt(learner: Any, batch: Sequences, kind: str, steps: int) -> list[float]:
    """Losses of some steps on one batch."""
    mask, losses = batch.response_mask, []
    generator = torch.Generator().manual_seed(1)
    advantages = torch.randn(mask.shape, generator=generator) * mask
    ones = mask.float()
    for _ in range(steps):
        if kind == "policy":
            weights = token_weights(mask, "response_mean", mask.shape[1])
            targets: Any = PolicyTargets(mask, weights, advantages, ones, ones, nll_weights=weights)
            _, sums = learner.forward_backward(batch, targets, POLICY_LOSS)
        else:
            weights = token_weights(mask, "token_mean", mask.shape[1])
            _, sums = learner.forward_backward(batch, ValueTargets(mask, weights, advantages), VALUE_LOSS)
        learner.optimizer_step()
        losses.append(float(sums["loss"]))
    return losses


def timed(bench: Bench, learner: Any, batch: Sequences) -> tuple[list[float], float]:
    """Losses, and the median seconds of a step after the first, which sets everything up."""
    losses, seconds = [], []
    for _ in range(STEPS):
        start = bench.now()
        losses += learnt(learner, batch, "policy", 1)
        seconds.append(bench.now() - start)
    return losses, statistics.median(seconds[1:])


def matrix_speed(bench: Bench) -> dict[torch.dtype, float]:
    """Operations a second of a large matrix product in each precision, on random numbers."""
    found, width = {}, 256 if bench.tiny else 8192
    for dtype in (BF16, FLOAT32):
        a, b = (torch.randn(width, width, device=bench.device).to(dtype) for _ in range(2))
        taken = []
        for _ in range(6):
            start = bench.now()
            product: Tensor = a @ b
            taken.append(bench.now() - start)
            del product
        found[dtype] = 2 * width**3 / statistics.median(taken[2:])
        bench.tell(f"matrix product of {width}, {short(dtype)}", tflops=found[dtype] / 1e12)
    return found


def relative(losses: list[float], expected: list[float]) -> float:
    """The largest relative difference."""
    return max(abs(a - b) / max(abs(b), 1e-6) for a, b in zip(losses, expected, strict=True))


def short(dtype: torch.dtype) -> str:
    """The name of a precision."""
    return str(dtype).removeprefix("torch.")
