"""Every benchmark runs at a tiny size and prints its result; whether a target is met is for the full size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EMBEDDED = str(ROOT / "asyppo_cli" / "embedded" / "policy")
# Words of the command line, and what the last lines of the output must hold.
SMALL: dict[str, tuple[list[str], str]] = {
    "algorithm": (["--rows", "16", "--tokens", "200", "--threads", "1", "--repeats", "1"], "gae"),
    "busy": (["--spinners", "0", "1", "--rounds", "1", "--warmup", "1"], "targets"),
    "evaluation": (["--problems", "8", "--samples", "1", "--max-tokens", "8", "--repeats", "1"], "median ratio"),
    "grading": (["1"], "a second"),
    "page_faults": (["--passes", "3", "--rounds", "1"], "faults"),
    "plan": (["embedded"], "largest error"),
    "real_model": (["--model", EMBEDDED, "--steps", "2"], "floor"),
    "sampler": (["MODEL", "--prompts", "2", "--responses", "2", "--tokens", "8", "--rounds", "1"], "alone"),
    "scaling": (["--model", EMBEDDED, "--steps", "2"], "utd"),
    "startup": (["1"], "asyppo"),
    "step": (["--steps", "1", "rollout.prompts=4"], "floor"),
    "sweeping": (["listing"], "promised"),
    "token_records": (["--tokens", "20000"], "gib"),
}
# Needs the six benchmark files, which are not shipped.
NEEDS_DATA = {"graders"}
SCRIPTS = [
    path.stem
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8") and path.stem not in NEEDS_DATA
]


def test_every_benchmark_has_a_smoke_run() -> None:
    assert set(SCRIPTS) == set(SMALL)


def vllm_model(folder: Path) -> Path:
    """A model of random weights whose heads have a size that vLLM's CPU kernels know."""
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=32, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_runs_to_its_result(script: str, tmp_path: Path) -> None:
    words, said = SMALL[script]
    if "MODEL" in words:
        words = [str(vllm_model(tmp_path)) if word == "MODEL" else word for word in words]
    command = [sys.executable, str(ROOT / "benchmarks" / f"{script}.py"), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=580, check=False)
    # 1: a target was missed, which tiny sizes may.
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert said in done.stdout.casefold()
