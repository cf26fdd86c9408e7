"""What every request passes first: a check of its Host header, and the date of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wiro_dagster.emulator.local_hosts import ANY_HOST, THIS_MACHINE
from wiro_dagster.emulator.service import Service

_POLICY_VIOLATION = 1008


class FrontDoor:
    """An application behind a front door.

    Args:
        app: the application.
        service: the emulated service, whose clock dates the answers.
        host_names: names beside this machine's that requests may call the emulator by.
    """

    def __init__(self, app: ASGIApp, service: Service, host_names: Sequence[str]) -> None:
        self._app = app
        self._service = service
        self._host_names = frozenset((*THIS_MACHINE, *host_names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(self._service.stated(self._service.clock.now()), usegmt=True)
                headers = [*message.get("headers", ()), (b"date", date.encode())]
                message = {**message, "headers": headers}
            await send(message)

        if self._is_called_by_name(scope):
            await self._app(scope, receive, send_dated)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            refusal = PlainTextResponse(
                "The emulator does not answer to this host name. Allow it with --host-name.\n", 403
            )
            await refusal(scope, receive, send_dated)

    def _is_called_by_name(self, scope: Scope) -> bool:
        # A web page could point a host name of its own at this machine, and so become a page
        # of the emulator's origin to a browser. Only the Host header shows that.
        if ANY_HOST in self._host_names:
            return True
        named = next((value for name, value in scope["headers"] if name == b"host"), b"")
        try:
            host = urlsplit(f"//{named.decode('latin-1')}").hostname
        except ValueError:
            return False
        return host in self._host_names
