"""Where functions of the user's are found, and that a run keeps what it began with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asyppo_cli.builders.train import find_run_extensions
from asyppo_cli.commands.train import open_new
from asyppo_cli.config.load import load
from asyppo_cli.config.schema import Config
from asyppo_cli.config.settings import read_settings
from asyppo_cli.extensions.files import KEYS, extension_digests, find_extensions
from asyppo_cli.extensions.function import ExtensionError

KEY = "advantage.estimator"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text("raise RuntimeError('run')\ndef median(batch): ...\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(reference: str) -> str:
    extension = find_extensions({"advantage": {"estimator": reference}})[KEY]
    return f"{extension.place} {extension.name}"


def test_the_keys_are_those_whose_type_allows_a_function() -> None:
    settings = read_settings(Config).keys.values()
    assert {setting.key for setting in settings if "FILE.py:NAME" in setting.allowed} == set(KEYS)


def test_a_file_is_found_without_running_it_and_a_module_too() -> None:
    assert found("mine.py:median") == "mine.py median"
    assert found("asyppo_cli.algorithm.baselines:grpo") == "asyppo_cli.algorithm.baselines grpo"
    # The name of an embedded model looks like a reference.
    assert find_extensions({"policy": {"model": "embedded:policy"}, "advantage": {"estimator": "gae"}}) == {}


@pytest.mark.parametrize(
    ("reference", "part"),
    [
        ("mein.py:median", "mine.py"),
        ("mine.py:medan", "median"),
        ("no_such_package.mine:median", "no_such_package/mine.py"),
        ("broken.py:f", "broken.py:2"),
    ],
)
def test_what_is_not_there_is_named_with_what_is_near(folder: Path, reference: str, part: str) -> None:
    (folder / "broken.py").write_text("x = 1\ndef f(:\n")
    with pytest.raises(ExtensionError) as caught:
        found(reference)
    assert reference in str(caught.value) and part in str(caught.value) and "\n" not in str(caught.value)


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "mine.py").write_text("def signal(batch): ...\n")
    tree = {"advantage": {"estimator": "mine.py:median"}, "gates": {"mask_signal": "other/mine.py:signal"}}
    with pytest.raises(ExtensionError, match="rename"):
        find_extensions(tree)
    shutil.copy(folder / "mine.py", folder / "other" / "mine.py")
    tree["gates"]["mask_signal"] = "other/mine.py:median"
    assert len(find_extensions(tree)) == 2


def test_a_run_uses_its_copy_and_refuses_a_changed_file(folder: Path) -> None:
    loaded = load([f"{KEY}=mine.py:median"])
    run = open_new(loaded, folder / "runs", "r", False)
    text = (folder / "mine.py").read_text()
    assert (run.extensions / "mine.py").read_text() == text
    before = extension_digests(find_run_extensions(loaded.config, run))
    assert list(before) == [f"{KEY}: mine.py"]
    (folder / "mine.py").write_text(text + "# another\n")
    with pytest.raises(ExtensionError, match="has changed"):
        find_run_extensions(loaded.config, run)
    (folder / "mine.py").unlink()
    assert extension_digests(find_run_extensions(loaded.config, run)) == before


def test_a_trial_uses_the_copy_of_its_study(folder: Path) -> None:
    study, text = folder / "study", (folder / "mine.py").read_text()
    (study / "extensions").mkdir(parents=True)
    shutil.copy(folder / "mine.py", study / "extensions")
    (folder / "mine.py").write_text("def median(batch): return 'another'\n")
    loaded = load([f"{KEY}=mine.py:median"])
    trial = open_new(loaded, study, "t", False)
    assert find_run_extensions(loaded.config, trial)[KEY].source == text


def test_a_reference_that_is_wrong_leaves_no_run(folder: Path) -> None:
    with pytest.raises(ExtensionError):
        open_new(load([f"{KEY}=mine.py:medan"]), folder / "runs", "r", False)
    assert not (folder / "runs").exists()
