"""The ASGI application that Wiro's callbacks reach.

A call is a hint, whatever it says: it is not signed, and anyone can send one. So the body is read
and dropped, the URL's marker is checked, and every POST gets the same answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from wiro_dagster.ledger import Ledger
from wiro_dagster.resources.ledger_place import absolute_ledger_url
from wiro_dagster.webhook.inbox import Inbox

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

LARGEST_BODY_BYTES = 1024 * 1024
_DIGITS = 12
_BODY_SECONDS = 10.0

_OK = 200
_NOT_FOUND = 404
_WRONG_METHOD = 405
_TOO_SLOW = 408
_TOO_LARGE = 413
_CLOSE = (b"connection", b"close")


class WebhookApp:
    """An ASGI application for the callbacks of one ledger's runs. It needs no framework.

    The last part of a call's path is the marker of its run.

    Args:
        ledger: whose orders call.
        path: answer below this path only; empty for anywhere, as in a mounted application.
    """

    def __init__(self, ledger: Ledger, *, path: str = "") -> None:
        self._ledger = ledger
        self._inbox = Inbox(ledger)
        self._path = path.strip("/")

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer a connection, as ASGI wants it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await self._answer(scope, receive, send)

    def close(self) -> None:
        """Note nothing more, and close the ledger."""
        self._inbox.close()
        self._ledger.close()

    async def _live(self, receive: _Receive, send: _Send) -> None:
        while True:
            stage = (await receive())["type"]
            if stage == "lifespan.shutdown":
                await asyncio.to_thread(self.close)
            await send({"type": f"{stage}.complete"})
            if stage == "lifespan.shutdown":
                return

    async def _answer(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        path, _, marker = scope["path"].strip("/").rpartition("/")
        if self._path not in ("", path):
            status = _NOT_FOUND
        elif scope["method"] != "POST":
            status = _WRONG_METHOD
        else:
            status = await _drop_body(scope, receive)
        if status == _OK:
            self._inbox.take(marker)
        headers = [(b"content-length", b"0"), *([] if status == _OK else [_CLOSE])]
        if status == _WRONG_METHOD:
            headers.append((b"allow", b"POST"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def build_webhook_app(ledger: str | Path, *, path: str = "") -> WebhookApp:
    """Build an ASGI application for Wiro's callbacks, to mount in a server of your own.

    Args:
        ledger: the same as in the `LedgerResource`: a SQLAlchemy URL, or a SQLite file's path.
        path: answer below this path only; empty for anywhere.

    Raises:
        ConfigurationError: the URL cannot be used.
        LedgerError: the database cannot be reached, or holds another version's ledger.

    Example:
        app = Starlette(routes=[Mount("/wiro", build_webhook_app(LEDGER_URL))])
    """
    return WebhookApp(Ledger(absolute_ledger_url(ledger)), path=path)


async def _drop_body(scope: _Message, receive: _Receive) -> int:
    """Read a body to its end and keep nothing of it. Return the status to answer with."""
    stated = dict(scope["headers"]).get(b"content-length", b"0")
    if not stated.isdigit() or len(stated) > _DIGITS or int(stated) > LARGEST_BODY_BYTES:
        return _TOO_LARGE
    try:
        return await asyncio.wait_for(_read_to_end(receive), _BODY_SECONDS)
    except asyncio.TimeoutError:
        return _TOO_SLOW


async def _read_to_end(receive: _Receive) -> int:
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST_BODY_BYTES:
            return _TOO_LARGE
        if not message.get("more_body", False):
            # A caller that has gone sent no whole call.
            return _OK if message["type"] == "http.request" else _TOO_SLOW
