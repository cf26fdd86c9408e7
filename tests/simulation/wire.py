"""The way from the client to the emulator without a socket: an adapter of `requests`."""

from __future__ import annotations

import asyncio
import io
import selectors
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from urllib3.response import HTTPResponse

from wiro_dagster.api.exchange import current_exchange
from wiro_dagster.api.sessions import open_session
from wiro_dagster.emulator.api import Api
from wiro_dagster.emulator.broken_answers import TRANSPORT
from wiro_dagster.emulator.control import Control
from wiro_dagster.emulator.downloads import Downloads
from wiro_dagster.emulator.front_door import FrontDoor
from wiro_dagster.emulator.media import Media
from wiro_dagster.emulator.service import Service

API_HOST, FILES_HOST, SECOND_FILES_HOST = "127.0.0.1:1", "localhost:2", "localhost:3"
CONTROL_HOST = "localhost:4"
Hook = Callable[[str], None]
"""Called with what is about to happen; it may end the process."""


class _Selector(selectors.SelectSelector):
    """Waits for nothing: where a loop would sleep, the emulator's clock moves."""

    def __init__(self, advance: Callable[[float], object]) -> None:
        super().__init__()
        self.now, self._advance = 0.0, advance

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("an answer waits for something that never comes")
        if timeout > 0:
            self.now += timeout
            self._advance(timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose sleeps take no time."""

    def __init__(self, selector: _Selector) -> None:
        self._virtual = selector
        super().__init__(selector)

    def time(self) -> float:
        return self._virtual.now


@dataclass
class _Connection:
    """What an answer that goes wrong on purpose does to its connection."""

    content: bytearray = field(default_factory=bytearray)
    is_closed: bool = False

    def write(self, data: bytes) -> None:
        self.content += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def get_extra_info(self, _name: str) -> None:
        return None


class Wire:
    """Carries requests to the emulator's applications.

    Args:
        service: the emulated service.
        hook: called before each request leaves and after its answer is there.
    """

    def __init__(self, service: Service, hook: Hook) -> None:
        self.hook = hook
        api = Api(service)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await (await api.answer(Request(scope, receive)))(scope, receive, send)

        media = Media(service)
        media.open = _AtOnce(media).open  # type: ignore[method-assign]
        files = FrontDoor(Downloads(service, media).app(), service, ())
        self._apps: dict[str, ASGIApp] = {
            API_HOST: FrontDoor(answer, service, ()),
            FILES_HOST: files,
            SECOND_FILES_HOST: files,
            CONTROL_HOST: Starlette(routes=Control(service, {}).routes()),
        }
        self._loop = _Loop(_Selector(service.clock.advance))

    def close(self) -> None:
        """Close the loop."""
        self._loop.close()

    def open_session(self, *, pool_size: int = 1) -> requests.Session:
        """A session as the product's own, on this wire."""
        session = open_session(pool_size=pool_size)
        for scheme in ("https://", "http://"):
            session.mount(scheme, _Adapter(self))
        return session

    def carry(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        """Answer one request; status, headers and body.

        Raises:
            ConnectionError: the connection was closed without an answer.
        """
        url = urlsplit(str(request.url))
        body = _read_body(request.body)
        scope = _scope(request, url.netloc, url.path, url.query)
        connection = scope[TRANSPORT] = _Connection()
        sent: list[MutableMapping[str, Any]] = []
        incoming = iter(({"type": "http.request", "body": body, "more_body": False},))

        async def receive() -> MutableMapping[str, Any]:
            return next(incoming, {"type": "http.disconnect"})

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        self._loop.run_until_complete(self._apps[url.netloc](scope, receive, send))
        if connection.content or connection.is_closed:
            return _parse(bytes(connection.content))
        start = sent[0]
        headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        return int(start["status"]), headers, b"".join(part.get("body", b"") for part in sent[1:])


class _Adapter(HTTPAdapter):
    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def send(
        self, request: requests.PreparedRequest, *_args: Any, **_options: Any
    ) -> requests.Response:
        self._wire.hook("before the first byte")
        current_exchange().leave()
        try:
            status, headers, body = self._wire.carry(request)
        except ConnectionError as error:
            raise requests.exceptions.ConnectionError(error, request=request) from None
        self._wire.hook("before the answer is read")
        raw = HTTPResponse(io.BytesIO(body), headers=headers, status=status, preload_content=False)
        return self.build_response(request, raw)


class _AtOnce:
    """Makes media where it is asked for them, without threads."""

    def __init__(self, media: Media) -> None:
        self._make = media.make

    async def open(self, task: Any, plan: Any) -> bytes:
        return self._make(task, plan)


def _scope(request: requests.PreparedRequest, host: str, path: str, query: str) -> Scope:
    headers = [(b"host", host.encode())]
    headers += [
        (str(name).lower().encode(), _bytes(value)) for name, value in request.headers.items()
    ]
    return {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "server": (host.partition(":")[0], 1),
        "path_params": {"endpoint": path.removeprefix("/v1/")},
    }


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1")


def _read_body(body: Any) -> bytes:
    if body is None or isinstance(body, (bytes, str)):
        return (body or b"").encode() if isinstance(body, str) else body or b""
    return b"".join(body)


def _parse(content: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = content.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if len(lines[0].split()) < 2:
        raise ConnectionResetError("closed without an answer")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, body
