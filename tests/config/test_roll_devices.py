from __future__ import annotations

from typing import Any

import pytest

from asyppo_cli.config.roll.devices import as_block, read_devices


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("list(range(0,8))", [0, 1, 2, 3, 4, 5, 6, 7]),
        (" list(range(8, 12)) + [14]", [8, 9, 10, 11, 14]),
        ("[0, 1]", [0, 1]),
        ("range(2)", [0, 1]),
        ([3, 4], [3, 4]),
        ("(5,)", [5]),
    ],
)
def test_device_mappings(text: Any, devices: list[int]) -> None:
    assert read_devices(text) == devices


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "list(range(0, 10**9))",
        "list(range(0, 999999999))",
        "list(range(0, 8, 0))",
        "[x for x in range(8)]",
        "[0, 'a']",
        "[-1, 0]",
        "[True]",
        "open('f')",
        "",
        "list(" * 500,
        {"a": 1},
        ["a"],
        3.5,
    ],
)
def test_device_mappings_that_are_none(text: Any) -> None:
    with pytest.raises(ValueError, match="list of devices"):
        read_devices(text)


def test_blocks_of_gpus() -> None:
    assert as_block([9, 8, 8]) == (8, 2)
    assert as_block([0, 2]) is None and as_block([]) is None
