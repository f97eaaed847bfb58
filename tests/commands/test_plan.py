"""``asyppo plan`` as a user meets it: its numbers, its verdict, and the change that it proposes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]


def errors(done: CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("error:")]


@pytest.mark.timeout(300)
def test_the_embedded_default_fits_and_its_numbers_are_written(asyppo: Command, tmp_path: Path) -> None:
    done = asyppo(["plan", "--json", "plan.json", "--tflops", "0.05", "--sampled", "2000"], tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "plan.json").read_text())
    assert data["fits"] and data["remedy"] is None
    assert [role["role"] for role in data["roles"]] == ["sampler", "critic_0", "critic_1", "policy"]
    place = data["places"][0]
    assert place["bytes"] == pytest.approx(sum(p["bytes"] * p["count"] for p in place["processes"]))
    assert all(work["seconds"] > 0 for work in data["work"])
    assert {other["method"] for other in data["compared"]} == {"symmetric PPO", "GRPO"}


@pytest.mark.timeout(300)
def test_what_does_not_fit_exits_1_and_the_change_that_is_named_makes_it_fit(asyppo: Command, tmp_path: Path) -> None:
    paper = ["plan", "experiment=paper/qwen3_14b", "--gpu-memory", "40"]
    done = asyppo(paper, tmp_path, timeout=240)
    assert done.returncode == 1 and "would need" in errors(done)[0]
    named = re.search(r"nearest change that fits: (.+?)  \(", done.stdout)
    assert named is not None, done.stdout
    assert asyppo([*paper, *named[1].split()], tmp_path, timeout=240).returncode == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["policy.model=/no/such"], "policy.model=/no/such: no such folder"),
        (["experiment=paper/qwen3_4b"], "cluster.policy asks for GPUs 0-7, but this machine has none"),
        (["--response-tokens", "81"], "--response-tokens 81 must be between 1 and rollout.response_length=80"),
        (["--gpu-memory", "0"], "--gpu-memory 0 must be above 0"),
    ],
)
def test_a_mistake_is_one_line(asyppo: Command, tmp_path: Path, asked: list[str], told: str) -> None:
    done = asyppo(["plan", *asked], tmp_path, timeout=240)
    assert done.returncode == 2
    (line,) = errors(done)
    assert told in line and "Traceback" not in done.stderr
