"""What happens in a probe stays there: crashes, hangs, errors, chatter."""

from __future__ import annotations

import time

import pytest

from asyppo_cli.doctor.probe import MARK, TORCHVISION, TORCHVISION_CURE, fix_of, probe


def test_a_probe_is_given_and_tells_json_whatever_else_is_printed() -> None:
    code = (
        f"import json, sys; print('chatter'); print('{MARK}' + json.dumps(json.load(sys.stdin) + [3])); print('more')"
    )
    assert probe(["-c", code], [1, 2], 20.0).value == [1, 2, 3]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os.abort()", "the interpreter was ended by SIGABRT"),
        ("raise SystemExit(3)", "it ended with code 3"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (f"raise RuntimeError('{TORCHVISION}')", TORCHVISION),
    ],
)
def test_what_breaks_is_told_in_one_line(code: str, told: str) -> None:
    answer = probe(["-c", code], None, 20.0)
    assert answer.value is None and answer.error == told


def test_a_probe_that_hangs_is_ended_with_what_it_has_started() -> None:
    code = "import subprocess; subprocess.run(['sleep', '60'])"
    started = time.monotonic()
    assert probe(["-c", code], None, 1.0).error == "no answer within 1 seconds"
    assert time.monotonic() - started < 20


def test_a_known_fault_has_its_fix() -> None:
    assert fix_of(f"RuntimeError: {TORCHVISION}", "another") == TORCHVISION_CURE
    assert fix_of("anything", "another") == "another"
