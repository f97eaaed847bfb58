"""The protocol as pure functions: whatever workers do, in whatever order, no run is in two hands and none is lost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.execution.attempts import Turn, by_run, current, is_over, trial_state


def turn(number: int, state: str, **more: object) -> Turn:
    return Turn(number=number, run="r", state=state, params={}, **more)  # type: ignore[arg-type]


def test_the_first_turn_that_is_not_lost_counts() -> None:
    lost, waiting, surplus = turn(0, "failed"), turn(1, "waiting"), turn(2, "waiting")
    assert current([lost]) is None and current([]) is None
    assert current([lost, waiting, surplus]) == waiting
    failed = turn(1, "failed", reason="it broke")
    assert current([lost, failed, surplus]) == failed and is_over([lost, failed])
    assert current([lost, failed, replace(surplus, retries=1)]) == replace(surplus, retries=1)


@pytest.mark.parametrize(
    ("turns", "state"),
    [
        ([turn(0, "waiting")], "waiting"),
        ([turn(0, "running")], "running"),
        ([turn(0, "complete")], "finished"),
        ([turn(0, "pruned")], "pruned"),
        ([turn(0, "failed", reason="x")], "failed"),
        ([turn(0, "failed")], "interrupted"),
        ([turn(0, "failed"), turn(1, "waiting")], "interrupted"),
        ([turn(0, "failed"), turn(1, "running")], "running"),
    ],
)
def test_how_a_run_stands(turns: list[Turn], state: str) -> None:
    assert trial_state(turns) == state


@dataclass
class World:
    """A storage with two runs, and workers that act on listings as old as they like."""

    turns: list[Turn] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)
    seen: dict[int, dict[str, list[Turn]]] = field(default_factory=dict)

    def set(self, number: int, state: str) -> bool:
        """What a storage guarantees: a turn begins once, and ends once."""
        now = self.turns[number].state
        if (state == "running") != (now == "waiting") or now not in ("waiting", "running"):
            return False
        self.turns[number] = replace(self.turns[number], state=state)  # type: ignore[arg-type]
        return True

    def known(self, who: int) -> list[Turn]:
        return [turn for turn in map(current, self.seen.get(who, {}).values()) if turn is not None]

    def look(self, who: int) -> None:
        self.seen[who] = {"a": [], "b": []} | by_run(self.turns)

    def begin(self, who: int) -> None:
        for turn in self.known(who):
            if turn.state == "waiting" and self.set(turn.number, "running"):
                same = [other for other in self.turns if other.run == turn.run]
                assert [t.number for t in same if t.state == "running" and t.number not in self.dead] == [turn.number]
                assert not [t for t in same if t.state == "complete"]

    def die(self, who: int) -> None:
        self.dead |= {turn.number for turn in self.turns if turn.state == "running"}

    def end_lost(self, who: int) -> None:
        for turn in self.known(who):
            if turn.number in self.dead:
                self.set(turn.number, "failed")

    def add(self, who: int) -> None:
        for run, turns in self.seen.get(who, {}).items():
            if current(turns) is None:
                self.turns.append(Turn(number=len(self.turns), run=run, state="waiting", params={}))

    def finish(self, who: int) -> None:
        for turn in self.turns:
            if turn.state == "running" and turn.number not in self.dead:
                self.set(turn.number, "complete")


ACTS = ("look", "begin", "die", "end_lost", "add", "finish")
# What a worker that lives does over and over.
ROUND = ("look", "end_lost", "look", "add", "look", "begin", "finish")


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 1)), max_size=60))
def test_no_run_is_in_two_hands_and_none_is_forgotten(acts: list[tuple[str, int]]) -> None:
    world = World()
    for act, who in [*acts, *[(act, 0) for act in ROUND] * 2]:
        getattr(world, act)(who)
    assert {run: trial_state(turns) for run, turns in by_run(world.turns).items()} == {"a": "finished", "b": "finished"}
