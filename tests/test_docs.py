"""What README and docs show exists: commands, configurations, functions, tests and files."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from asyppo_cli.app import COMMANDS, run
from asyppo_cli.config.load import load, load_warmstart

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What a reader puts an option's name for; a PATH or FILE serves as it stands.
PLACEHOLDER = "NAME"


def shown_commands() -> list[str]:
    """Every asyppo command in a fenced block or a table's code, without its comment."""
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
            found |= {line.split("  #")[0].strip() for line in block.splitlines() if line.startswith("asyppo ")}
        found |= set(re.findall(r"`(asyppo [^`]+)`", text))
    return sorted(found)


@pytest.mark.parametrize("shown", shown_commands())
def test_a_shown_command_is_one(shown: str) -> None:
    _, command, *rest = shlex.split(shown)
    if command.startswith("-"):
        return
    assert command in COMMANDS
    overrides = [word for word in rest if "=" in word and not word.endswith(f"={PLACEHOLDER}")]
    if command == "train":
        load(overrides)
    if command == "warmstart":
        load_warmstart(overrides)
    if command in ("runs", "config"):
        assert run([command, *[word for word in rest[:1] if not word.startswith("-")], "--help"]) == 0


def test_the_readmes_table_names_functions_and_tests_that_exist() -> None:
    rows = re.findall(
        r"\| `((?:algorithm|training)\.[\w.]+)` \| `(tests/[\w/.]+)` \|", (ROOT / "README.md").read_text()
    )
    assert len(rows) >= 7
    for name, test in rows:
        module, _, attribute = f"asyppo_cli.{name}".rpartition(".")
        is_module = importlib.util.find_spec(f"asyppo_cli.{name}") if module.count(".") == 1 else None
        assert is_module or hasattr(importlib.import_module(module), attribute), name
        assert (ROOT / test).is_file(), test


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_tests_that_a_page_names_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"`(tests/[\w/]+\.py::test_\w+)`", page.read_text("utf-8"))}
    assert len(named) > 30
    for name in sorted(named):
        file, _, test = name.partition("::")
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), name
