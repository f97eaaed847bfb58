"""A local HTTP server with OpenAI's protocol, whose ``fault`` may spoil any request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answers with the question; ``server.fault`` may spoil a request first."""

    server: Any

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.reply(200, {"data": self.server.models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        self.server.keys.append(self.headers.get("Authorization"))
        if not self.server.fault(self, body):
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


@contextmanager
def openai_http() -> Iterator[Any]:
    """A running server; ``bodies`` and ``keys`` are what it was sent."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # A connection that hangs is not waited for.
    server.block_on_close = False
    server.models, server.bodies, server.keys = [{"id": "one", "max_model_len": 64}], [], []
    server.fault = lambda _handler, _body: False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
