"""Sampling from a local HTTP server that follows the protocol, and from one that breaks it in every way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from openai_http import Handler, openai_http

from asyppo_cli.engines import openai_server
from asyppo_cli.engines.openai_protocol import (
    RequestSettings,
    SampleRequest,
    Server,
    ServerFailure,
    ServerResponse,
    request_seed,
)
from asyppo_cli.engines.openai_server import ServerSampler, api_key, find_server
from asyppo_cli.types import Problem

REQUEST = RequestSettings("Be brief.", max_tokens=9, temperature=0.5, top_p=0.9, top_k=7, seed=3)
PROBLEMS = [Problem(f"p{i}", f"question {i}", str(i)) for i in range(6)]
REQUESTS = [SampleRequest(problem, number) for problem in PROBLEMS for number in range(2)]
NAMES = {(request.problem.id, request.sample) for request in REQUESTS}
QUICK = (0.001, 0.001, 0.001)

Fault = Callable[["Handler", dict[str, Any]], bool]


@pytest.fixture
def http() -> Iterator[Any]:
    with openai_http() as server:
        yield server


def at(http: Any, **changes: Any) -> Server:
    url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    return replace(Server(url, "one", "chat", concurrency=4, timeout=5.0, context=64), **changes)


Results = list[ServerResponse | ServerFailure]


def ask(server: Server, kept: Results | None = None, notes: list[str] | None = None) -> Results:
    sampler = ServerSampler(server, REQUEST, QUICK, note=[].append if notes is None else notes.append)
    answers: Results = [] if kept is None else kept
    try:
        for answer in sampler.ask(REQUESTS):
            answers.append(answer)
    finally:
        sampler.close()
    return answers


def responses(answers: Results) -> list[ServerResponse]:
    return [answer for answer in answers if isinstance(answer, ServerResponse)]


def failures(answers: Results) -> list[ServerFailure]:
    return [answer for answer in answers if isinstance(answer, ServerFailure)]


def names(answers: Sequence[ServerResponse | ServerFailure]) -> set[tuple[str, int]]:
    """What was answered, each once."""
    found = {(answer.request.problem.id, answer.request.sample) for answer in answers}
    assert len(found) == len(answers)
    return found


def once(spoil: Callable[[Handler], None]) -> Fault:
    """Spoils the first request of every question."""
    seen: set[int] = set()

    def fault(handler: Handler, body: dict[str, Any]) -> bool:
        if body["seed"] in seen:
            return False
        seen.add(body["seed"])
        spoil(handler)
        return True

    return fault


def test_every_sample_is_asked_for_with_all_settings(http: Any) -> None:
    answers = responses(ask(at(http)))
    assert names(answers) == NAMES
    assert all(answer.text == answer.request.problem.question for answer in answers)
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
    assert {body["seed"] for body in http.bodies} == {request_seed(3, request) for request in REQUESTS}
    assert len({body["seed"] for body in http.bodies}) == len(REQUESTS)


def test_completions_get_the_plain_prompt_of_a_base_model(http: Any) -> None:
    answers = responses(ask(at(http, api="completions")))
    assert answers[0].text == f"Be brief.\n\n{answers[0].request.problem.question}\n\n"


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
    "a choice that is none": lambda handler: handler.reply(200, {"choices": ["x"]}),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again(http: Any, name: str) -> None:
    http.fault = once(PASSING[name])
    assert names(ask(at(http))) == NAMES
    assert len(http.bodies) == 2 * len(REQUESTS)


def test_a_server_that_is_silent_is_tried_again(http: Any) -> None:
    http.fault = once(lambda _handler: time.sleep(1.0))
    assert names(responses(ask(at(http, timeout=0.3, concurrency=12)))) == NAMES


def for_problem_3(spoil: Callable[[Handler], None]) -> Fault:
    """Spoils every request of one problem."""

    def fault(handler: Handler, body: dict[str, Any]) -> bool:
        if body["messages"][-1]["content"] != "question 3":
            return False
        spoil(handler)
        return True

    return fault


LASTING = {
    "out of memory": (PASSING["an error of the server"], 4),
    "not JSON": (PASSING["no JSON"], 4),
    "tries": (close, 4),
    "malformed": (PASSING["no choice"], 4),
    "content filter": (
        lambda handler: handler.reply(
            200, {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}
        ),
        1,
    ),
    "maximum context": (lambda handler: handler.reply(400, {"error": {"message": "maximum context is 64"}}), 1),
}


@pytest.mark.parametrize("reason", LASTING)
def test_one_bad_problem_is_a_failed_sample_and_all_others_are_answered(http: Any, reason: str) -> None:
    spoil, tries = LASTING[reason]
    http.fault = for_problem_3(spoil)
    answers = ask(at(http, concurrency=2))
    assert names(answers) == NAMES
    assert names(failures(answers)) == {("p3", 0), ("p3", 1)}
    assert all(reason in failure.reason for failure in failures(answers))
    assert len(http.bodies) == len(REQUESTS) - 2 + 2 * tries


@pytest.mark.parametrize("status", [401, 404])
def test_a_wrong_key_or_model_ends_it_in_the_servers_words(http: Any, status: int) -> None:
    def fault(handler: Handler, _body: dict[str, Any]) -> bool:
        handler.reply(status, {"error": {"message": "no such thing"}})
        return True

    http.fault = fault
    with pytest.raises(RuntimeError, match=f"p0: status {status}: no such thing"):
        ask(at(http, concurrency=1))
    assert len(http.bodies) == 1


def test_a_server_that_fails_every_request_ends_it_without_a_failed_sample(
    http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_server, "FAILED_IN_A_ROW", 5)
    answered: set[str] = set()

    def fault(handler: Handler, body: dict[str, Any]) -> bool:
        if len(answered) < 3:
            answered.add(str(body["seed"]))
            return False
        handler.reply(500, {"error": "down"})
        return True

    http.fault = fault
    kept: Results = []
    with pytest.raises(RuntimeError, match="5 requests in a row"):
        ask(at(http, concurrency=1), kept)
    assert (len(responses(kept)), failures(kept)) == (3, [])


def test_a_server_that_is_gone_ends_it(http: Any) -> None:
    with pytest.raises(RuntimeError, match="p[0-9]"):
        ask(at(http, url="http://127.0.0.1:9/v1"))


@pytest.mark.parametrize(
    ("asked", "waited"), [("0.01", 0.01), ("3600", 0.05), ("Wed, 21 Oct 2099 07:28:00 GMT", 0.05), ("soon", 0.0)]
)
def test_a_pause_that_the_server_asks_for_has_a_limit_and_is_noted(
    http: Any, monkeypatch: pytest.MonkeyPatch, asked: str, waited: float
) -> None:
    monkeypatch.setattr(openai_server, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(openai_server, "NOTED_PAUSE", 0.04)
    http.fault = once(lambda handler: handler.reply(429, {"error": "slow down"}, Retry_After=asked))
    notes: list[str] = []
    assert names(responses(ask(at(http, concurrency=12), notes=notes))) == NAMES
    assert bool(notes) == (waited >= 0.04)
    assert all("slow down" in note for note in notes)


def replying(http: Any, choice: dict[str, Any], **usage: int) -> ServerResponse:
    def fault(handler: Handler, _body: dict[str, Any]) -> bool:
        handler.reply(200, {"choices": [choice], "usage": usage or None})
        return True

    http.fault = fault
    return responses(ask(at(http)))[0]


@pytest.mark.parametrize(
    ("choice", "tokens", "expected"),
    [
        ({"message": {"content": "x"}}, 8, ("x", 8, False)),
        ({"message": {"content": "x"}}, 9, ("x", 9, True)),
        ({"message": {"content": None}, "finish_reason": None}, 3, ("", 3, False)),
        ({"text": None, "finish_reason": "stop"}, 3, ("", 3, False)),
    ],
)
def test_a_missing_finish_reason_or_content_is_no_failure(
    http: Any, choice: dict[str, Any], tokens: int, expected: tuple[str, int, bool]
) -> None:
    answer = replying(http, choice, completion_tokens=tokens)
    assert (answer.text, answer.length, answer.truncated) == expected


def test_reasoning_is_marked_and_closed_only_if_content_follows(http: Any) -> None:
    message = {"content": None, "reasoning_content": "thinking"}
    answer = replying(http, {"message": message, "finish_reason": "length"})
    assert (answer.text, answer.length, answer.truncated) == ("<think>\nthinking", 0, True)
    answer = replying(http, {"message": {"content": "7", "reasoning": "thinking"}, "finish_reason": "stop"})
    assert answer.text == "<think>\nthinking\n</think>\n7"


def test_the_only_model_is_taken_and_several_need_a_name(http: Any) -> None:
    url = at(http).url
    assert find_server(url, None, "chat", 4, 5.0) == at(http)
    http.models.append({"id": "two"})
    assert find_server(url, "two", "chat", 4, 5.0).context is None
    with pytest.raises(ValueError, match="one, two: .*URL#MODEL"):
        find_server(url, None, "chat", 4, 5.0)
    with pytest.raises(ValueError, match="three"):
        find_server(url, "three", "chat", 4, 5.0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://[", "http://"])
def test_nobody_there_is_one_clear_line(url: str) -> None:
    with pytest.raises(ValueError, match="OpenAI") as caught:
        find_server(url, None, "chat", 4, 5.0)
    assert "\n" not in str(caught.value)


def test_a_server_of_another_kind(http: Any) -> None:
    http.models = None
    with pytest.raises(ValueError, match="OpenAI"):
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
