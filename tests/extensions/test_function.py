"""Functions of the user's: loaded once, errors with his file and line, the same in another process."""

from __future__ import annotations

import pickle

import pytest

from asyppo_cli.extensions.function import Extension, ExtensionError

SOURCE = """import dataclasses

@dataclasses.dataclass
class Pair:
    a: int

def twice(x):
    return 2 * x

def deeper(x):
    return [][x]

def fails(x):
    return deeper(x)

def leaves(x):
    exit(3)

NUMBER = 3
"""


def extension(name: str, source: str = SOURCE) -> Extension:
    return Extension("advantage.estimator", "mine.py", name, "/nowhere/mine.py", source)


def test_it_is_called_here_and_after_a_journey() -> None:
    assert extension("twice")(4) == 8
    assert pickle.loads(pickle.dumps(extension("twice")))(4) == 8
    assert extension("Pair")(1).a == 1
    assert extension("twice").function() is extension("twice").function()


@pytest.mark.parametrize(
    ("name", "place"), [("fails", "mine.py:11: IndexError"), ("leaves", "mine.py:17: SystemExit: 3")]
)
def test_an_error_names_the_last_line_of_the_users_file(name: str, place: str) -> None:
    with pytest.raises(ExtensionError) as caught:
        extension(name)(0)
    assert f"advantage.estimator=mine.py:{name}: {place}" in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("name", "source", "part"),
    [
        ("NUMBER", SOURCE, "int"),
        ("f", "import no_such_module\ndef f(): ...\n", "mine.py:1: ModuleNotFoundError"),
        ("f", "def f(): ...\n1 / 0\n", "mine.py:2: ZeroDivisionError"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(name: str, source: str, part: str) -> None:
    with pytest.raises(ExtensionError) as caught:
        extension(name, source)()
    assert part in str(caught.value)
