"""A journal and a monitor that remember, for runs in the process of a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyppo_cli.runs.records import RecordTexts
from asyppo_cli.training.clock import Span


class Memory:
    """Of records only the last step's; of all else everything."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, float]] = []
        self.columns: Mapping[str, Any] = {}
        self.texts: RecordTexts | None = None
        self.probed: dict[int, tuple[Mapping[str, Any], RecordTexts]] = {}
        self.spans: list[tuple[int, Span]] = []
        self.notes: list[str] = []

    def metrics(self, row: Mapping[str, float]) -> None:
        self.rows.append(row)

    def records(self, step: int, columns: Mapping[str, Any], texts: RecordTexts) -> None:
        self.columns, self.texts = columns, texts

    def probes(self, step: int, columns: Mapping[str, Any], texts: RecordTexts) -> None:
        self.probed[step] = (columns, texts)

    def timeline(self, step: int, spans: Sequence[Span]) -> None:
        self.spans += [(step, span) for span in spans]

    def note(self, text: str) -> None:
        self.notes.append(text)

    def failure(self, step: int, tensors: Mapping[str, Any]) -> Path:
        raise AssertionError(tensors)

    def samples(self, step: int, rows: list[dict[str, Any]]) -> None: ...
    def checkpoint(self, step: int, fill: Callable[[Path], None], metric: float | None) -> None: ...
    def start(self, title: str, max_steps: int, step: int) -> None: ...
    def phase(self, name: str) -> None: ...
    def step(self, step: int, metrics: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...
