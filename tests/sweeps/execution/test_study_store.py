"""The store over every kind of storage: what it keeps, who gets what, what a study may become."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from studies import grid, search

from asyppo_cli.runs.studies import Study
from sweeps.definition.definition import StudyDefinition
from sweeps.execution.attempts import current
from sweeps.execution.listing import study_of
from sweeps.execution.storage import open_storage
from sweeps.execution.study_store import ClaimedAttempt, ClaimLost, StudyStore, create, find


@pytest.fixture
def name() -> str:
    """A name that no other test has given to a study in the same database."""
    return f"s-{uuid.uuid4().hex[:8]}"


def opened(where: str, definition: StudyDefinition) -> StudyStore:
    store = create(open_storage(where), definition)
    store.add_attempts(store.attempts())
    return store


def take(store: StudyStore, run: str, owner: str = "me") -> ClaimedAttempt:
    attempt = current(store.attempts()[run])
    assert attempt is not None
    claimed = store.claim(attempt, owner)
    assert claimed is not None
    return claimed


def states(store: StudyStore) -> dict[str, str]:
    return {trial.name: trial.state for trial in study_of(store).trials}


def test_a_turn_is_given_once_and_what_came_out_is_kept(where: str, name: str) -> None:
    store = opened(where, grid("algorithm=asyppo,grpo", "lr=1e-5,0.5", seeds=2, name=name))
    runs = list(store.attempts())
    assert len(runs) == 8 and runs[0] == "algorithm-asyppo_lr-1e-05_seed-1"
    attempt = current(store.attempts()[runs[0]])
    claimed = take(store, runs[0])
    assert attempt is not None and store.claim(attempt, "another") is None
    assert claimed.trial.overrides == ("algorithm=asyppo", "lr=1e-05", "seed=1")
    store.heartbeat(claimed)
    claimed_now = current(store.attempts()[runs[0]])
    assert claimed_now is not None and (claimed_now.owner, claimed_now.heartbeat) == ("me", 1)
    store.finish(claimed, [0.5])
    store.fail(take(store, runs[1]), "it broke")
    store.release(take(store, runs[2]), "interrupted")
    take(store, runs[3])
    again = find(open_storage(where), name)
    assert again.definition == store.definition
    study = study_of(again)
    assert [trial.state for trial in study.trials] == [
        *("finished", "failed", "interrupted", "running"),
        *["waiting"] * 4,
    ]
    first = study.trials[0]
    assert (first.point, first.seed, first.values) == (
        {"algorithm": "asyppo", "lr": "1e-05"},
        1,
        (0.5,),
    )
    assert first.seconds is not None and 0 <= first.seconds < 60 and study.trials[3].seconds is None
    assert study.trials[1].reason == "it broke" and first.setting == "algorithm=asyppo lr=1e-05"


def test_what_is_lost_gets_another_turn_and_what_failed_only_if_asked(where: str, name: str) -> None:
    store = opened(where, grid("x=1,2,3", name=name))
    store.fail(take(store, "x-1"), "it broke")
    dead = take(store, "x-2")
    store.end_lost([dead.attempt])
    store.end_lost([dead.attempt])
    assert states(store) == {"x-1": "failed", "x-2": "interrupted", "x-3": "waiting"}
    for late in (lambda: store.heartbeat(dead), lambda: store.finish(dead, [1.0])):
        with pytest.raises(ClaimLost):
            late()
    assert store.add_attempts(store.attempts()) == 1 and store.add_attempts(store.attempts()) == 0
    store.finish(take(store, "x-2"), [0.25])
    assert store.retry_failed() == 1
    store.finish(take(store, "x-1"), [0.5], run_seconds=1234.5)
    assert store.retry_failed() == 0
    # What the run took counts, not how long this worker had it.
    took = {trial.name: trial.seconds for trial in study_of(store).trials}
    assert took["x-1"] == 1234.5 and 0 <= (took["x-2"] or 0) < 60
    assert states(store) == {"x-1": "finished", "x-2": "finished", "x-3": "waiting"}


def test_a_study_grows_by_numbers_and_seeds_and_by_nothing_else(where: str, name: str) -> None:
    store = opened(where, grid("x=1,2", "algorithm=a,b", seeds=1, name=name))
    store.finish(take(store, "x-1_algorithm-a_seed-1"), [0.5])
    store = opened(where, grid("x=2,3", "algorithm=a,b", seeds=2, name=name))
    assert len(store.attempts()) == 12 and states(store)["x-1_algorithm-a_seed-1"] == "finished"
    assert take(store, "x-3_algorithm-b_seed-2").trial.overrides == ("x=3", "algorithm=b", "seed=2")
    for other, said in [
        (grid("x=1,2", "utd=a,b", seeds=1, name=name), "other axes"),
        (grid("x=1,2", "algorithm=a,c", seeds=1, name=name), "other values of algorithm"),
        (grid("x=1,0.5", "algorithm=a,b", seeds=1, name=name), "other values of x"),
        (grid("x=1,2", "algorithm=a,b", "max_steps=2", seeds=1, name=name), "other fixed values"),
        (search("x=1,2", "algorithm=a,b", trials=3, name=name), "other axes"),
    ]:
        with pytest.raises(ValueError, match=f"study {name} exists with {said}.*choose another --name"):
            create(open_storage(where), other)


def test_a_worker_at_it_sees_that_a_study_has_grown(where: str, name: str) -> None:
    store = opened(where, grid("x=1,2", name=name))
    assert list(store.attempts()) == ["x-1", "x-2"]
    opened(where, grid("x=1,2,3", name=name))
    assert list(store.attempts()) == ["x-1", "x-2", "x-3"]
    assert take(store, "x-3").trial.overrides == ("x=3",)


def test_a_search_chooses_when_a_turn_begins_and_a_lost_turn_keeps_its_point(where: str, name: str) -> None:
    words = ("x=interval(0,1)", "n=int(interval(1,8))", "lr=tag(log,interval(1e-5,1e-3))", "a=p,q", "r=range(0,1,0.1)")
    store = opened(where, search(*words, trials=3, name=name, pruner="median"))
    assert list(store.attempts()) == ["trial-0001", "trial-0002", "trial-0003"]
    first = take(store, "trial-0001")
    point = dict(first.trial.point)
    assert 0 <= float(point["x"]) <= 1 and 1e-5 <= float(point["lr"]) <= 1e-3 and point["a"] in "pq"
    assert point["n"] in "12345678" and float(point["r"]) in [n / 10 for n in range(10)]
    store.report(first, 1, 0.5)
    store.end_lost([first.attempt])
    other = find(open_storage(where), name)
    other.add_attempts(other.attempts())
    again = take(other, "trial-0001")
    assert dict(again.trial.point) == point
    other.finish(again, [0.75])
    assert dict(take(other, "trial-0002").trial.point) != point
    study = study_of(find(open_storage(where), name))
    assert study.kind == "search" and study.trials[0].point == point and study.trials[0].values == (0.75,)


def test_one_seed_one_point_whoever_asks(tmp_path: Path) -> None:
    points = []
    for folder in ("a", "b"):
        store = opened(str(tmp_path / folder), search("x=interval(0,1)", trials=2))
        points.append([dict(take(store, run).trial.point) for run in store.attempts()])
    assert points[0] == points[1] and points[0][0] != points[0][1]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "gp", "nsga2"])
def test_every_sampler_chooses_and_learns_what_came_out(tmp_path: Path, sampler: str) -> None:
    definition = search("x=interval(0,1)", "n=int(interval(1,8))", trials=14, sampler=sampler)
    store = opened(str(tmp_path / "j"), definition)
    for run in store.attempts():
        claimed = take(store, run)
        store.finish(claimed, [float(claimed.trial.point["x"])])
    assert [trial.values[0] for trial in study_of(store).trials] == [
        float(trial.point["x"]) for trial in study_of(store).trials
    ]


def test_the_grid_sampler_visits_every_point_once(tmp_path: Path) -> None:
    definition = search("x=range(1,4)", "a=p,q", trials=99, sampler="grid")
    store = opened(str(tmp_path / "j"), definition)
    points = [tuple(take(store, run).trial.point.values()) for run in store.attempts()]
    assert sorted(points) == [(x, a) for x in "123" for a in "pq"] and points != sorted(points)


def test_hopeless_trials_are_pruned_and_say_what_they_had_reached(where: str, name: str) -> None:
    store = opened(where, search("x=interval(0,1)", trials=8, name=name, pruner="median"))
    pruned = []
    for number, run in enumerate(store.attempts()):
        claimed = take(store, run)
        score = 1.0 if number < 6 else 0.0
        told = [store.report(claimed, step, score) for step in (1, 2, 3)]
        pruned.append(any(told))
        if pruned[-1]:
            store.prune(claimed)
        else:
            store.finish(claimed, [score])
    assert pruned == [False] * 6 + [True] * 2
    assert [trial.state for trial in study_of(store).trials[-2:]] == ["pruned", "pruned"]


def test_several_objectives_keep_their_order(where: str, name: str) -> None:
    definition = search(
        *("x=interval(0,1)", "y=interval(0,1)"),
        trials=2,
        directions=("maximize", "minimize"),
        metrics=("eval/accuracy", "seconds"),
        sampler="nsga2",
        name=name,
    )
    store = opened(where, definition)
    store.finish(take(store, "trial-0001"), [0.5, 100.0])
    study = study_of(store)
    assert study.trials[0].values == (0.5, 100.0)
    assert [(each.metric, each.direction) for each in study.objectives] == [
        ("eval/accuracy", "maximize"),
        ("seconds", "minimize"),
    ]


WORKER = """
import sys
from sweeps.execution.study_store import find
from sweeps.execution.storage import open_storage
from sweeps.execution.attempts import current
store = find(open_storage(sys.argv[1]), sys.argv[2])
attempts = [current(attempts) for attempts in store.attempts().values()]
print("ready", flush=True)
for attempt in attempts:
    sys.stdin.readline()
    claimed = store.claim(attempt, sys.argv[3])
    if claimed is not None:
        store.finish(claimed, [float(sys.argv[3])])
    print("nothing" if claimed is None else claimed.trial.name, flush=True)
