"""``asyppo`` itself and ``asyppo config`` as a user meets them: real processes, started in a stranger's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from asyppo_cli.app import COMMANDS, exit_code, guarded, one_line
from asyppo_cli.config.load import load
from asyppo_cli.family import full_name

Asyppo = Callable[..., CompletedProcess[str]]


def test_show_prints_yaml_that_is_the_configuration(asyppo: Asyppo, tmp_path: Path) -> None:
    done = asyppo(["config", "show", "algorithm=vapo", "mask_pct=0.15"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout) == load(["algorithm=vapo", "mask_pct=0.15"]).resolved
    assert not list(tmp_path.iterdir())


def test_show_for_a_warm_start_and_with_groups_of_ones_own(asyppo: Asyppo, tmp_path: Path) -> None:
    folder = tmp_path / "my groups"
    (folder / "utd").mkdir(parents=True)
    (folder / "utd" / "two.yaml").write_text("# @package _global_\n# Twice.\ntraining:\n  utd: 2\n")
    shown = asyppo(["config", "show", "utd=two", "--config-dir", "my groups"], tmp_path)
    assert yaml.safe_load(shown.stdout)["training"]["utd"] == 2
    assert "Twice." in asyppo(["config", "ls", "utd", "--config-dir", "my groups"], tmp_path).stdout
    warm = asyppo(["config", "show", "--warmstart", "recipe=critic"], tmp_path)
    assert yaml.safe_load(warm.stdout)["architecture"]["num_hidden_layers"] == 2


def test_ls_lists_every_option_and_marks_the_default(asyppo: Asyppo, tmp_path: Path) -> None:
    lines = asyppo(["config", "ls"], tmp_path).stdout.splitlines()
    assert any(line.split()[:2] == ["*", "asyppo"] for line in lines)
    assert any(line.split()[:1] == ["gspo"] and "2507.18071" in line for line in lines)
    assert "critic_count  (or a number)" in lines
    only = asyppo(["config", "ls", "utd"], tmp_path).stdout
    assert "four" in only and "gspo" not in only


DESCRIBED = [
    ("gates.mask_pct", ["Share k of tokens", "a number from 0 to 1", "0.2", "mask_pct=paper", "mask_pct=NUMBER"]),
    ("critic_size", ["symmetric", "critics.model=null, critics.depth=NUMBER"]),
    ("gates", ["The advantage mask", "gates.entropy_filter_pct", "one of batch, mini_batch, response"]),
    ("task", ["chain_sum", "task.system_prompt", "Where problems come from"]),
    ("task.params.max_terms", ["8", "task=chain_sum"]),
    ("task.params", ["any keys, each a single value", "default"]),
    ("algorithm=vapo", ["2504.05118", "critic_size=symmetric", "policy_loss.nll_coef: 0.1"]),
    ("critic_size=mini", ["(the default)", "critics.model: embedded:critic"]),
]


@pytest.mark.parametrize(("name", "said"), DESCRIBED)
def test_describe_explains_keys_sections_and_groups(asyppo: Asyppo, tmp_path: Path, name: str, said: list[str]) -> None:
    done = asyppo(["config", "describe", name], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [words for words in said if words not in done.stdout] == []


def test_describe_tells_the_value_under_overrides(asyppo: Asyppo, tmp_path: Path) -> None:
    done = asyppo(["config", "describe", "policy_loss.clip_high", "algorithm=dapo"], tmp_path)
    assert any(line.split() == ["now", "0.28"] for line in done.stdout.splitlines())


MISTAKES = [
    (["config", "describe", "gate.mask"], "gates.mask_pct"),
    (["config", "ls", "algoritm"], "algorithm"),
    (["config", "describe", "algorithm=PP"], "nearest: ppo"),
    (["config", "describe", "critic_size=0.4"], "or a number"),
    (["config", "show", "critics.cuont=3"], "critics.count"),
    (["config", "show", "mask_pct=2"], "a number from 0 to 1"),
    (["config", "show", "mask_pct=0.1,0.2"], "asyppo sweep"),
    (["config", "show", "--config-dir", "nowhere"], "no such folder"),
    (["config", "show", "--wrong"], "--wrong"),
    (["config", "nothing"], "nothing"),
    (["tarin"], "train"),
]


@pytest.mark.parametrize(("args", "said"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(asyppo: Asyppo, tmp_path: Path, args: list[str], said: str) -> None:
    done = asyppo(args, tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and said in done.stderr


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_shows_the_traceback_wherever_it_stands(asyppo: Asyppo, tmp_path: Path, place: int) -> None:
    args = ["config", "show", "nothing=1"]
    done = asyppo([*args[:place], "--debug", *args[place:]], tmp_path)
    assert done.returncode != 0 and "Traceback" in done.stderr


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["config"], ["runs"], ["config", "--help"], ["train", "-h"]])
def test_help_is_shown_and_is_no_failure(asyppo: Asyppo, tmp_path: Path, args: list[str]) -> None:
    done = asyppo(args, tmp_path)
    assert done.returncode == 0 and "Usage: asyppo" in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["train"],
        ["warmstart"],
        *(["config", c] for c in ("show", "ls", "describe", "import")),
        *(["runs", c] for c in ("ls", "show", "diff")),
    ],
)
def test_every_command_has_examples(asyppo: Asyppo, tmp_path: Path, args: list[str]) -> None:
    shown = asyppo([*args, "--help"], tmp_path).stdout
    _, found, examples = shown.partition("Examples")
    assert found and " ".join(["asyppo", *args]) in examples


def test_the_root_lists_every_command(asyppo: Asyppo, tmp_path: Path) -> None:
    shown = asyppo([], tmp_path).stdout
    assert all(name in shown and said in shown for name, said in COMMANDS.items())


def test_what_the_root_says_of_a_command_is_what_the_command_says(asyppo: Asyppo, tmp_path: Path) -> None:
    for name, said in COMMANDS.items():
        assert said.split(".")[0].split(",")[0] in " ".join(asyppo([name, "--help"], tmp_path).stdout.split())


def test_version(asyppo: Asyppo, tmp_path: Path) -> None:
    done = asyppo(["--version"], tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("asyppo 0.")


def test_commands_can_be_shortened() -> None:
    assert full_name("conf", COMMANDS, "command") == "config" and full_name("t", COMMANDS, "command") == "train"
    with pytest.raises(ValueError, match="there is no command 'tarin'; nearest: train"):
        full_name("tarin", COMMANDS, "command")


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("a"), 2), (FileNotFoundError("a"), 1), (RuntimeError("a"), 1), (TypeError("a"), None)],
)
def test_exit_codes(error: Exception, code: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> int:
        raise error

    monkeypatch.delenv("ASYPPO_DEBUG", raising=False)
    assert exit_code(error) == code
    if code is None:
        with pytest.raises(type(error)):
            guarded(fails)
    else:
        assert guarded(fails) == code


def test_an_interrupt_is_130() -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert guarded(interrupted) == 130


def test_a_message_of_several_lines_becomes_one() -> None:
    assert one_line(OSError("first\n  second")) == "first second"
    assert one_line(RuntimeError()) == "RuntimeError"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (["con"], "config"),
        (["config", "d"], "describe"),
        (["eval", "aime24"], "aime24"),
        (["eval", "sh"], "show"),
        (["config", "show", "mask"], "mask_pct="),
        (["config", "show", "seed=1", "mask_pct", "=", "pa"], "paper"),
        (["config", "describe", "gates.s"], "gates.scope"),
        (["config", "describe", "algorithm=va"], "algorithm=vapo"),
        (["train", "algorithm", "=", "va"], "vapo"),
        (["warmstart", "recipe", "=", "cr"], "critic"),
        (["sweep", "jo"], "join"),
        (["sweep", "baseli"], "baselines"),
        (["sweep", "max_ste"], "max_steps="),
        (["sweep", "seed=1,2", "max_ste"], "max_steps="),
    ],
)
def test_the_shell_completes(line: list[str], offered: str, tmp_path: Path) -> None:
    words = {
        "COMP_WORDS": " ".join(["asyppo", *line]),
        "COMP_CWORD": str(len(line)),
        "_ASYPPO_COMPLETE": "complete_bash",
    }
    command = [sys.executable, "-P", "-m", "asyppo_cli"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **words}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == [offered] and done.stderr == ""
