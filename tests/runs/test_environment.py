from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import asyppo_cli
from asyppo_cli.runs.environment import describe_environment, git_commit, hardware, package_versions


def test_it_is_json_and_names_no_host() -> None:
    environment = describe_environment(["asyppo", "train"])
    text = json.dumps(environment)
    assert environment["command"] == ["asyppo", "train"]
    assert environment["git"] == git_commit(Path(asyppo_cli.__path__[0]))
    assert environment["hardware"]["cores"] >= 1
    assert environment["hardware"]["memory_bytes"] > 2**28
    assert platform.node() not in text.replace(platform.machine(), "")


def test_only_installed_packages_are_listed() -> None:
    assert list(package_versions(["pytest", "no-such-package-at-all"])) == ["pytest"]


def test_the_commit_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "x")
    clean = git_commit(tmp_path)
    (tmp_path / "file").write_text("2")
    changed = git_commit(tmp_path)
    assert clean is not None
    assert changed is not None
    assert len(clean["commit"]) == 40
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "module.py").write_text("")
    assert git_commit(tmp_path / "site-packages") is None
    assert (clean["changed"], changed["changed"]) == (False, True)


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(Path.cwd()) is None


def test_runs_and_the_commands_never_import_torch() -> None:
    code = (
        "import sys, asyppo_cli.commands.runs, asyppo_cli.runs.journal, asyppo_cli.runs.records\n"
        "import asyppo_cli.runs.sinks, asyppo_cli.runs.environment as e; e.hardware()\n"
        "print([m for m in ('torch', 'pyarrow', 'wandb', 'tensorboard', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_gpus_are_those_of_the_driver_though_torch_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware()["gpus"] == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA A'\necho 'NVIDIA B'\n")
    tool.chmod(0o755)
    assert hardware()["gpus"] == ["NVIDIA A", "NVIDIA B"]
    tool.write_text("#!/bin/sh\necho 'no driver'\nexit 9\n")
    assert hardware()["gpus"] == []
