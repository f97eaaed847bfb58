"""The wheel, away from the checkout: what is in it, and that it works in a folder full of our names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("asyppo_cli", "conf", "sweeps", "analysis")
DATA = {".yaml", ".safetensors", ".json", ".jinja", ".html", ".css", ".js"}
STRANGERS = ("analysis", "conf", "sweeps", "torch", "typing", "types", "typer", "hydra", "yaml", "rich", "asyppo_cli")


def run(command: Sequence[str | Path], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", **variables}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy so that the checkout stays clean."""
    folder = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, folder)
    built = run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", "."], folder
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return next((folder / "dist").glob("asyppo-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is installed into."""
    target = tmp_path_factory.mktemp("installed")
    done = run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", target, wheel], target
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a stranger's modules of the names of ours and of those we need."""
    for name in STRANGERS:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a stranger was imported')\n")
    return tmp_path


def test_the_wheel_holds_all_of_the_packages_and_nothing_else(wheel: Path) -> None:
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.suffix in {".py", *DATA} and "__pycache__" not in file.parts
    }
    assert shipped == there
    assert any(name.endswith("policy/model.safetensors") for name in shipped)


def test_the_models_in_the_package_are_small(wheel: Path) -> None:
    sizes = [item.file_size for item in zipfile.ZipFile(wheel).infolist() if item.filename.endswith(".safetensors")]
    assert 0 < sum(sizes) <= 8_000_000


@pytest.mark.parametrize(
    "args", [["--version"], ["config", "show", "critic_count=3"], ["config", "ls"], ["runs", "ls"]]
)
@pytest.mark.parametrize("how", ["script", "module"])
def test_it_works_in_a_hostile_folder(installed: Path, hostile: Path, how: str, args: list[str]) -> None:
    start = [installed / "bin" / "asyppo"] if how == "script" else [sys.executable, "-P", "-m", "asyppo_cli"]
    done = run([*start, *args], hostile, PYTHONPATH=str(installed))
    assert done.returncode == 0 and "stranger" not in done.stderr, done.stderr
    assert done.stdout.strip()


def test_it_is_the_installed_one_that_runs(installed: Path, hostile: Path) -> None:
    code = "import asyppo_cli, conf, sys; print(asyppo_cli.__file__, conf.__file__)"
    done = run([sys.executable, "-P", "-c", code], hostile, PYTHONPATH=str(installed))
    assert done.stdout.count(str(installed)) == 2, done.stdout + done.stderr


def test_it_trains_in_a_hostile_folder(installed: Path, hostile: Path) -> None:
    small = [
        "max_steps=1",
        "rollout.prompts=2",
        "rollout.responses=2",
        "critics.mini_batches=1",
        "evaluation.problems=4",
    ]
    command = [
        installed / "bin" / "asyppo",
        "train",
        "--name",
        "first",
        *small,
        "grading.workers=1",
        "learner.threads=1",
    ]
    done = run(command, hostile, PYTHONPATH=str(installed), OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (hostile / "runs" / "first" / "metrics.jsonl").stat().st_size > 0