"""


def test_workers_that_want_the_same_turns_get_each_once(where: str, name: str) -> None:
    runs = 24
    opened(where, grid(f"x=range(0,{runs})", name=name))
    command = [sys.executable, "-P", "-W", "ignore", "-c", WORKER, where, name]
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for number in range(3)
        ]
        for worker in workers:
            assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
        owners = {}
        for attempt in range(runs):
            # All want the same attempt at once; each is told first as often as the others.
            for number in range(3):
                told = workers[(attempt + number) % 3].stdin
                assert told is not None
                told.write("go\n")
                told.flush()
            printed = [worker.stdout.readline().strip() for worker in workers if worker.stdout is not None]
            winners = [number for number, line in enumerate(printed) if line == f"x-{attempt}"]
            assert len(winners) == 1 and printed.count("nothing") == 2, printed
            owners[f"x-{attempt}"] = float(winners[0])
    assert all(worker.returncode == 0 for worker in workers)
    study = study_of(find(open_storage(where), name))
    assert [trial.state for trial in study.trials] == ["finished"] * runs
    assert {trial.name: trial.values[0] for trial in study.trials} == owners


KILLED = """
import sys
from studies import grid
from sweeps.execution.study_store import create
from sweeps.execution.storage import open_storage
definition = grid(f"x=range(0,50)", name=sys.argv[2])
store = create(open_storage(sys.argv[1]), definition)
print("go", flush=True)
store.add_attempts(store.attempts())
"""


def test_a_creator_that_is_killed_midway_leaves_a_study_that_can_be_completed(where: str, name: str) -> None:
    support = str(Path(__file__).parents[2] / "support")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([support, *sys.path])}
    command = [sys.executable, "-P", "-W", "ignore", "-c", KILLED, where, name]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert worker.stdout is not None and worker.stdout.readline() == "go\n"
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    store = opened(where, grid("x=range(0,50)", name=name))
    assert list(states(store).values()) == ["waiting"] * 50


def test_a_torn_line_is_mended_and_a_damaged_journal_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    store = opened(str(path), grid("x=1,2"))
    path.write_bytes(path.read_bytes() + b'{"op_code": 4, "work')
    store.finish(take(store, "x-1"), [0.5])
    assert states(find(open_storage(str(path)), "s")) == {"x-1": "finished", "x-2": "waiting"}
    path.write_text("no journal\n" * 3)
    with pytest.raises(ValueError, match="study.journal is damaged, or the journal of another version"):
        open_storage(str(path))


def test_a_storage_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    for url, said in [
        ("postgresql://u:secret@127.0.0.1:1/db", "cannot be reached"),
        ("oracle://u:secret@h/db", "needs a driver that is missing"),
        ("://", "a URL is written as"),
    ]:
        with pytest.raises(ValueError) as caught:
            open_storage(url)
        assert said in str(caught.value) and "secret" not in str(caught.value) and "\n" not in str(caught.value)
    database = tmp_path / "other.db"
    open_storage(f"sqlite:///{database}")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE version_info SET schema_version = 1, library_version = '0.0.1'")
        connection.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    connection.close()
    with pytest.raises(ValueError, match="made by another version of Optuna"):
        open_storage(f"sqlite:///{database}")


def test_an_unknown_study_is_answered_with_those_near(where: str, name: str) -> None:
    opened(where, grid("x=1,2", name=name))
    with pytest.raises(ValueError, match=f"there is no study .* nearest: .*{name}"):
        find(open_storage(where), name[:-1])
    import optuna

    optuna.create_study(study_name=f"{name}-foreign", storage=open_storage(where))
    with pytest.raises(ValueError, match="was not made by asyppo sweep"):
        find(open_storage(where), f"{name}-foreign")


def test_a_definition_survives_the_storage(where: str, name: str) -> None:
    from sweeps.definition.request import SweepRequest, define

    for words in (("utd",), ("mask_pct", "max_steps=4")):
        definition = replace(define(SweepRequest(words=words, seeds=2)), name=f"{name}-{words[0]}")
        study = study_of(opened(where, definition))
        assert isinstance(study, Study) and find(open_storage(where), definition.name).definition == definition
        assert study.paper is not None and study.baseline in {trial.setting for trial in study.trials}
        assert json.loads(definition.to_json())["question"] == study.question
