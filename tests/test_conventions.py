"""Conventions of the code: what is shipped, what is imported when, what is collected, how large things may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("asyppo_cli", "conf", "sweeps", "analysis")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# What costs seconds to import, or is not there for everybody.
HEAVY = {"torch", "transformers", "pyarrow", "hydra", "omegaconf", "pydantic", "numpy", "rich", "wandb", "matplotlib"}
LONGEST_FILE = 350
LONGEST_FUNCTION = 60
MOST_FILES = 16


def sources(*folders: str) -> list[Path]:
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_package_is_listed_by_name() -> None:
    there = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for file in (ROOT / package).rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == there


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {file.parent for file in sources(*PACKAGES)}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_tests_are_no_package() -> None:
    # One would shadow the package of the same name: tests/analysis, analysis.
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_every_test_file_is_collected() -> None:
    # pytest leaves out folders with certain names (build, dist, venv, ...) without a word.
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    collected = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    assert done.returncode == 0, done.stdout
    assert {str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("test_*.py")} == collected


def test_folders_hold_about_a_dozen_files() -> None:
    folders = {file.parent for file in sources(*PACKAGES, "tools", "benchmarks")}
    sizes = {folder.relative_to(ROOT): len([*folder.glob("*.py")]) for folder in folders}
    assert {folder: size for folder, size in sizes.items() if size > MOST_FILES} == {}


@pytest.mark.parametrize(
    "file", sources(*PACKAGES, "tests", "benchmarks", "tools"), ids=lambda file: str(file.relative_to(ROOT))
)
def test_files_and_functions_stay_small(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions(file)}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_a_class_name_belongs_to_one_thing() -> None:
    places: dict[str, list[Path]] = {}
    for file in sources(*PACKAGES, "tools", "benchmarks"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(file)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_half_of_all_functions_are_a_dozen_lines_or_less() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1 for file in sources(*PACKAGES) for node in functions(file)
    )
    assert lengths[len(lengths) // 2] <= 14


def test_nothing_is_named_for_being_left_over() -> None:
    banned = {"utils", "util", "common", "core", "helpers", "helper", "base", "misc"}
    files = [*sources(*PACKAGES, "tests", "benchmarks"), *(ROOT / "conf").rglob("*.yaml")]
    assert [file for file in files if banned & {file.stem, file.parent.name}] == []


def test_metric_names_are_written_in_one_place() -> None:
    from asyppo_cli.runs import metrics

    names = {value for name, value in vars(metrics).items() if name.isupper() and "/" in value}
    assert len(names) > 20
    for file in sources(*PACKAGES):
        if file.name != "metrics.py":
            words = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
            assert words & names == set(), file


def imported(statement: str) -> set[str]:
    """Top-level packages that a statement loads in a fresh process."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


COMMAND_MODULES = sorted(
    file.stem for file in (ROOT / "asyppo_cli" / "commands").glob("*.py") if file.stem != "__init__"
)


@pytest.mark.parametrize("module", ["app", "console", *(f"commands.{name}" for name in COMMAND_MODULES)])
def test_a_command_loads_nothing_heavy_before_it_is_called(module: str) -> None:
    assert imported(f"import asyppo_cli.{module}") & HEAVY == set()


def test_the_root_loads_no_command() -> None:
    loaded = (
        "import asyppo_cli.app\nfor name in list(sys.modules):\n    if '.commands.' not in name: del sys.modules[name]"
    )
    assert "asyppo_cli" not in imported(loaded)


@pytest.mark.parametrize(
    "module",
    ["config.load", "config.describe", "config.completion", "runs.listing", "runs.metric_log", "runs.directory"],
)
def test_configuration_and_runs_load_no_torch(module: str) -> None:
    assert imported(f"import asyppo_cli.{module}") & {"torch", "transformers"} == set()


def test_nothing_imports_click() -> None:
    # typer does not bring it.
    found = [
        file
        for file in sources(*PACKAGES, "tests", "benchmarks")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or node.names[0].name]
        if name.partition(".")[0] == "click"
    ]
    assert found == []


def test_nothing_that_could_run_code_is_loaded() -> None:
    forbidden = {"trust_remote_code=True", "weights_only=False", "pickle.load", "yaml.load(", "eval(", "exec("}
    for file in sources(*PACKAGES):
        text = file.read_text(encoding="utf-8").replace(".eval(", "").replace("literal_eval(", "")
        assert [words for words in forbidden if words in text] == [], file


def test_make_and_ci_check_the_same() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make check" in script and "make test" in script and "set -euo pipefail" in script
