"""Shows a folder of videos to browsers of this machine, so that Dagster can link to them.

with serve_folder(Path("videos"), port=8379) as base_url:
    ...

It answers this machine only, reads only, lists nothing, and shows no hidden file. Scripts run in
the gallery's own page and in nothing else: a model may have written the rest.
"""

from __future__ import annotations

import mimetypes
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wiro_dagster.errors import StoreError
from wiro_dagster.media.content_type import ACTIVE_TYPES
from wiro_dagster.store import check_key
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
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Route

    answer = partial(_answer, folder=folder.absolute())
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


async def _answer(request: Request, *, folder: Path) -> Response:
    from starlette.responses import FileResponse, PlainTextResponse

    key = request.path_params["key"]
    path = _find_file(folder, key) if _is_for_us(request) else None
    if path is None:
        return PlainTextResponse("Not found", status_code=404, headers=_HEADERS)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
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
