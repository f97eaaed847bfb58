from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyppo_cli.tasks.data.procedural import heldout_problems
from asyppo_cli.tasks.grading import pool as pool_module
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.types import Problem

ROOT = Path(__file__).parents[3]
# Needs algebra, so every answer to it that may be right goes to a worker.
HALF = Problem("half", "What is 2x/4?", r"\frac{x}{2}")
ENDLESS = r"\boxed{9^{9^{9^9}}}"


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=2, deadline=1.0) as made:
        yield made


def kinds(pool: GraderPool, texts: list[str], problem: Problem = HALF) -> list[str]:
    return [verdict.kind for verdict in pool.grade([problem] * len(texts), texts)]


def workers_of(parent: int) -> list[int]:
    """Processes of the worker module that are children of ``parent``."""
    found = subprocess.run(["ps", "-eww", "-o", "pid,ppid,stat,args"], capture_output=True, text=True, check=True)
    rows = [line.split(None, 3) for line in found.stdout.splitlines()[1:]]
    return [int(r[0]) for r in rows if int(r[1]) == parent and "tasks.grading.worker" in r[3] and r[2][0] != "Z"]


def pid_of(pool: GraderPool) -> int:
    (worker,) = pool._workers
    return worker.process.pid


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_hostile_answers_cost_a_deadline_and_nothing_else(pool: GraderPool) -> None:
    hostile = {
        ENDLESS: "timed_out",
        r"\boxed{\int_0^1 e^{x^{x^x}} \sin(x!)\,dx}": "unparseable",
        r"\boxed{" + "{" * 10**6: "unparseable",
        "\\boxed{\x00}": "unparseable",
        "\\boxed{\n\r\u2028\ud800\x1b[2J}": "unparseable",
        "no box": "unparseable",
        r"\boxed{0.5x}": "right",
        r"\boxed{2x/3}": "wrong",
    }
    order = list(hostile)
    assert kinds(pool, order) == [hostile[text] for text in order]
    assert kinds(pool, [r"\boxed{0.5x}"]) == ["right"]


def test_megabytes_reach_the_worker_whole(pool: GraderPool) -> None:
    long = "0." + "5" * 3_000_000
    gold = Problem("long", "?", long + "\ud800\x00")
    assert pool.grade([gold], [r"\boxed{" + long + "\ud800\x00}"])[0].kind == "right"


def test_order_rewards_and_counts(pool: GraderPool) -> None:
    variants = [r"\boxed{\frac{x}{2}}", r"\boxed{3x/7}", r"\boxed{1}", "nothing", r"\boxed{2x/4}"]
    expected = ["right", "wrong", "wrong", "unparseable", "right"]
    texts = variants * 6
    random.Random(1).shuffle(texts)
    verdicts = pool.grade([HALF] * len(texts), texts)
    assert [verdict.kind for verdict in verdicts] == [expected[variants.index(text)] for text in texts]
    assert Counter(v.kind for v in verdicts) == {"right": 12, "wrong": 12, "unparseable": 6}
    assert all(verdict.reward == (verdict.kind == "right") for verdict in verdicts)
    assert {verdict.extracted for verdict in verdicts} == {r"\frac{x}{2}", "3x/7", "1", None, "2x/4"}


def test_an_answer_shared_by_samples_is_judged_once(pool: GraderPool) -> None:
    started = time.monotonic()
    assert kinds(pool, [ENDLESS] * 16) == ["timed_out"] * 16
    assert time.monotonic() - started < 8.0  # 16 deadlines on two workers would be at least 8 seconds


def test_gold_that_cannot_be_read_is_counted_apart(pool: GraderPool) -> None:
    assert kinds(pool, [r"\boxed{1/2}"], Problem("bad", "?", "???")) == ["unparseable_gold"]


def test_verifiers_of_reasoning_gym(pool: GraderPool) -> None:
    problem = heldout_problems("countdown", {}, 1)[0]
    texts = [f"\\boxed{{{problem.answer}}}", f"\\boxed{{({problem.answer})}}", r"\boxed{1+1}", r"\boxed{9**9**9**9}"]
    assert kinds(pool, texts, problem) == ["right", "right", "wrong", "timed_out"]


def test_text_that_a_verifier_evaluates_cannot_touch_files(pool: GraderPool, tmp_path: Path) -> None:
    problem = heldout_problems("n_queens", {}, 1)[0]
    marker = tmp_path / "touched"
    attacks = [
        f"__import__('os').system('touch {marker}')",
        f"open('{marker}', 'w').close()",
        f"__import__('os').mkdir('{marker}')",
        f"__import__('subprocess').run(['touch', '{marker}'])",
    ]
    assert "right" not in kinds(pool, [f"\\boxed{{{attack}}}" for attack in attacks], problem)
    assert not marker.exists()


def test_a_worker_killed_over_an_answer_is_replaced() -> None:
    with GraderPool(workers=1, deadline=30.0) as pool:
        assert kinds(pool, [r"\boxed{0.5x}"]) == ["right"]
        first = pid_of(pool)
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.extend(kinds(pool, [ENDLESS, r"\boxed{0.5x}"])))
        thread.start()
        time.sleep(1.0)
        os.kill(first, signal.SIGKILL)
        thread.join(20.0)
        assert found == ["timed_out", "right"]
        assert not alive(first)
        assert pid_of(pool) != first


