"""Every function that the tables of equations (README, docs/algorithm.md) name is called by a training step."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from memory import Memory

from asyppo_cli.builders.loop import build_grader, build_loop, load_inputs
from asyppo_cli.config.load import load
from asyppo_cli.training.clock import Clock

ROOT = Path(__file__).parents[2]
PAGES = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/algorithm.md")]
TABLE = [line for page in PAGES for line in page.splitlines() if line.startswith("|")]
NAMED = sorted({name for line in TABLE for name in re.findall(r"`((?:algorithm|training)(?:\.\w+)+)`", line)})
SMALL = [
    "rollout.prompts=2",
    "rollout.responses=4",
    "rollout.response_length=16",
    "task.size=20",
    "evaluation.problems=2",
    "critics.warmup_steps=0",
    "critics.mini_batches=1",
    "learner.threads=1",
]


class Reached(Exception):
    """Raised in place of the function that a test watches."""


def find(name: str) -> Any:
    """The function, class or module of that dotted name below asyppo_cli."""
    try:
        return importlib.import_module(f"asyppo_cli.{name}")
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(f"asyppo_cli.{module}"), attribute)


FUNCTIONS = [name for name in NAMED if callable(find(name))]


@pytest.fixture(scope="module")
def loop() -> Iterator[Any]:
    config, memory, before = load(SMALL).config, Memory(), torch.get_num_threads()
    with (
        closing(build_grader(config)) as grader,
        closing(build_loop(config, load_inputs(config), grader, memory, memory)) as loop,
    ):
        yield loop
    torch.set_num_threads(before)


def replace_everywhere(monkeypatch: pytest.MonkeyPatch, target: Any) -> None:
    """Let a function, or a class's instances, raise :class:`Reached` in every module that has imported it."""

    def reached(*_args: Any, **_kwargs: Any) -> Any:
        raise Reached

    if isinstance(target, type):
        monkeypatch.setattr(target, "__call__", reached)
        return
    for module in [module for name, module in sys.modules.items() if name.startswith("asyppo_cli")]:
        for attribute, value in list(vars(module).items()):
            if value is target:
                monkeypatch.setattr(module, attribute, reached)


def test_the_table_names_functions_of_every_part() -> None:
    assert {"algorithm.returns.gae", "algorithm.critics.assign", "training.objectives.PolicyObjective"} <= set(
        FUNCTIONS
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_training_step_calls_what_the_table_names(name: str, loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, find(name))
    with pytest.raises(Reached):
        loop.train_step.run(1, Clock(None))
