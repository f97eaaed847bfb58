"""Requests and responses of OpenAI's protocol: what is sent, and what the answers mean."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx

from asyppo_cli.types import Problem

Api = Literal["chat", "completions"]

LONGEST_REASON = 300
# Statuses worth a retry: too early, too many requests, and all server errors.
TRANSIENT = frozenset({408, 409, 425, 429})
SERVER_ERROR = 500
# Statuses that every other request would get as well: a wrong key, no payment, no permission, an unknown model.
FATAL = frozenset({401, 402, 403, 404})
CONTENT_FILTER = "content_filter"
REASONING = "<think>\n{}"
REASONING_END = "\n</think>\n"


@dataclass(frozen=True)
class Server:
    """Address, model and kind of request; ``timeout`` is the longest wait for a byte in seconds."""

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
    """A response; ``length`` in tokens as reported by the server, 0 if it reports none."""

    request: SampleRequest
    text: str
    length: int
    truncated: bool


@dataclass(frozen=True)
class ServerFailure:
    """A request without a response, after all retries; ``fatal`` if all others would fail too."""

    request: SampleRequest
    reason: str
    fatal: bool = False


@dataclass(frozen=True)
class RequestSettings:
    """Settings of all requests."""

    system_prompt: str
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int

    def body(self, server: Server, request: SampleRequest) -> dict[str, Any]:
        """The JSON that is sent. ``top_k`` is no part of OpenAI's protocol and left out where it restricts nothing."""
        found: dict[str, Any] = {
            "model": server.model,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": request_seed(self.seed, request),
        }
        found |= {"top_k": self.top_k} if self.top_k > 0 else {}
        return found | self.prompt(server.api, request.problem)

    def prompt(self, api: Api, problem: Problem) -> dict[str, Any]:
        """The part of the body that holds the problem."""
        if api == "completions":
            before = f"{self.system_prompt}\n\n" if self.system_prompt else ""
            return {"prompt": f"{before}{problem.question}\n\n"}
        system = [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        return {"messages": [*system, {"role": "user", "content": problem.question}]}


class RequestRefused(Exception):
    """A request that would fail again; ``fatal`` if all others would too."""

    def __init__(self, reason: str, fatal: bool = False) -> None:
        super().__init__(reason)
        self.fatal = fatal


class TransientFailure(Exception):
    """A failure worth a retry; ``pause`` is the one the server asks for, in seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def request_seed(seed: int, request: SampleRequest) -> int:
    """A 31-bit seed (some servers take no more) for one sample of one problem, independent of other requests."""
    digest = hashlib.sha256(f"{seed}/{request.problem.id}/{request.sample}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def read_json(response: httpx.Response) -> Mapping[str, Any]:
    """The object in a response; RequestRefused or TransientFailure for anything else."""
    if response.status_code >= SERVER_ERROR or response.status_code in TRANSIENT:
        raise TransientFailure(_error_text(response), _retry_after(response.headers.get("retry-after", "")))
    if not response.is_success:
        raise RequestRefused(_error_text(response), response.status_code in FATAL)
    try:
        data = response.json()
    except ValueError as error:
        raise TransientFailure(f"a response that is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise TransientFailure(f"a response that is a {type(data).__name__}, not an object")
    return data


def _retry_after(value: str) -> float:
    """Seconds of a Retry-After header, a number or a date; 0 for anything else."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _error_text(response: httpx.Response) -> str:
    """Status and message of an error response."""
    try:
        data = response.json()
        error = data.get("error", data)
        message = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        message = response.text
    return f"status {response.status_code}: {' '.join(str(message).split())[:LONGEST_REASON]}"


def _text(choice: Mapping[str, Any]) -> str:
    """The response. Reasoning that a server reports apart is put in front, its end marked if content follows."""
    if "text" in choice:
        return str(choice["text"] or "")
    message = choice["message"]
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    content = str(message.get("content") or "")
    if not reasoning:
        return content
    return REASONING.format(reasoning) + (REASONING_END + content if content else "")


def one_line(error: Exception) -> str:
    """The message of an error in one line of bounded length."""
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__


def parse_response(request: SampleRequest, data: Mapping[str, Any], max_tokens: int) -> ServerResponse:
    """The first choice of a response; RequestRefused for a content filter, TransientFailure for a malformed one."""
    try:
        choice = data["choices"][0]
        text = _text(choice)
        finish = choice.get("finish_reason")
        length = int((data.get("usage") or {}).get("completion_tokens") or 0)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise TransientFailure(f"a malformed response ({type(error).__name__}: {error})") from error
    if finish == CONTENT_FILTER:
        raise RequestRefused("the server's content filter")
    # Without a reason the number of tokens decides.
    return ServerResponse(request, text, length, finish == "length" or (not finish and length >= max_tokens))
