"""A small real HTTP server for the tests of the client: it answers what a test scripts."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import requests

KEY = "key-6f1e0a7c"
SECRET = "secret-b7d2c9e4"
TOKEN = "token-a93f5d10"


@dataclass(frozen=True)
class Reply:
    """One scripted answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """Sent in place of an HTTP answer; then the connection ends."""
    ending: Literal["keep", "close", "reset"] = "keep"
    delay_seconds: float = 0.0
    """Before the answer."""
    trickle_seconds: float = 0.0
    """Between two bytes of `raw`."""


def build_json_reply(fields: Any, status: int = 200, **headers: str) -> Reply:
    """Return an answer of JSON; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps(fields).encode()
    return Reply(status, body, {"Content-Type": "application/json", **named})


def build_refusal(code: int, message: str, status: int = 200) -> Reply:
    """Return a negative envelope."""
    return build_json_reply(
        {"result": False, "errors": [{"code": code, "message": message}]}, status
    )


RUN_ACCEPTED = build_json_reply(
    {"result": True, "errors": [], "taskid": "2221", "socketaccesstoken": TOKEN}
)
HTML_REPLY = Reply(
    502, b"<html><title>502 Bad Gateway</title></html>", {"Content-Type": "text/html"}
)
RESET = Reply(raw=b"", ending="reset")


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    client_port: int
    """Tells connections apart."""

    @property
    def fields(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    """More than the threads of any test: a full queue refuses connections."""


class ScriptedServer:
    """Answers requests one after the other from a script; the last answer stays."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self._script: list[Reply] = [Reply(status=500, body=b"nothing scripted")]
        self._lock = threading.Lock()
        self._http = _Server(("127.0.0.1", port), self._build_handler())
        self._http.daemon_threads = True
        self.port: int = self._http.server_address[1]

    @property
    def base_url(self) -> str:
        """Where a client finds it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *replies: Reply) -> None:
        """Answer these from now on."""
        with self._lock:
            self._script = list(replies)

    @contextmanager
    def running(self) -> Iterator[ScriptedServer]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()

    def _take(self, request: Received) -> Reply:
        with self._lock:
            self.received.append(request)
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def _build_handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Answer the next reply of the script."""
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                received = Received(
                    self.path, dict(self.headers.items()), body, self.client_address[1]
                )
                with suppress(OSError):
                    self._answer(take(received))

            def do_GET(self) -> None:
                """Answer in the same way."""
                self.do_POST()

            def _answer(self, reply: Reply) -> None:
                time.sleep(reply.delay_seconds)
                if reply.raw is not None:
                    self._answer_raw(reply)
                    return
                self.send_response(reply.status)
                headers = {"Content-Length": str(len(reply.body)), **reply.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
                self.close_connection = self.close_connection or reply.ending != "keep"

            def _answer_raw(self, reply: Reply) -> None:
                raw = reply.raw or b""
                pieces = [bytes([byte]) for byte in raw] if reply.trickle_seconds else [raw]
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
                    time.sleep(reply.trickle_seconds)
                self.close_connection = True
                if reply.ending == "reset":
                    # Closing with a zero linger sends RST in place of FIN.
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.rfile.close()
                    self.connection.close()

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        return Handler


def test_the_scripted_server_answers_its_script_and_keeps_the_requests() -> None:
    """What a test scripts is what a client receives, in that order."""
    with ScriptedServer().running() as server:
        server.script(Reply(201, b"one"), Reply(202, b"two"))
        statuses = [requests.post(server.base_url, data=b"x").status_code for _ in range(3)]
    assert statuses == [201, 202, 202]
    assert [request.body for request in server.received] == [b"x"] * 3
