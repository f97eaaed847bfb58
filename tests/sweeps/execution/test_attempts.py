"""The protocol as pure functions: whatever workers do, in whatever order, no run is in two hands and none is lost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.execution.attempts import MAX_WAITING, Attempt, by_trial, current, decide, trial_state


def attempt(number: int, state: str, **more: object) -> Attempt:
    return Attempt(number=number, trial="r", state=state, params={}, **more)  # type: ignore[arg-type]


def test_the_first_turn_that_is_not_lost_counts() -> None:
    lost, waiting, surplus = attempt(0, "failed"), attempt(1, "waiting"), attempt(2, "waiting")
    assert current([lost]) is None and current([]) is None
    assert current([lost, waiting, surplus]) == waiting
    failed = attempt(1, "failed", reason="it broke")
    assert current([lost, failed, surplus]) == failed and decide({"r": [lost, failed]}, [], ()).unfinished == 0
    assert current([lost, failed, replace(surplus, retries=1)]) == replace(surplus, retries=1)


@pytest.mark.parametrize(
    ("attempts", "state"),
    [
        ([attempt(0, "waiting")], "waiting"),
        ([attempt(0, "running")], "running"),
        ([attempt(0, "complete")], "finished"),
        ([attempt(0, "pruned")], "pruned"),
        ([attempt(0, "failed", reason="x")], "failed"),
        ([attempt(0, "failed")], "interrupted"),
        ([attempt(0, "failed"), attempt(1, "waiting")], "interrupted"),
        ([attempt(0, "failed"), attempt(1, "running")], "running"),
    ],
)
def test_how_a_run_stands(attempts: list[Attempt], state: str) -> None:
    assert trial_state(attempts) == state


def test_what_a_worker_does_after_a_poll() -> None:
    running, waiting, skipped = attempt(0, "running"), attempt(1, "waiting"), attempt(2, "failed")
    attempts = {"a": [running], "b": [waiting], "c": [skipped], "d": [attempt(3, "failed")], "e": []}
    found = decide(attempts, [running], {"c"})
    assert (found.lost, found.waiting, found.unattempted, found.unfinished) == ([running], [waiting], ["d", "e"], 4)
    assert found.counts == {"running": 1, "waiting": 2, "interrupted": 2}
    many = {str(number): [] for number in range(MAX_WAITING + 5)}
    assert len(decide({"b": [waiting], **many}, [], ()).unattempted) == MAX_WAITING - 1


@dataclass
class World:
    """A storage with two runs, and workers that act on listings as old as they like."""

    attempts: list[Attempt] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)
    seen: dict[int, dict[str, list[Attempt]]] = field(default_factory=dict)

    def set(self, number: int, state: str) -> bool:
        """What a storage guarantees: a attempt begins once, and ends once."""
        now = self.attempts[number].state
        if (state == "running") != (now == "waiting") or now not in ("waiting", "running"):
            return False
        self.attempts[number] = replace(self.attempts[number], state=state)  # type: ignore[arg-type]
        return True

    def known(self, who: int) -> list[Attempt]:
        return [attempt for attempt in map(current, self.seen.get(who, {}).values()) if attempt is not None]

    def look(self, who: int) -> None:
        self.seen[who] = {"a": [], "b": []} | by_trial(self.attempts)

    def begin(self, who: int) -> None:
        for attempt in self.known(who):
            if attempt.state == "waiting" and self.set(attempt.number, "running"):
                same = [other for other in self.attempts if other.trial == attempt.trial]
                assert [t.number for t in same if t.state == "running" and t.number not in self.dead] == [
                    attempt.number
                ]
                assert not [t for t in same if t.state == "complete"]

    def die(self, who: int) -> None:
        self.dead |= {attempt.number for attempt in self.attempts if attempt.state == "running"}

    def end_lost(self, who: int) -> None:
        for attempt in self.known(who):
            if attempt.number in self.dead:
                self.set(attempt.number, "failed")

    def add(self, who: int) -> None:
        for trial in decide(self.seen.get(who, {}), [], ()).unattempted:
            self.attempts.append(Attempt(number=len(self.attempts), trial=trial, state="waiting", params={}))

    def finish(self, who: int) -> None:
        for attempt in self.attempts:
            if attempt.state == "running" and attempt.number not in self.dead:
                self.set(attempt.number, "complete")


ACTS = ("look", "begin", "die", "end_lost", "add", "finish")
# What a worker that lives does over and over.
ROUND = ("look", "end_lost", "look", "add", "look", "begin", "finish")


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 1)), max_size=60))
def test_no_run_is_in_two_hands_and_none_is_forgotten(acts: list[tuple[str, int]]) -> None:
    world = World()
    for act, who in [*acts, *[(act, 0) for act in ROUND] * 2]:
        getattr(world, act)(who)
    assert {run: trial_state(attempts) for run, attempts in by_trial(world.attempts).items()} == {
        "a": "finished",
        "b": "finished",
    }
