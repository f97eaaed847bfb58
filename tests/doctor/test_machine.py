"""Numbers of a machine become findings: what is fine, what is not, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyppo_cli.doctor import machine
from asyppo_cli.doctor.machine import GIB


def test_shared_memory_that_is_too_small_for_the_weights_says_how_much_it_takes() -> None:
    small = machine.shared_memory_finding(0.0625 * GIB, 0.5 * GIB)
    assert small.state == "warning" and "take 0.50" in small.text and "0.6 GiB" in small.fix
    assert machine.shared_memory_finding(0.0625 * GIB, 0.0).state == "warning"
    assert machine.shared_memory_finding(8 * GIB, 0.5 * GIB).state == "fine"


def test_little_memory_few_files_and_an_old_python_are_noticed() -> None:
    assert machine.memory_finding(1 * GIB, 16 * GIB).state == "warning"
    assert machine.memory_finding(8 * GIB, 16 * GIB).state == "fine"
    assert machine.files_finding(1024).fix.startswith("ulimit -n")
    assert machine.files_finding(65536).state == "fine"
    assert machine.python_finding((3, 10)).state == "fault"


def test_the_disk_of_a_folder_that_is_not_there_yet_is_that_above_it(tmp_path: Path) -> None:
    found = machine.disk_finding(tmp_path / "a" / "b")
    assert found.subject == "disk" and "GiB free" in found.text


def test_a_full_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LEAST_DISK", 2**60)
    assert machine.disk_finding(tmp_path).state == "warning"


def test_a_hub_that_must_not_be_asked_is_a_warning_and_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (found,) = machine.hub_findings()
    assert found.state == "warning" and "HF_HUB_OFFLINE is set" in found.text
