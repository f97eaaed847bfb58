"""Moments that lie in a file move weights to the bit as those in memory do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asyppo_cli.engines.torch import disk_adamw
from asyppo_cli.engines.torch.checkpoint_files import MOMENTS
from asyppo_cli.engines.torch.disk_adamw import check_moments_dir
from asyppo_cli.engines.torch.learner import AdamW, make_optimizer

MOUNTS = disk_adamw.MOUNTS
SIZES = {"weight": (50, 7), "bias": (7,), "unused": (3, 5), "scale": ()}


def make(directory: Path | None) -> tuple[nn.Module, torch.optim.Optimizer]:
    module = nn.Module()
    for name, size in SIZES.items():
        count = torch.Size(size).numel()
        module.register_parameter(name, nn.Parameter(torch.linspace(-1.0, 1.0, count).view(size)))
    return module, make_optimizer(module, AdamW(1e-2, 0.1, (0.9, 0.999), 1.0, 0, "constant", 9, directory))


def descend(module: nn.Module, optimizer: torch.optim.Optimizer, steps: int, first: int = 0) -> list[Tensor]:
    """The weights after so many noisy steps towards 1; one weight never gets a gradient."""
    for step in range(first, first + steps):
        noise = torch.Generator().manual_seed(step)
        for name, weight in module.named_parameters():
            if name != "unused":
                weight.grad = weight.detach() - 1.0 + torch.randn(weight.shape, generator=noise)
        optimizer.step()
    return [weight.detach().clone() for weight in module.parameters()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(autouse=True)
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary folders may lie in memory, where the tests run."""
    monkeypatch.setattr(disk_adamw, "MOUNTS", Path("/nowhere"))


@pytest.fixture(params=[2**20, 32], ids=["whole", "slices"])
def directory(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(disk_adamw, "SLICE", request.param)
    yield tmp_path
    # No run leaves anything.
    assert list(tmp_path.iterdir()) == []


def test_every_step_is_that_of_memory(directory: Path) -> None:
    stored, kept = make(directory), make(None)
    for step in range(20):
        assert same(descend(*stored, 1, step), descend(*kept, 1, step))


def test_nothing_of_a_weights_size_is_held(directory: Path) -> None:
    module, optimizer = make(directory)
    descend(module, optimizer, 2)
    assert [set(entry) for entry in optimizer.state.values()] == [{"step"}] * 3
    assert all(float(entry["step"]) == 2 for entry in optimizer.state.values())


@pytest.mark.parametrize("stored_first", [True, False])
def test_either_goes_on_from_the_others_moments(directory: Path, stored_first: bool) -> None:
    module, optimizer = make(directory if stored_first else None)
    descend(module, optimizer, 3)
    other, follower = make(None if stored_first else directory)
    # What it had of its own is replaced.
    descend(other, follower, 2)
    other.load_state_dict(module.state_dict())
    follower.load_state_dict({**follower.state_dict(), "state": deepcopy(optimizer.state_dict()["state"])})
    assert same(descend(other, follower, 3, 3), descend(module, optimizer, 3, 3))


def test_what_is_saved_is_what_memory_would_save(directory: Path) -> None:
    saved: list[dict[int, dict[str, Any]]] = []
    for where in (directory, None):
        module, optimizer = make(where)
        descend(module, optimizer, 3)
        saved.append(optimizer.state_dict()["state"])
    assert saved[0].keys() == saved[1].keys() == {0, 1, 3}
    for index, entry in saved[1].items():
        assert all(torch.equal(saved[0][index][name], entry[name]) for name in (*MOMENTS, "step"))
        assert saved[0][index][MOMENTS[0]].shape == entry[MOMENTS[0]].shape


def test_a_state_from_before_the_first_step_forgets_what_came_after(directory: Path) -> None:
    module, optimizer = make(directory)
    start, weights = optimizer.state_dict(), {name: value.clone() for name, value in module.state_dict().items()}
    first = descend(module, optimizer, 3)
    module.load_state_dict(weights)
    optimizer.load_state_dict(start)
    assert same(descend(module, optimizer, 3), first)


def test_a_folder_that_will_not_do_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"learner.moments_dir=.*absent is no folder: create it, or name another"):
        check_moments_dir(tmp_path / "absent")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="cannot be written to"):
        check_moments_dir(tmp_path)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no file system in memory")
def test_a_folder_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_adamw, "MOUNTS", MOUNTS)
    with pytest.raises(ValueError, match=r"/dev/shm lies in memory \(tmpfs\): name one on a disk"):
        check_moments_dir(Path("/dev/shm"))


def test_a_disk_that_is_too_small_is_told_before_the_first_step(tmp_path: Path) -> None:
    elements = shutil.disk_usage(tmp_path).total
    with pytest.raises(ValueError, match=r"cannot take [\d.]+ GiB of moments: "):
        disk_adamw.MomentFile(tmp_path, elements)


def test_a_file_that_has_lost_its_end_is_no_zeros(tmp_path: Path) -> None:
    file = disk_adamw.MomentFile(tmp_path, 10)
    with pytest.raises(OSError, match="4 of 16 bytes"):
        file.read(9, torch.empty(4))


def test_a_killed_process_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; from asyppo_cli.engines.torch import disk_adamw;"
        "disk_adamw.MOUNTS = Path('/nowhere');"
        f"disk_adamw.MomentFile(Path({str(tmp_path)!r}), 1000).write(0, __import__('torch').ones(1000));"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == -9
    assert list(tmp_path.iterdir()) == []
