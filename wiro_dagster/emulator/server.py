"""The emulator's process: two listeners on one event loop, one for the API, one for files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from wiro_dagster.emulator.api import Api
from wiro_dagster.emulator.broken_answers import TransportProtocol
from wiro_dagster.emulator.callback_sender import follow_clock
from wiro_dagster.emulator.catalogue import Catalogue
from wiro_dagster.emulator.control import Control
from wiro_dagster.emulator.downloads import Downloads
from wiro_dagster.emulator.front_door import FrontDoor
from wiro_dagster.emulator.media import Media
from wiro_dagster.emulator.parent import Parent
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.settings import Settings
from wiro_dagster.emulator.start_page import show_start_page
from wiro_dagster.emulator.state import State
from wiro_dagster.emulator.websocket import Sockets

# Callers keep pooled connections; an idle one must not be closed under a Run by chance.
_KEEP_ALIVE_SECONDS = 120
_GRACE_SECONDS = 1


@dataclass(frozen=True)
class Listening:
    """Where to listen.

    Args:
        host: the API's address.
        port: the API's port; 0 for a free one.
        files_host: the name under which outputs are served; another one than the API's.
        files_port: the files' port; 0 for a free one.
        second_files_port: the port of the second CDN host; 0 for a free one.
    """

    host: str = "127.0.0.1"
    port: int = 0
    files_host: str = "localhost"
    files_port: int = 0
    second_files_port: int = 0


def serve(
    settings: Settings,
    listening: Listening,
    state_path: Path,
    *,
    model_files: Sequence[Path] = (),
    fault_rates: dict[str, float] | None = None,
    world_rates: dict[str, float] | None = None,
    parent: Parent | None = None,
    announce: Callable[[dict[str, str]], None] = lambda urls: print(json.dumps(urls), flush=True),
) -> None:
    """Run the emulator until it receives a signal or its parent is gone.

    Args:
        settings: how it behaves.
        listening: where.
        state_path: its SQLite file, made if missing.
        model_files: further models.
        fault_rates: rates of random faults to begin with.
        world_rates: rates of worlds to begin with.
        parent: the process that it ends with, if it does.
        announce: called with the URLs once they are known.
    """
    with (
        _bind(listening.host, listening.port) as api_socket,
        _bind(listening.host, listening.files_port) as files_socket,
        _bind(listening.host, listening.second_files_port) as second_socket,
        contextlib.closing(State(state_path)) as state,
    ):
        sockets = (api_socket, files_socket, second_socket)
        urls = _urls(listening, *(bound.getsockname()[1] for bound in sockets))
        service = Service(
            replace(
                settings,
                files_url=f"http://{urls['cdn_host']}",
                second_files_url=f"http://{urls['second_cdn_host']}",
            ),
            state,
            Catalogue.load(*model_files),
        )
        _set_rates(service, "fault_rates_told", fault_rates, service.faults.set_rates)
        _set_rates(service, "world_rates_told", world_rates, service.set_world_rates)
        names = (listening.host, listening.files_host, *settings.host_names)
        files = Downloads(service, Media(service)).app()
        apps = [FrontDoor(app, service, names) for app in (_api_app(service, urls), files, files)]
        servers = [_server(app, bound) for app, bound in zip(apps, sockets, strict=True)]
        asyncio.run(_run(service, servers, sockets, parent, lambda: announce(urls)))


def _set_rates(
    service: Service,
    place: str,
    rates: dict[str, float] | None,
    set_rates: Callable[[dict[str, float]], None],
) -> None:
    # A restart must not undo what was changed since, unless it comes with other rates.
    if rates and service.state.get(place, None) != rates:
        set_rates(rates)
        service.state.keep(place, rates)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio switches Nagle's delay off only if the protocol is named.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound


def _urls(
    listening: Listening, port: int, files_port: int, second_files_port: int
) -> dict[str, str]:
    api = f"{listening.host}:{port}"
    return {
        "base_url": f"http://{api}/v1",
        "websocket_url": f"ws://{api}/v1",
        "start_page_url": f"http://{api}/",
        "cdn_host": f"{listening.files_host}:{files_port}",
        "second_cdn_host": f"{listening.files_host}:{second_files_port}",
    }


def _api_app(service: Service, urls: dict[str, str]) -> Starlette:
    api = Api(service)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response: ASGIApp = await api.answer(request)
        await response(scope, receive, send)

    control = Control(service, urls)
    return Starlette(
        routes=[
            Route("/", show_start_page),
            *control.routes(),
            WebSocketRoute("/v1", Sockets(service).serve),
            Route("/v1/{endpoint:path}", _Endpoint(answer)),
        ]
    )


class _Endpoint:
    """An ASGI application that takes every HTTP method."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    """A server that leaves the process's signals alone: two of them share one process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _server(app: ASGIApp, bound: socket.socket) -> _Server:
    host, port = bound.getsockname()[:2]
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=TransportProtocol,
        lifespan="off",
        log_level="warning",
        access_log=False,
        # The front door dates the answers by the emulator's clock.
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return _Server(config)


async def _run(
    service: Service,
    servers: Sequence[_Server],
    sockets: Sequence[socket.socket],
    parent: Parent | None,
    announce: Callable[[], None],
) -> None:
    def stop() -> None:
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop)
    if parent is not None:
        parent.watch(loop, stop)
    background = asyncio.create_task(follow_clock(service))
    serving = [
        asyncio.create_task(server.serve(sockets=[bound]))
        for server, bound in zip(servers, sockets, strict=True)
    ]
    while not all(server.started for server in servers) and not any(t.done() for t in serving):
        await asyncio.sleep(0.005)
    announce()
    await asyncio.gather(*serving)
    background.cancel()
