"""vLLM behind the sampler protocol against vLLM driven alone, and how long new weights take to reach it.

    python benchmarks/sampler.py MODEL_FOLDER [--threads 2]

Both engines are up at the same time and draw in turn, so whatever else the machine does meets both. Alone means
``LLM.generate`` with ``n`` responses a prompt, no seeds, no log-probabilities, nothing sent to another process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from asyppo_cli.config.engines import VllmConfig
from asyppo_cli.engines.hf.models import PolicyModel, load_policy
from asyppo_cli.engines.hf.tokenizer import load_tokenizer
from asyppo_cli.engines.vllm.sampler import VllmSampler
from asyppo_cli.types import Response, SamplingParams, Sequences

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


def main() -> None:
    """Parse, measure, print."""
    options = parse()
    if options.alone:
        alone(options)
        return
    tokenizer = load_tokenizer(options.model, None, "MODEL")
    prompts = [tokenizer.chat(SYSTEM, f"What is {3 + i} + {17 * i % 29} - {i % 7}?") for i in range(options.prompts)]
    config = VllmConfig(
        dtype=options.dtype,
        memory_share=0.85,
        kv_cache_gib=1.0,
        tensor_parallel=1,
        enforce_eager=False,
        sleep=False,
        own_process=True,
        threads=options.threads,
        sync="auto",
    )
    longest = max(map(len, prompts)) + options.tokens
    sampler = VllmSampler(options.model, eos_token_ids=[tokenizer.eos_token_id], max_model_len=longest, config=config)
    child = start_alone(options, prompts, longest, tokenizer.eos_token_id)
    try:
        drawn = speed(options, sampler, prompts, child)
        model = load_policy(options.model, None, "MODEL")
        report_difference(model, prompts, drawn)
        report_sync(options, sampler, model)
    finally:
        sampler.close()
        child.kill()
        child.wait()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="folder of a Hugging Face model with its tokenizer")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def start_alone(options: argparse.Namespace, prompts: list[list[int]], longest: int, end: int) -> Any:
    """This script once more, around vLLM alone; answers each line with tokens and seconds."""
    command = [sys.executable, __file__, *sys.argv[1:], "--alone"]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(options.threads), "VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps([prompts, longest, end]) + "\n")
    child.stdin.flush()
    return child


def alone(options: argparse.Namespace) -> None:
    """The other process."""
    import vllm

    prompts, longest, end = json.loads(sys.stdin.readline())
    llm = vllm.LLM(
        options.model, dtype=options.dtype, enforce_eager=True, max_model_len=longest, kv_cache_memory_bytes=2**30
    )
    params = vllm.SamplingParams(
        n=options.responses, max_tokens=options.tokens, stop_token_ids=[end], ignore_eos=True, detokenize=False
    )
    for _ in sys.stdin:
        start = time.perf_counter()
        outputs = llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], params, use_tqdm=False)
        tokens = sum(len(response.token_ids) for output in outputs for response in output.outputs)
        # vLLM prints to the same place.
        print("\nRESULT", tokens, time.perf_counter() - start, flush=True)


def speed(
    options: argparse.Namespace, sampler: VllmSampler, prompts: list[list[int]], child: Any
) -> list[list[Response]]:
    """Print tokens per second of both; returns what was drawn last."""
    rates: dict[str, list[float]] = {"alone": [], "sampler": []}
    work: dict[str, list[float]] = {"alone": [], "sampler": []}
    for number in range(options.rounds + 1):
        before = processor_seconds(child.pid)
        child.stdin.write("go\n")
        child.stdin.flush()
        tokens, seconds = next(line for line in child.stdout if line.startswith("RESULT")).split()[1:]
        rates["alone"].append(int(tokens) / float(seconds))
        work["alone"].append((processor_seconds(child.pid) - before) / int(tokens))
        before, start = both_seconds(sampler), time.perf_counter()
        drawn = sampler.sample(prompts, options.responses, SamplingParams(options.tokens, 1.0, 1.0, 0, number))
        count = sum(len(response.tokens) for group in drawn for response in group)
        rates["sampler"].append(count / (time.perf_counter() - start))
        work["sampler"].append((both_seconds(sampler) - before) / count)
    print(f"{options.prompts} prompts x {options.responses} responses, up to {options.tokens} tokens, {options.dtype}")
    for name, measured in rates.items():
        milliseconds = 1e3 * statistics.median(work[name][1:])
        print(
            f"{name:8} {statistics.median(measured[1:]):7.0f} tokens/s (first call {measured[0]:.0f}), "
            f"{milliseconds:.2f} ms of processor time a token"
        )
    report_ratio("ratio of tokens per second", rates["sampler"][1:], rates["alone"][1:])
    report_ratio("ratio of tokens per processor second", work["alone"][1:], work["sampler"][1:])
    return drawn


def report_ratio(what: str, ours: list[float], theirs: list[float]) -> None:
    """Print the median ratio and all of them."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    print(f"{what}: {statistics.median(ratios):.2f} (of {', '.join(f'{ratio:.2f}' for ratio in ratios)})")


@torch.no_grad()
def report_difference(model: Any, prompts: list[list[int]], drawn: list[list[Response]]) -> None:
    """Print how far the sampler's log-probabilities are from those of the trainer in float32."""
    flat = [(prompt, response) for prompt, group in zip(prompts, drawn, strict=True) for response in group[:2]]
    batch = Sequences.join([prompt for prompt, _ in flat], [response.tokens for _, response in flat])
    expected = PolicyModel(model, 1.0)(batch).logprobs
    apart = torch.cat(
        [(torch.tensor(r.logprobs) - expected[row, : len(r.tokens)]).abs() for row, (_, r) in enumerate(flat)]
    )
    print(f"log-probabilities against the float32 trainer: mean {apart.mean():.2g}, largest {apart.max():.2g}")


def report_sync(options: argparse.Namespace, sampler: VllmSampler, model: Any) -> None:
    """Print seconds of a sync, checks and cache reset included, and the processor time of both processes."""
    walls, works = [], []
    for _ in range(options.rounds + 1):
        work, start = both_seconds(sampler), time.perf_counter()
        sampler.load_weights(model.named_parameters())
        walls.append(time.perf_counter() - start)
        works.append(both_seconds(sampler) - work)
    size = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"sync of {size / 1e6:.0f}M weights: {statistics.median(walls[1:]):.2f} s (fastest {min(walls[1:]):.2f}, first "
        f"{walls[0]:.2f}); processor time {statistics.median(works[1:]):.2f} s over both processes"
    )


def both_seconds(sampler: VllmSampler) -> float:
    """Processor time of this process and vLLM's, so far."""
    return time.process_time() + processor_seconds(sampler._engine.pid)


def processor_seconds(pid: int) -> float:
    """Processor time of a process, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
