"""Names of the procedural tasks, without what is needed to make their problems."""

from __future__ import annotations


def task_names() -> list[str]:
    """Names of all tasks that reasoning-gym has, sorted."""
    from reasoning_gym.factory import DATASETS

    return sorted(DATASETS)