def test_a_worker_killed_while_idle_costs_nothing() -> None:
    with GraderPool(workers=1, deadline=5.0) as pool:
        assert kinds(pool, [r"\boxed{0.5x}"]) == ["right"]
        first = pid_of(pool)
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: not alive(first))
        assert kinds(pool, [r"\boxed{0.5x}", r"\boxed{2x/3}"]) == ["right", "wrong"]


def test_starting_up_does_not_count_against_the_deadline() -> None:
    # A worker takes several times this long to start and to import sympy; the answer itself takes milliseconds.
    with GraderPool(workers=1, deadline=0.25) as pool:
        assert kinds(pool, [r"\boxed{\frac{2x}{4}}"]) == ["right"]


def test_nothing_starts_for_plain_integers_and_close_ends_all() -> None:
    before = workers_of(os.getpid())
    with GraderPool(workers=2, deadline=5.0) as pool:
        assert kinds(pool, [r"\boxed{7}", r"\boxed{8}", "?"], Problem("i", "?", "7")) == [
            "right",
            "wrong",
            "unparseable",
        ]
        assert workers_of(os.getpid()) == before
        kinds(pool, [r"\boxed{0.5x}"])
        assert len(workers_of(os.getpid())) == len(before) + 1
    assert workers_of(os.getpid()) == before


def test_memory_is_limited() -> None:
    with GraderPool(workers=1, deadline=5.0) as pool:
        assert kinds(pool, [r"\boxed{0.5x}"]) == ["right"]
        limits = Path(f"/proc/{pid_of(pool)}/limits").read_text()
    assert f"Max address space         {4 * 2**30} " in limits


def test_the_parent_itself_enforces_the_deadline() -> None:
    with GraderPool(workers=1, deadline=1.0) as pool:
        assert kinds(pool, [r"\boxed{0.5x}"]) == ["right"]
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.extend(kinds(pool, [ENDLESS])))
        thread.start()
        time.sleep(0.3)
        os.kill(pid_of(pool), signal.SIGSTOP)  # a frozen process cannot end itself, nor can an alarm end it
        thread.join(15.0)
        assert found == ["timed_out"]


def test_a_judge_that_cannot_be_loaded_is_an_error_at_once() -> None:
    unknown = Problem("x", "?", "7", {"metadata": {"source_dataset": "no_such_task"}})
    with GraderPool(workers=1, deadline=5.0) as pool:
        with pytest.raises(RuntimeError, match=r"cannot load its judge: ValueError: .*no_such_task"):
            pool.grade([unknown], [r"\boxed{8}"])
        assert kinds(pool, [r"\boxed{0.5x}"]) == ["right"]


def test_a_worker_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_environment", lambda: {"PYTHONPATH": "", "PYTHONHOME": "/nowhere"})
    with (
        GraderPool(workers=1, deadline=5.0) as pool,
        pytest.raises(RuntimeError, match=r"worker cannot start: .*encodings"),
    ):
        kinds(pool, [r"\boxed{0.5x}"])


@pytest.mark.parametrize(("workers", "deadline"), [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_arguments_out_of_range(workers: int, deadline: float) -> None:
    with pytest.raises(ValueError, match=r"grading\.(workers|deadline) must be"):
        GraderPool(workers, deadline)


MAIN = r"""
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.types import Problem
print("main runs once", flush=True)
with GraderPool(1, 2.0) as pool:
    half = Problem("half", "?", r"\frac{x}{2}")
    print(pool.grade([half], [r"\boxed{0.5x}"])[0].kind, pool._workers[0].process.pid, flush=True)
    while True:
        pool.grade([half], [r"\boxed{9^{9^{9^9}}}"])
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A script without main guard, in a folder of misleading modules, that hangs on an endless answer."""
    for name in ("analysis", "asyppo_cli", "math_verify", "sympy", "reasoning_gym"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger was imported')\n")
    script = tmp_path / "scripts" / "program.py"
    script.parent.mkdir()
    script.write_text(MAIN)
    command = [sys.executable, "-P", str(script), str(ROOT)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


def first_lines(program: subprocess.Popen[str]) -> int:
    """The process id of the worker, once the first answer is graded."""
    assert program.stdout is not None
    assert program.stdout.readline() == "main runs once\n"
    kind, pid = program.stdout.readline().split()
    assert kind == "right"
    return int(pid)


def test_workers_die_with_their_parent_even_over_an_endless_answer(program: subprocess.Popen[str]) -> None:
    worker = first_lines(program)
    time.sleep(0.5)  # by now it computes, and reads no more
    program.kill()
    assert eventually(lambda: not alive(worker))


def test_idle_workers_die_with_their_parent() -> None:
    with GraderPool(workers=1, deadline=60.0) as pool:
        assert kinds(pool, [r"\boxed{0.5x}"]) == ["right"]
        worker = pid_of(pool)
        pool._workers[0].socket.shutdown(socket.SHUT_RDWR)  # what the kernel does to a dead parent's sockets
        assert eventually(lambda: not alive(worker))


def test_ctrl_c_stops_the_main_program_alone_and_workers_are_silent(program: subprocess.Popen[str]) -> None:
    worker = first_lines(program)
    time.sleep(0.5)
    os.killpg(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=20)
    assert not out
    assert err.count("Traceback") == 1
    assert err.strip().endswith("KeyboardInterrupt")
    assert "worker.py" not in err
    assert eventually(lambda: not alive(worker))
