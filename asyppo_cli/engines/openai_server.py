"""Sampling from a running server that speaks OpenAI's protocol (vLLM, llama.cpp, SGLang, Ollama, a hosted model).

One request a sample, so that whatever has been answered is kept when a server stops; several at once. What may pass
(a busy server, a lost connection, an answer that is not JSON) is tried again with growing pauses; what will not (an
unknown model, a prompt that is too long) ends it with the server's own words.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from asyppo_cli.types import Problem

Api = Literal["chat", "completions"]

API_KEY = "ASYPPO_API_KEY"
OPENAI_KEY = "OPENAI_API_KEY"
OPENAI_HOST = "api.openai.com"
CONNECT_SECONDS = 10.0
# Pauses before the second and all further tries, in seconds, each up to half as long again at random.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
GRACE_SECONDS = 30.0
LONGEST_REASON = 300
# Statuses that may pass: too early, too many requests, and everything that is the server's own fault.
PASSING = frozenset({408, 409, 425, 429})
SERVER_FAULT = 500


@dataclass(frozen=True)
class Server:
    """Where it is, which of its models, and how it is asked. ``timeout`` is the longest silence in seconds."""

    url: str
    model: str
    api: Api
    concurrency: int
    timeout: float
    context: int | None = None


@dataclass(frozen=True)
class SampleRequest:
    """Sample number ``sample`` of a problem."""

    problem: Problem
    sample: int


@dataclass(frozen=True)
class ServerResponse:
    """A response; ``length`` is in tokens as the server counts them, 0 where it does not."""

    question: SampleRequest
    text: str
    length: int
    truncated: bool


@dataclass(frozen=True)
class RequestSettings:
    """How every question is asked."""

    system_prompt: str
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int

    def body(self, server: Server, question: SampleRequest) -> dict[str, Any]:
        """The JSON that is sent. ``top_k`` is no word of OpenAI's, so it is left out where it restricts nothing."""
        seed = question_seed(self.seed, question)
        found: dict[str, Any] = {
            "model": server.model,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": seed,
        }
        found |= {"top_k": self.top_k} if self.top_k > 0 else {}
        problem = question.problem.question
        if server.api == "completions":
            return found | {"prompt": f"{self.system_prompt}\n\n{problem}\n\n"}
        system = [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        return found | {"messages": [*system, {"role": "user", "content": problem}]}


class RequestRefused(Exception):
    """The server's answer to a request that will not succeed when repeated."""


class TransientFailure(Exception):
    """Something that may be better the next time; ``pause`` is the server's own wish in seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def find_server(
    url: str,
    model: str | None,
    api: Api,
    concurrency: int,
    timeout: float,
) -> Server:
    """Ask a server for its models and take the one named, or the only one.

    Raises:
        ValueError: nobody answers there, or not as such a server does, or it has not that model.
    """
    try:
        with _client(url, CONNECT_SECONDS) as client:
            models = {str(entry["id"]): entry for entry in _json(client.get("models"))["data"]}
    except (
        httpx.HTTPError,
        httpx.InvalidURL,
        RequestRefused,
        TransientFailure,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            f"--model {url}: no server answers there as OpenAI's would ({_reason(error)}): "
            "start it, or check the address (it usually ends in /v1)"
        ) from error
    chosen = model if model is not None else next(iter(models)) if len(models) == 1 else None
    if chosen not in models:
        wish = "name one as URL#MODEL" if model is None else f"it has not {model!r}"
        raise ValueError(f"--model {url}: the server has {', '.join(list(models)[:5]) or 'no model'}: {wish}")
    context = models[chosen].get("max_model_len")
    return Server(url, chosen, api, concurrency, timeout, context if isinstance(context, int) else None)


class ServerSampler:
    """Asks a server for many samples at once."""

    def __init__(self, server: Server, request: RequestSettings, pauses: Sequence[float] = PAUSES) -> None:
        self._server, self._request, self._pauses = server, request, pauses
        self._client = _client(server.url, server.timeout)
        self._stop = threading.Event()

    def ask(self, questions: Sequence[SampleRequest]) -> Iterator[ServerResponse]:
        """Answers as they come.

        Raises:
            RuntimeError: a question stays without an answer; all others that were under way have been yielded.
        """
        waiting: Queue[SampleRequest] = Queue()
        answers: Queue[ServerResponse | Exception] = Queue()
        for question in questions:
            waiting.put(question)
        # Daemons: a server that hangs must not keep the program from ending.
        threads = [
            threading.Thread(target=self._work, args=(waiting, answers), daemon=True)
            for _ in range(min(self._server.concurrency, len(questions)))
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._gather(answers, len(questions), threads)
        finally:
            self._stop.set()

    def close(self) -> None:
        """End all connections."""
        self._stop.set()
        self._client.close()

    def _gather(
        self, answers: Queue[ServerResponse | Exception], count: int, threads: Sequence[threading.Thread]
    ) -> Iterator[ServerResponse]:
        for _ in range(count):
            answer = answers.get()
            if isinstance(answer, Exception):
                self._stop.set()
                # What is under way may still be answered; a server that hangs is not waited for.
                end = time.monotonic() + min(GRACE_SECONDS, self._server.timeout)
                for thread in threads:
                    thread.join(max(0.0, end - time.monotonic()))
                while not answers.empty():
                    late = answers.get()
                    if isinstance(late, ServerResponse):
                        yield late
                raise RuntimeError(str(answer)) from answer
            yield answer

    def _work(self, waiting: Queue[SampleRequest], answers: Queue[ServerResponse | Exception]) -> None:
        while not self._stop.is_set() and not waiting.empty():
            try:
                answers.put(self._patiently(waiting.get_nowait()))
            except Empty:
                return
            except Exception as error:  # noqa: BLE001
                # Broad on purpose: whatever ends a thread has to reach whoever waits for its answer.
                answers.put(error)
                return

    def _patiently(self, question: SampleRequest) -> ServerResponse:
        place = f"{self._server.url} ({self._server.model})"
        kept = "what was sampled is kept: the same command goes on"
        for pause in (*self._pauses, None):
            try:
                return self._once(question)
            except RequestRefused as error:
                raise RuntimeError(
                    f"{place} refuses problem {question.problem.id}: {_reason(error)}; {kept}"
                ) from error
            except (httpx.HTTPError, TransientFailure) as error:
                if pause is None or self._stop.is_set():
                    tries = len(self._pauses) + 1
                    raise RuntimeError(
                        f"{place} failed {tries} times on problem {question.problem.id}: {_reason(error)}; {kept}"
                    ) from error
                wish = error.pause if isinstance(error, TransientFailure) else 0.0
                self._stop.wait(max(pause * random.uniform(1.0, 1.5), wish))
        raise AssertionError

    def _once(self, question: SampleRequest) -> ServerResponse:
        path = "chat/completions" if self._server.api == "chat" else "completions"
        data = _json(self._client.post(path, json=self._request.body(self._server, question)))
        try:
            choice = data["choices"][0]
            text = _text(choice)
            truncated = choice["finish_reason"] == "length"
            length = int((data.get("usage") or {}).get("completion_tokens") or 0)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise TransientFailure(f"its answer lacks what it should have ({type(error).__name__}: {error})") from error
        return ServerResponse(question, text, length, truncated)


def question_seed(seed: int, question: SampleRequest) -> int:
    """A 31-bit seed (more than some servers take) for one sample of one problem, whatever else is asked."""
    digest = hashlib.sha256(f"{seed}/{question.problem.id}/{question.sample}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def api_key(url: str) -> str | None:
    """The key for a server from the environment; OpenAI's own key goes to nobody else."""
    return os.environ.get(API_KEY) or (os.environ.get(OPENAI_KEY) if urlsplit(url).hostname == OPENAI_HOST else None)


def _client(url: str, timeout: float) -> httpx.Client:
    key = api_key(url)
    return httpx.Client(
        base_url=url.rstrip("/") + "/",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS, pool=None),
        limits=httpx.Limits(max_connections=None),
    )


def _json(response: httpx.Response) -> Mapping[str, Any]:
    """The object in an answer; RequestRefused or TransientFailure for everything else."""
    if response.status_code >= SERVER_FAULT or response.status_code in PASSING:
        wish = response.headers.get("retry-after", "")
        raise TransientFailure(_told(response), float(wish) if wish.replace(".", "", 1).isdigit() else 0.0)
    if not response.is_success:
        raise RequestRefused(_told(response))
    try:
        data = response.json()
    except ValueError as error:
        raise TransientFailure(f"its answer is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise TransientFailure(f"its answer is a {type(data).__name__}")
    return data


def _told(response: httpx.Response) -> str:
    """Status and message of an answer that is an error."""
    try:
        data = response.json()
        error = data.get("error", data)
        message = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        message = response.text
    return f"status {response.status_code}: {' '.join(str(message).split())[:LONGEST_REASON]}"


def _text(choice: Mapping[str, Any]) -> str:
    """The response, with the reasoning in front where a server tells them apart."""
    if "text" in choice:
        return str(choice["text"])
    message = choice["message"]
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    parts = [str(part) for part in (reasoning, message.get("content")) if part]
    return "\n".join(parts)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__
