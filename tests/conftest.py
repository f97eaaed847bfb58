"""Small real models to run the engines on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyppo_cli.openmp import yield_cores

yield_cores()
# Loads libgomp, which reads the variables then.
import torch  # noqa: E402

from asyppo_cli.types import Sequences  # noqa: E402

VOCABULARY = 40
END = 1


def pytest_configure() -> None:
    """A job in the background ignores Ctrl-C, and so would every process that the tests interrupt."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def new_model(family: str, seed: int = 0, **changes: Any) -> Any:
    """A tiny causal language model of a real architecture, float32, every weight random."""
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
    extra = {
        "num_key_value_heads": 2,
        "head_dim": 8,
        "tie_word_embeddings": True,
        "eos_token_id": END,
        "pad_token_id": 0,
    }
    torch.manual_seed(seed)
    settings = {
        "vocab_size": VOCABULARY,
        "initializer_range": 0.3,
        "max_position_embeddings": 128,
        **sizes,
        **extra,
        **changes,
    }
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**settings)).eval()


@pytest.fixture(autouse=True)
def same_terminal_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test draws does not depend on the terminal it is started from."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "ASYPPO_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_model() -> Callable[..., Any]:
    """Builds tiny models: ``make_model("qwen3", seed=0)``."""
    return new_model


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A tiny Qwen3 saved in Hugging Face form."""
    folder = tmp_path / "model"
    new_model("qwen3").save_pretrained(folder)
    return folder


@pytest.fixture
def batch() -> Sequences:
    """Nine responses of very different lengths to prompts of different lengths."""
    generator = torch.Generator().manual_seed(3)

    def tokens(count: int) -> list[int]:
        return torch.randint(2, VOCABULARY, (count,), generator=generator).tolist()

    prompts = [tokens(n) for n in (3, 3, 5, 5, 4, 2, 7, 1, 6)]
    responses = [tokens(n) for n in (1, 9, 4, 12, 2, 7, 5, 3, 8)]
    return Sequences.join(prompts, responses)


@pytest.fixture
def groups() -> Sequences:
    """Three prompts with several responses each and one with a single one, mixed up."""
    generator = torch.Generator().manual_seed(4)

    def tokens(count: int) -> list[int]:
        return torch.randint(2, VOCABULARY, (count,), generator=generator).tolist()

    prompts = [tokens(n) for n in (9, 6, 9, 12)]
    asked = [0, 1, 0, 3, 2, 1, 2, 0, 1, 2, 1, 0]
    return Sequences.join([prompts[p] for p in asked], [tokens(n) for n in (4, 1, 7, 5, 2, 9, 3, 1, 6, 8, 2, 5)])


@pytest.fixture(autouse=True)
def torchs_own_linear() -> Iterator[None]:
    """DeepSpeed's stage 3 replaces a function of torch's for good, and under autocast its own casts weights anew."""
    own = torch.nn.functional.linear
    yield
    torch.nn.functional.linear = own
