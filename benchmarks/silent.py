"""Stands in for whatever a benchmark has no use for: a monitor, a journal, a progress display."""

from __future__ import annotations

from collections.abc import Callable


class Silent:
    """Takes every call and ignores it."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None
