"""Libraries that are not there, and those that are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from asyppo_cli.config.load import load
from asyppo_cli.doctor import libraries, rounds
from asyppo_cli.runs.sinks import has_wandb_key


def test_a_missing_vllm_is_a_fault_only_where_it_is_to_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    # None in place of a module is how the import system is told that there is none.
    monkeypatch.setitem(sys.modules, "vllm", None)
    (missed,) = rounds.vllm(load(["sampler=vllm"]).config)
    assert missed.state == "fault" and missed.text == "vLLM is not installed"
    assert "pip install" in missed.fix and "sampler.engine=transformers" in missed.fix
    (spared,) = rounds.vllm(load([]).config)
    assert spared.state != "fault"


def test_a_library_that_is_not_there_names_its_fix_where_it_is_needed() -> None:
    (missed,) = libraries.optional("x", "no_such_library", True, "pip install x")
    assert (missed.state, missed.fix) == ("fault", "pip install x")
    (spared,) = libraries.optional("x", "no_such_library", False, "pip install x")
    assert spared.state == "fine"


def test_a_needed_library_is_really_imported() -> None:
    (found,) = libraries.optional("yaml", "yaml", True, "", "PyYAML")
    assert found.state == "fine" and found.text == libraries.version_of("PyYAML")


def test_wandb_online_needs_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not has_wandb_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password key\n")
    assert has_wandb_key()


def test_a_gpu_that_somebody_else_fills_is_a_warning() -> None:
    gpu = {"name": "A", "free": 2**30, "whole": 80 * 2**30, "bf16": False}
    (found,) = libraries.gpu_findings([gpu])
    assert found.state == "warning" and "no bfloat16" in found.text and found.subject == "gpu 0"


def test_cores_on_which_bfloat16_is_slower_are_told_of() -> None:
    (slower,) = libraries.precision_findings(0.52)
    assert slower.state == "warning" and "0.52 times" in slower.text and "learner.dtype=float32" in slower.fix
    (faster,) = libraries.precision_findings(2.1)
    assert faster.state == "fine"
    assert libraries.precision_findings(None) == []


def test_the_speed_of_bfloat16_is_measured_only_where_it_is_asked_for() -> None:
    (found,) = [
        f
        for f in rounds.configuration(load(["learner.dtype=bfloat16", "learner.device=cpu"]).config)
        if f.subject == "bfloat16"
    ]
    assert "times the speed of float32" in found.text
