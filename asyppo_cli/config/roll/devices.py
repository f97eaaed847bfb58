"""Device mappings of ROLL: ``list(range(0,8))`` and its like, read without running anything."""

from __future__ import annotations

import ast
from typing import Any

MOST_DEVICES = 100_000


def read_devices(value: Any) -> list[int]:
    """GPUs in order: a list of numbers, or the text of lists, ``range(...)``, ``list(range(...))`` and sums of them.

    Raises:
        ValueError: it is none of these, or has more than 100,000 entries.
    """
    try:
        tree = ast.parse(value.strip(), mode="eval").body if isinstance(value, str) else None
        found = list(value) if tree is None else _read(tree)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{value!r} is no list of devices such as list(range(0,8)) or [0,1]") from error
    if not all(isinstance(device, int) and not isinstance(device, bool) and device >= 0 for device in found):
        raise ValueError(f"{value!r} is no list of devices: each must be a whole number of at least 0")
    return found


def as_block(devices: list[int]) -> tuple[int, int] | None:
    """First GPU and how many, if they are neighbours; None if not."""
    distinct = sorted(set(devices))
    whole = bool(distinct) and distinct == list(range(distinct[0], distinct[0] + len(distinct)))
    return (distinct[0], len(distinct)) if whole else None


def _read(node: ast.expr) -> list[int]:
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_number(item) for item in items]
        case ast.Call(func=ast.Name(id="list"), args=[inner], keywords=[]):
            return _read(inner)
        case ast.Call(func=ast.Name(id="range"), args=arguments, keywords=[]) if 1 <= len(arguments) <= 3:
            return _counted(range(*map(_number, arguments)))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [*_read(left), *_read(right)]
        case ast.Constant(value=int(number)):
            return [number]
        case _:
            raise TypeError


def _number(node: ast.expr) -> int:
    value = ast.literal_eval(node) if isinstance(node, ast.Constant | ast.UnaryOp) else None
    if not isinstance(value, int) or value > MOST_DEVICES:
        raise TypeError
    return value


def _counted(numbers: range) -> list[int]:
    if len(numbers) > MOST_DEVICES:
        raise TypeError
    return list(numbers)
