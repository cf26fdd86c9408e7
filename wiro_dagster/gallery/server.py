"""Shows a folder of videos to browsers of this machine, so that Dagster can link to them.

with serve_folder(Path("videos"), port=8379) as base_url:
    ...

It answers this machine only, reads only, lists nothing, and shows no hidden file.
"""

from __future__ import annotations

import mimetypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from wiro_dagster.errors import StoreError
from wiro_dagster.store import check_key

_HOST = "127.0.0.1"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK_BYTES = 256 * 1024


@contextmanager
def serve_folder(folder: Path, *, port: int = 0) -> Iterator[str]:
    """Serves a folder from a thread until the block ends.

    Args:
        folder: it may come into being later.
        port: 0 for any that is free.

    Yields:
        The URL that the folder's files are under, without a slash at its end.

    Raises:
        OSError: the port is taken.
    """
    server = ThreadingHTTPServer((_HOST, port), partial(_FolderRequest, folder=folder.absolute()))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="wiro-gallery", daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _FolderRequest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: object, folder: Path) -> None:
        self._folder = folder
        super().__init__(*arguments)  # type: ignore[arg-type]  # as socketserver calls it

    def do_GET(self) -> None:
        """Sends a file, or a part of it."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Sends what is known of a file."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keeps quiet: it runs beside Dagster's own log."""

    def _answer(self, *, with_body: bool) -> None:
        path = self._find_file()
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            with path.open("rb") as file:
                self._send(file, path, with_body=with_body)
        except OSError:
            self.close_connection = True  # the browser has seen enough, or the file has gone

    def _find_file(self) -> Path | None:
        # A page elsewhere could point a name of its own at this machine and read along.
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if host not in {_HOST, "localhost"}:
            return None
        try:
            key = check_key(unquote(urlsplit(self.path).path).lstrip("/"))
        except StoreError:
            return None
        path = (self._folder / key).resolve()
        is_inside = path.is_relative_to(self._folder.resolve())
        return path if is_inside and path.is_file() else None

    def _send(self, file: BinaryIO, path: Path, *, with_body: bool) -> None:
        size_bytes = path.stat().st_size
        wanted = _wanted_part(self.headers.get("Range"), size_bytes)
        first, last = wanted or (0, size_bytes - 1)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind == "text/html" else kind)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size_bytes}")
        self.end_headers()
        if not with_body:
            return
        file.seek(first)
        left = last - first + 1
        while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
            self.wfile.write(chunk)
            left -= len(chunk)


def _wanted_part(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """First and last byte that a Range header asks for; `None` for the whole file."""
    match = _RANGE.fullmatch(header or "")
    if match is None or match.group(0) == "bytes=-":
        return None
    start, end = match.groups()
    if not start:
        return max(0, size_bytes - int(end)), size_bytes - 1
    first, last = int(start), min(int(end or size_bytes), size_bytes - 1)
    return (first, last) if first <= last else None
