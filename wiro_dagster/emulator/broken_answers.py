"""Answers that go wrong on purpose: dropped, cut, stalled, lying about their length.

They need the connection itself, which the server's protocol puts into each request's scope.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

TRANSPORT = "wiro_dagster.transport"
IS_KEPT = "wiro_dagster.is_kept"
"""Whether the connection has carried an earlier request."""

# A slow reader may take a while to get what was written before the connection was closed.
_FLUSH_SECONDS = 30.0


class TransportProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP protocol, with the connection in every request's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Note the connection before the first request comes."""
        super().connection_made(transport)
        inner = cast(ASGIApp, self.app)  # type: ignore[has-type]
        is_kept = False

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal is_kept
            scope[TRANSPORT], scope[IS_KEPT] = transport, is_kept
            is_kept = True
            await inner(scope, receive, send)

        self.app = app


class RawAnswer:
    """Bytes written to the connection as they are, which is then closed.

    Args:
        content: everything to send, status line included; empty to send nothing at all.
        stall_seconds: how long to keep silent before the connection is closed.
        is_reset: whether it is reset rather than closed.
    """

    def __init__(
        self, content: bytes = b"", *, stall_seconds: float = 0.0, is_reset: bool = False
    ) -> None:
        self._content = content
        self._stall_seconds = stall_seconds
        self._is_reset = is_reset

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Send, wait and close."""
        transport: asyncio.Transport = scope[TRANSPORT]
        if self._content and not transport.is_closing():
            transport.write(self._content)
        if self._stall_seconds:
            await _wait_for_disconnect(receive, self._stall_seconds)
        if self._is_reset:
            _reset(transport)
        else:
            transport.close()
        # The server looks for a finished answer unless it has seen the connection close.
        await _wait_for_disconnect(receive, _FLUSH_SECONDS)


async def _wait_for_disconnect(receive: Receive, seconds: float) -> None:
    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(until_gone(), seconds)
    except asyncio.TimeoutError:
        return


def _reset(transport: asyncio.Transport) -> None:
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None:
        # Closing with a linger time of zero sends a reset instead of a farewell.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def raw_http(status: str, headers: Mapping[str, Any], body: bytes) -> bytes:
    """Return the bytes of an answer, with exactly these headers."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + body


def html_page(title: str) -> bytes:
    """Return a page such as the CDN in front of the service shows."""
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>cdn</center>\r\n</body>\r\n</html>\r\n"
    ).encode()
