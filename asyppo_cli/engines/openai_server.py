"""Sampling from a running server with OpenAI's protocol (vLLM, llama.cpp, SGLang, Ollama, a hosted model).

One request a sample, several at once, so that every response is kept when a server stops. Temporary failures (a busy
server, a lost connection, a malformed response) are retried with growing pauses. A request that fails for good (content
filter, status 400, no choices) is a failed sample; the server itself counts as failed when it cannot be reached,
rejects the key or the model, or fails many requests in a row.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, Queue
from typing import Any
from urllib.parse import urlsplit

import httpx

from asyppo_cli.engines.openai_protocol import (
    Api,
    RequestRefused,
    RequestSettings,
    SampleRequest,
    Server,
    ServerFailure,
    ServerResponse,
    TransientFailure,
    one_line,
    parse_response,
    read_json,
)

API_KEY = "ASYPPO_API_KEY"
OPENAI_KEY = "OPENAI_API_KEY"
OPENAI_HOST = "api.openai.com"
CONNECT_SECONDS = 10.0
# Pauses before the second and all further tries, in seconds, each up to half as long again at random.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
LONGEST_PAUSE = 60.0
NOTED_PAUSE = 5.0
GRACE_SECONDS = 30.0
# A server that fails this many requests in a row (and as many as run at once) has failed itself.
FAILED_IN_A_ROW = 16


def find_server(
    url: str,
    model: str | None,
    api: Api,
    concurrency: int,
    timeout: float,
) -> Server:
    """Ask a server for its models and choose the one named, or the only one.

    Raises:
        ValueError: no server with this protocol answers, or it does not have the model.
    """
    try:
        with _client(url, CONNECT_SECONDS) as client:
            models = {str(entry["id"]): entry for entry in read_json(client.get("models"))["data"]}
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
            f"--model {url}: no server with OpenAI's protocol answers ({one_line(error)}): "
            "start it, or check the address (it usually ends in /v1)"
        ) from error
    chosen = model if model is not None else next(iter(models)) if len(models) == 1 else None
    if chosen not in models:
        advice = "name one as URL#MODEL" if model is None else f"it does not have {model!r}"
        raise ValueError(f"--model {url}: the server has {', '.join(list(models)[:5]) or 'no model'}: {advice}")
    context = models[chosen].get("max_model_len")
    return Server(url, chosen, api, concurrency, timeout, context if isinstance(context, int) else None)


class ServerSampler:
    """Sends many requests to a server at once; ``note`` receives a line on each long pause."""

    def __init__(
        self,
        server: Server,
        settings: RequestSettings,
        pauses: Sequence[float] = PAUSES,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._server, self._settings, self._pauses, self._note = server, settings, pauses, note
        self._client = _client(server.url, server.timeout)
        self._stop = threading.Event()
        self._noted = -NOTED_PAUSE

    def ask(self, requests: Sequence[SampleRequest]) -> Iterator[ServerResponse | ServerFailure]:
        """Responses and failures as they arrive; failures only once another request has succeeded, or at the end.

        Raises:
            RuntimeError: the server has failed; everything that was under way has been yielded.
        """
        waiting: Queue[SampleRequest] = Queue()
        answers: Queue[ServerResponse | ServerFailure | Exception] = Queue()
        for request in requests:
            waiting.put(request)
        # Daemons: a server that hangs must not keep the program from ending.
        threads = [
            threading.Thread(target=self._work, args=(waiting, answers), daemon=True)
            for _ in range(min(self._server.concurrency, len(requests)))
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._collect(answers, len(requests), threads)
        finally:
            self._stop.set()

    def close(self) -> None:
        """End all connections."""
        self._stop.set()
        self._client.close()

    def _collect(
        self,
        answers: Queue[ServerResponse | ServerFailure | Exception],
        count: int,
        threads: Sequence[threading.Thread],
    ) -> Iterator[ServerResponse | ServerFailure]:
        failed: list[ServerFailure] = []
        for _ in range(count):
            answer = answers.get()
            if isinstance(answer, ServerFailure):
                failed.append(answer)
                if answer.fatal or len(failed) >= max(FAILED_IN_A_ROW, self._server.concurrency):
                    answer = RuntimeError(self._message(failed))
            if isinstance(answer, Exception):
                yield from self._late(answers, threads)
                raise RuntimeError(str(answer)) from answer
            if isinstance(answer, ServerResponse):
                yield from failed
                failed = []
                yield answer
        yield from failed

    def _late(self, answers: Queue[Any], threads: Sequence[threading.Thread]) -> Iterator[ServerResponse]:
        """Responses to requests that were under way; a server that hangs is not waited for."""
        self._stop.set()
        end = time.monotonic() + min(GRACE_SECONDS, self._server.timeout)
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        while not answers.empty():
            late = answers.get()
            if isinstance(late, ServerResponse):
                yield late

    def _message(self, failed: Sequence[ServerFailure]) -> str:
        last = failed[-1]
        many = f"failed {len(failed)} requests in a row, the last" if len(failed) > 1 else "failed"
        where = f"{self._server.url} ({self._server.model})"
        return f"{where} {many} on problem {last.request.problem.id}: {last.reason}; rerun the command to continue"

    def _work(self, waiting: Queue[SampleRequest], answers: Queue[Any]) -> None:
        while not self._stop.is_set() and not waiting.empty():
            try:
                answer = self._with_retries(waiting.get_nowait())
                if isinstance(answer, ServerFailure) and answer.fatal:
                    self._stop.set()
                answers.put(answer)
            except Empty:
                return
            except Exception as error:  # noqa: BLE001
                # Broad on purpose: whatever ends a thread has to reach the caller, who waits for its answer.
                answers.put(error)
                return

    def _with_retries(self, request: SampleRequest) -> ServerResponse | ServerFailure:
        for pause in (*self._pauses, None):
            try:
                return self._once(request)
            except RequestRefused as error:
                return ServerFailure(request, one_line(error), error.fatal)
            except (httpx.HTTPError, TransientFailure) as error:
                if pause is None or self._stop.is_set():
                    reason = f"{one_line(error)} ({len(self._pauses) + 1} tries)"
                    return ServerFailure(request, reason, fatal=isinstance(error, httpx.ConnectError))
                asked = error.pause if isinstance(error, TransientFailure) else 0.0
                self._pause(max(pause * random.uniform(1.0, 1.5), min(asked, LONGEST_PAUSE)), one_line(error))
        raise AssertionError

    def _pause(self, seconds: float, reason: str) -> None:
        """Wait; a long pause is noted, but not once for every request."""
        now = time.monotonic()
        if seconds >= NOTED_PAUSE and now - self._noted >= NOTED_PAUSE:
            self._noted = now
            self._note(f"{self._server.url}: {reason}: next try in {seconds:.0f} s")
        self._stop.wait(seconds)

    def _once(self, request: SampleRequest) -> ServerResponse:
        path = "chat/completions" if self._server.api == "chat" else "completions"
        data = read_json(self._client.post(path, json=self._settings.body(self._server, request)))
        return parse_response(request, data, self._settings.max_tokens)


def api_key(url: str) -> str | None:
    """The key for a server from the environment; OpenAI's own key is sent to OpenAI only."""
    return os.environ.get(API_KEY) or (os.environ.get(OPENAI_KEY) if urlsplit(url).hostname == OPENAI_HOST else None)


def _client(url: str, timeout: float) -> httpx.Client:
    key = api_key(url)
    return httpx.Client(
        base_url=url.rstrip("/") + "/",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS, pool=None),
        limits=httpx.Limits(max_connections=None),
    )
