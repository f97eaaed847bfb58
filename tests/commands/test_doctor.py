"""``asyppo doctor`` as a user meets it: with a library that is broken for real, and with what is not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

NMS = "operator torchvision::nms does not exist"
Command = Callable[..., CompletedProcess[str]]


@pytest.mark.timeout(300)
def test_what_works_is_said_to(asyppo: Command, tmp_path: Path) -> None:
    done = asyppo(["doctor"], tmp_path, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "this configuration can run" in done.stdout and "error:" not in done.stderr
    assert "can run: transformers samples" in done.stdout
    # No hub is a warning, with what works all the same.
    assert "warning: hub: HF_HUB_OFFLINE is set" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(300)
def test_a_torchvision_that_does_not_fit_is_recognised(
    asyppo: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "torchvision"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(f"raise RuntimeError('{NMS}')\n")
    path = os.pathsep.join(filter(None, [str(tmp_path / "broken"), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    done = asyppo(["doctor"], tmp_path, timeout=240)
    assert done.returncode == 1
    assert f"error: torch, transformers: {NMS}: pip uninstall -y torchvision torchaudio torchcodec" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_every_fault_of_a_configuration_is_named_with_its_fix(asyppo: Command, tmp_path: Path) -> None:
    asked = ["cluster=ray", "learner=deepspeed", "learner.device=cuda", "cluster.policy.first_gpu=8"]
    asked += ["cluster.critics.first_gpu=0", "cluster.sampler.first_gpu=0"]
    done = asyppo(["doctor", *asked], tmp_path, timeout=240)
    assert done.returncode == 1
    told = done.stderr
    assert "error: configuration: cluster.policy asks for GPU 8, but this machine has none" in told
    assert "this configuration cannot run" in done.stdout
