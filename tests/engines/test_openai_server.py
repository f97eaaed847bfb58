"""Sampling from a server, one that behaves and one that does everything wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from asyppo_cli.engines.openai_server import (
    RequestSettings,
    SampleRequest,
    Server,
    ServerResponse,
    ServerSampler,
    api_key,
    find_server,
    question_seed,
)
from asyppo_cli.types import Problem

REQUEST = RequestSettings("Be brief.", max_tokens=9, temperature=0.5, top_p=0.9, top_k=7, seed=3)
PROBLEMS = [Problem(f"p{i}", f"question {i}", str(i)) for i in range(6)]
QUESTIONS = [SampleRequest(problem, number) for problem in PROBLEMS for number in range(2)]
NAMES = {(question.problem.id, question.sample) for question in QUESTIONS}
QUICK = (0.001, 0.001, 0.001)

Misdeed = Callable[["Handler", dict[str, Any]], bool]


class Handler(BaseHTTPRequestHandler):
    """Answers with the question; ``server.misdeed`` may spoil a request first."""

    server: Any

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.reply(200, {"data": self.server.models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        self.server.keys.append(self.headers.get("Authorization"))
        if not self.server.misdeed(self, body):
            self.reply(200, self.answer(body))

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.path.endswith("chat/completions"):
            choice: dict[str, Any] = {"message": {"content": body["messages"][-1]["content"]}}
        else:
            choice = {"text": body["prompt"]}
        return {"choices": [{**choice, "finish_reason": "stop"}], "usage": {"completion_tokens": 4}}

    def reply(self, status: int, data: Any, **headers: str) -> None:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def http() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # A connection that hangs is not waited for.
    server.block_on_close = False
    server.models, server.bodies, server.keys = [{"id": "one", "max_model_len": 64}], [], []
    server.misdeed = lambda _handler, _body: False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def at(http: Any, **changes: Any) -> Server:
    url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    return replace(Server(url, "one", "chat", concurrency=4, timeout=5.0, context=64), **changes)


def ask(server: Server, kept: list[ServerResponse] | None = None) -> list[ServerResponse]:
    sampler = ServerSampler(server, REQUEST, QUICK)
    answers = [] if kept is None else kept
    try:
        for answer in sampler.ask(QUESTIONS):
            answers.append(answer)
    finally:
        sampler.close()
    return answers


def names(answers: list[ServerResponse]) -> set[tuple[str, int]]:
    """What was answered, each once."""
    found = {(answer.question.problem.id, answer.question.sample) for answer in answers}
    assert len(found) == len(answers)
    return found


def once(spoil: Callable[[Handler], None]) -> Misdeed:
    """Spoils the first request of every question."""
    seen: set[int] = set()

    def misdeed(handler: Handler, body: dict[str, Any]) -> bool:
        if body["seed"] in seen:
            return False
        seen.add(body["seed"])
        spoil(handler)
        return True

    return misdeed


def test_every_sample_is_asked_for_with_all_settings(http: Any) -> None:
    answers = ask(at(http))
    assert names(answers) == NAMES
    assert all(answer.text == answer.question.problem.question for answer in answers)
    assert {(answer.length, answer.truncated) for answer in answers} == {(4, False)}
    body = http.bodies[0]
    assert {name: body[name] for name in ("model", "max_tokens", "temperature", "top_p", "top_k")} == {
        "model": "one",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
    }
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {body["seed"] for body in http.bodies} == {question_seed(3, question) for question in QUESTIONS}
    assert len({body["seed"] for body in http.bodies}) == len(QUESTIONS)


def test_completions_get_the_plain_prompt_of_a_base_model(http: Any) -> None:
    answers = ask(at(http, api="completions"))
    assert answers[0].text == f"Be brief.\n\n{answers[0].question.problem.question}\n\n"


def close(handler: Handler) -> None:
    handler.connection.close()


def stop_midway(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.connection.close()


PASSING = {
    "an error of the server": lambda handler: handler.reply(500, {"error": {"message": "out of memory"}}),
    "busy": lambda handler: handler.reply(429, {"error": "slow down"}, Retry_After="0.01"),
    "a closed connection": close,
    "half an answer": stop_midway,
    "no JSON": lambda handler: handler.reply(200, b"<html>proxy</html>"),
    "another JSON": lambda handler: handler.reply(200, [1]),
    "no choice": lambda handler: handler.reply(200, {"choices": []}),
    "no finish reason": lambda handler: handler.reply(200, {"choices": [{"text": "x"}]}),
    "a choice that is none": lambda handler: handler.reply(200, {"choices": ["x"]}),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again(http: Any, name: str) -> None:
    http.misdeed = once(PASSING[name])
    assert names(ask(at(http))) == NAMES
    assert len(http.bodies) == 2 * len(QUESTIONS)


def test_a_server_that_is_silent_is_tried_again(http: Any) -> None:
    http.misdeed = once(lambda _handler: time.sleep(1.0))
    started = time.monotonic()
    assert names(ask(at(http, timeout=0.3, concurrency=12))) == NAMES
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("an error of the server", "failed 4 times on problem p3: status 500: out of memory"),
        ("no JSON", "failed 4 times on problem p3: its answer is not JSON"),
        ("a closed connection", "failed 4 times on problem p3: "),
    ],
)
def test_what_does_not_pass_ends_it_and_all_other_answers_are_kept(http: Any, name: str, told: str) -> None:
    def misdeed(handler: Handler, body: dict[str, Any]) -> bool:
        if body["messages"][-1]["content"] != "question 3":
            return False
        PASSING[name](handler)
        return True

    http.misdeed = misdeed
    kept: list[ServerResponse] = []
    with pytest.raises(RuntimeError) as caught:
        ask(at(http, concurrency=2), kept)
    assert told in str(caught.value)
    assert "what was sampled is kept: the same command goes on" in str(caught.value)
    assert len(kept) >= 6
    assert names(kept) < NAMES


def test_a_refusal_is_told_in_the_servers_words_and_not_tried_again(http: Any) -> None:
    def misdeed(handler: Handler, _body: dict[str, Any]) -> bool:
        handler.reply(400, {"error": {"message": "This model's maximum context length is 64 tokens."}})
        return True

    http.misdeed = misdeed
    with pytest.raises(RuntimeError, match=r"refuses problem p0: status 400: This model's maximum context"):
        ask(at(http, concurrency=1))
    assert len(http.bodies) == 1


def test_a_server_that_is_gone_is_said_to_be(http: Any) -> None:
    with pytest.raises(RuntimeError, match="failed 4 times on problem"):
        ask(at(http, url="http://127.0.0.1:9/v1"))


def test_truncation_reasoning_and_missing_counts(http: Any) -> None:
    def misdeed(handler: Handler, _body: dict[str, Any]) -> bool:
        message = {"content": None, "reasoning_content": "thinking"}
        handler.reply(200, {"choices": [{"message": message, "finish_reason": "length"}]})
        return True

    http.misdeed = misdeed
    answer = ask(at(http))[0]
    assert (answer.text, answer.length, answer.truncated) == ("thinking", 0, True)


def test_the_only_model_is_taken_and_several_need_a_name(http: Any) -> None:
    url = at(http).url
    assert find_server(url, None, "chat", 4, 5.0) == at(http)
    http.models.append({"id": "two"})
    assert find_server(url, "two", "chat", 4, 5.0).context is None
    with pytest.raises(ValueError, match="the server has one, two: name one as URL#MODEL"):
        find_server(url, None, "chat", 4, 5.0)
    with pytest.raises(ValueError, match="it has not 'three'"):
        find_server(url, "three", "chat", 4, 5.0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://[", "http://"])
def test_nobody_there_is_one_clear_line(url: str) -> None:
    with pytest.raises(ValueError, match="no server answers there") as caught:
        find_server(url, None, "chat", 4, 5.0)
    assert "\n" not in str(caught.value)


def test_a_server_of_another_kind(http: Any) -> None:
    http.models = None
    with pytest.raises(ValueError, match="no server answers there as OpenAI's would"):
        find_server(at(http).url, None, "chat", 4, 5.0)


def test_the_key_goes_to_the_server_it_is_for(http: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    monkeypatch.delenv("ASYPPO_API_KEY", raising=False)
    ask(at(http))
    assert set(http.keys) == {None}
    assert api_key("https://api.openai.com/v1") == "theirs"
    http.keys.clear()
    monkeypatch.setenv("ASYPPO_API_KEY", "ours")
    ask(at(http))
    assert set(http.keys) == {"Bearer ours"}
