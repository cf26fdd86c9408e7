"""Shows a store of videos to browsers of this machine, so that Dagster can link to them.

with serve_folder(Path("videos"), port=8379) as base_url:
    ...
with serve_store(store, port=8379) as base_url:  # S3, or any other
    ...

It answers this machine only, reads only, lists nothing, and shows no hidden file. Scripts run in
the gallery's own page and in nothing else: a model may have written the rest.
"""

from __future__ import annotations

import mimetypes
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wiro_dagster.errors import MediaError, StoreError
from wiro_dagster.gallery.copies import Copies
from wiro_dagster.media.content_type import ACTIVE_TYPES
from wiro_dagster.store import VideoStore, check_key
from wiro_dagster.store.disk import COPY_PREFIX, temporary_folder
from wiro_dagster.store.keys import is_own_page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_HOST = "127.0.0.1"
_START_SECONDS = 10.0
_STOP_SECONDS = 2
_HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
_SANDBOX = {"Content-Security-Policy": "sandbox"}
_MEDIA = ("video/", "audio/", "image/")
_STORE_FAILED = 502


Find = Callable[[str], "Path | None"]
"""Return the local file of a key; None if it does not exist."""


@contextmanager
def serve_folder(folder: Path, *, port: int = 0) -> Iterator[str]:
    """Serve a folder from a thread until the block ends.

    Needs starlette and uvicorn, which come with dagster-webserver.

    Args:
        folder: it need not exist yet.
        port: 0 for any that is free.

    Yields:
        The URL that the folder's files are under, without a slash at its end.

    Raises:
        OSError: the port is taken.
    """
    with _serve(partial(_find_file, folder.absolute()), port) as base_url:
        yield base_url


@contextmanager
def serve_store(store: VideoStore, *, port: int = 0) -> Iterator[str]:
    """Serve any store as `serve_folder` does a folder.

    Browsers seek in videos, which stores cannot; so what they ask for is kept on the local disk
    until the block ends, up to a few gigabytes.
    """
    with (
        temporary_folder(None, COPY_PREFIX) as folder,
        _serve(Copies(store, folder).find, port) as base_url,
    ):
        yield base_url


@contextmanager
def _serve(find: Find, port: int) -> Iterator[str]:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Route

    answer = partial(_answer, find=find)
    app = Starlette(routes=[Route("/{key:path}", answer, methods=["GET", "HEAD"])])
    config = uvicorn.Config(
        app,
        log_level="error",
        lifespan="off",
        timeout_graceful_shutdown=_STOP_SECONDS,
        server_header=False,
    )
    server = uvicorn.Server(config)
    listener = socket.create_server((_HOST, port))
    thread = threading.Thread(
        target=server.run, args=([listener],), name="wiro-gallery", daemon=True
    )
    thread.start()
    try:
        _wait_for(server)
        yield f"http://{_HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


async def _answer(request: Request, *, find: Find) -> Response:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import FileResponse, PlainTextResponse

    key = request.path_params["key"]
    try:
        path = await run_in_threadpool(find, key) if _is_for_us(request) else None
    except (StoreError, MediaError) as error:
        return PlainTextResponse(str(error), status_code=_STORE_FAILED, headers=_HEADERS)
    if path is None:
        return PlainTextResponse("Not found", status_code=404, headers=_HEADERS)
    kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
    # In a sandbox, a browser's own page for a video cannot be steered, for example by its keys.
    is_harmless = is_own_page(key) or (kind.startswith(_MEDIA) and kind not in ACTIVE_TYPES)
    headers = _HEADERS if is_harmless else _HEADERS | _SANDBOX
    return FileResponse(path, media_type=kind, headers=headers)


def _is_for_us(request: Request) -> bool:
    # Another page could point its own host name at this machine and read the files.
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return False
    return host in {_HOST, "localhost"}


def _find_file(folder: Path, key: str) -> Path | None:
    try:
        path = (folder / check_key(key)).resolve()
        is_inside = path.is_relative_to(folder.resolve())
        return path if is_inside and path.is_file() else None
    except (StoreError, OSError):
        return None


def _wait_for(server: object) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not getattr(server, "started", False):
        if time.monotonic() > deadline:
            raise OSError("The server of the videos did not start.")
        time.sleep(0.01)
