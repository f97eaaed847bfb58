"""Reward functions of the user's: forms, partial credit, and whatever may go wrong in them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from asyppo_cli.config.load import load
from asyppo_cli.extensions.function import Extension, ExtensionError
from asyppo_cli.tasks.grading.reward_pool import RewardPool
from asyppo_cli.types import Problem, Verdict

SOURCE = """import asyncio, os, sys, time
from fractions import Fraction

def single(response, answer):
    return Fraction(len(response), 2) if answer == "2" else -1

def parts(response, correct, question="?"):
    return {"length": len(response), "right": correct}

async def later(response: str, id: str):
    await asyncio.sleep(0.01 if id != "3" else 60)
    return 0.5

def batch(responses, answers):
    return [len(response) + int(answer) for response, answer in zip(responses, answers)]

def uneven(responses):
    return [1.0]

def hangs(response):
    while response == "aaa":
        pass
    return 1

def leaves(response):
    if response == "aaa":
        os._exit(3)
    exit(3) if response == "aa" else None
    return 1

def noisy(response):
    print("x" * 20_000_000)
    print("y" * 20_000_000, file=sys.stderr)
    return 1

def raises(response):
    return 1 / (len(response) - 3)

def nan(response):
    return float("nan")

def text(response):
    return "good"

def misspelt(respons):
    return 1

def nothing():
    return 1
"""
PROBLEMS = [Problem(str(row), "1 + 1 =", "2") for row in range(4)]
TEXTS = ["", "a", "aa", "aaa"]
VERDICTS = [Verdict("right" if row % 2 else "wrong", float(row % 2), "2") for row in range(4)]


def pool(name: str, *overrides: str, timeout: float = 30.0) -> RewardPool:
    config = load([f"rewards.function=mine.py:{name}", f"rewards.timeout={timeout}", *overrides]).config
    return RewardPool(config.rewards, Extension("rewards.function", "mine.py", name, "/nowhere/mine.py", SOURCE), 2)


def scored(name: str, *overrides: str, timeout: float = 30.0) -> list[Verdict]:
    with pool(name, *overrides, timeout=timeout) as made:
        return made.score(PROBLEMS, TEXTS, VERDICTS)


@pytest.mark.parametrize(
    ("name", "rewards"), [("single", [0.0, 0.5, 1.0, 1.5]), ("batch", [2.0, 3.0, 4.0, 5.0]), ("noisy", [1.0] * 4)]
)
def test_every_form_gives_numbers_in_order(name: str, rewards: list[float]) -> None:
    found = scored(name)
    assert [verdict.reward for verdict in found] == rewards and not any(verdict.failure for verdict in found)
    assert [verdict.kind for verdict in found] == [verdict.kind for verdict in VERDICTS]


def test_components_are_weighed_and_kept() -> None:
    found = scored("parts", "rewards.weights.length=0.1")
    assert [verdict.reward for verdict in found] == pytest.approx([0.0, 1.1, 0.2, 1.3])
    assert found[3].components == {"length": 3.0, "right": 1.0}
    with pytest.raises(ExtensionError, match=r"rewards\.weights\.lenght"):
        scored("parts", "rewards.weights.lenght=0.1")


@pytest.mark.parametrize(
    ("name", "timeout", "rewards", "reason"),
    [
        ("later", 1.0, [0.5, 0.5, 0.5, 0.0], "within"),
        ("hangs", 1.0, [1.0, 1.0, 1.0, 0.0], "within"),
        ("leaves", 30.0, [1.0, 1.0, 0.0, 0.0], "code 3"),
        ("raises", 30.0, [-1 / 3, -0.5, -1.0, 0.0], "mine.py:37: ZeroDivisionError"),
    ],
)
def test_a_call_that_fails_costs_its_response_the_reward(
    name: str, timeout: float, rewards: list[float], reason: str
) -> None:
    found = scored(name, timeout=timeout)
    assert [verdict.reward for verdict in found] == pytest.approx(rewards)
    assert reason in found[3].failure


def test_on_error_ends_the_run_instead() -> None:
    with pytest.raises(ExtensionError, match="ZeroDivisionError"):
        scored("raises", "rewards.on_error=error")


@pytest.mark.parametrize(
    ("name", "part"), [("nan", "finite"), ("text", "str"), ("uneven", "1 rewards for 4"), ("fails", "not defined")]
)
def test_a_function_that_never_works_ends_the_run_at_its_first_batch(name: str, part: str) -> None:
    with pytest.raises(ExtensionError) as caught:
        scored(name)
    assert part in str(caught.value) and "mine.py" in str(caught.value)


@pytest.mark.parametrize(("name", "part"), [("misspelt", "response"), ("nothing", "response")])
def test_a_wrong_signature_is_refused_before_any_response(name: str, part: str) -> None:
    with pytest.raises(ExtensionError, match=part):
        pool(name)


class Server(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["responses"]
        found: list[Any] = [{"length": len(row["response"])} for row in rows]
        body = json.dumps({"rewards": found} if self.path == "/good" else {"rewards": found[1:]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Server) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


def test_a_server_scores_too(server: str) -> None:
    for path, message in (("good", None), ("short", "3 rewards for 4 responses")):
        config = load([f"rewards.url={server}/{path}"]).config
        with RewardPool(config.rewards, None, 2) as made:
            if message is None:
                assert [verdict.reward for verdict in made.score(PROBLEMS, TEXTS, VERDICTS)] == [0.0, 1.0, 2.0, 3.0]
            else:
                with pytest.raises(ExtensionError, match=message):
                    made.score(PROBLEMS, TEXTS, VERDICTS)
