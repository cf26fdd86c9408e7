"""A small local server that speaks enough of Azure's Blob protocol for its own client library."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"a-key-of-the-tests").decode()
_MODIFIED = "Wed, 01 Jan 2025 00:00:00 GMT"


@dataclass
class Blob:
    """One object."""

    content: bytes
    headers: dict[str, str]


@dataclass
class BlobService:
    """What the server holds, by "container/blob"."""

    port: int = 0
    containers: set[str] = field(default_factory=set)
    blobs: dict[str, Blob] = field(default_factory=dict)
    blocks: dict[tuple[str, str], bytes] = field(default_factory=dict)
    refuses: bool = False
    """Answer 403 to everything."""

    @property
    def connection_string(self) -> str:
        """As Azure's portal shows it."""
        endpoint = f"http://127.0.0.1:{self.port}/{ACCOUNT}"
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={endpoint};"
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: BlobService

    def log_message(self, *args: Any) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(30)

    def _take(self) -> tuple[str, dict[str, str], bytes]:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return unquote(parts.path).removeprefix(f"/{ACCOUNT}").strip("/"), query, body

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        length = named.pop("Content-Length", str(len(body)))
        for name, value in {
            "Content-Length": length,
            "x-ms-version": "2021-08-06",
            **named,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
        named = {"x-ms-error-code": code, "Content-Type": "application/xml"}
        self._answer(status, text.encode(), **named)

    def do_PUT(self) -> None:
        path, query, body = self._take()
        if self.service.refuses:
            return self._refuse(403, "AuthorizationFailure")
        if query.get("restype") == "container":
            self.service.containers.add(path)
        elif path.split("/")[0] not in self.service.containers:
            return self._refuse(404, "ContainerNotFound")
        elif query.get("comp") == "block":
            self.service.blocks[path, query["blockid"]] = body
        else:
            if query.get("comp") == "blocklist":
                ids = re.findall(r"<(?:Latest|Uncommitted)>([^<]+)<", body.decode())
                body = b"".join(self.service.blocks[path, block] for block in ids)
            stated = self.headers.get("x-ms-blob-content-md5")
            digest = base64.b64encode(hashlib.md5(body).digest()).decode()
            if stated and stated != digest:
                return self._refuse(400, "Md5Mismatch")
            self.service.blobs[path] = Blob(body, self._properties(stated))
        return self._answer(201, ETag='"1"', Last_Modified=_MODIFIED)

    def _properties(self, md5: str | None) -> dict[str, str]:
        kept = {
            name.removeprefix("x-ms-blob-").title(): value
            for name, value in self.headers.items()
            if name in ("x-ms-blob-content-type", "x-ms-blob-content-disposition")
        }
        meta = {name: value for name, value in self.headers.items() if name.startswith("x-ms-meta")}
        return kept | meta | ({"Content-MD5": md5} if md5 else {})

    def do_GET(self) -> None:
        path, query, _ = self._take()
        if self.service.refuses:
            return self._refuse(403, "AuthorizationFailure")
        if query.get("comp") == "list":
            return self._list(path, query)
        if query.get("restype") == "container":
            found = path in self.service.containers
            return self._answer(200) if found else self._refuse(404, "ContainerNotFound")
        blob = self.service.blobs.get(path)
        if blob is None:
            return self._refuse(404, "BlobNotFound")
        headers = {
            **blob.headers,
            "ETag": '"1"',
            "Last-Modified": _MODIFIED,
            "x-ms-blob-type": "BlockBlob",
        }
        if self.command == "HEAD":
            return self._answer(200, **headers, **{"Content-Length": str(len(blob.content))})
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("x-ms-range") or "")
        if asked is None:
            return self._answer(200, blob.content, **headers)
        start, size = int(asked[1]), len(blob.content)
        if start >= size:
            return self._refuse(416, "InvalidRange")
        end = min(int(asked[2] or size), size - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
        return self._answer(206, blob.content[start : end + 1], **headers)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _list(self, container: str, query: dict[str, str]) -> None:
        if not container:
            names = "".join(
                f"<Container><Name>{n}</Name></Container>" for n in self.service.containers
            )
            listed = f"<Containers>{names}</Containers>"
        else:
            prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
            listed = f"<Blobs>{self._entries(container, prefix, delimiter)}</Blobs>"
        body = (
            f'<?xml version="1.0"?><EnumerationResults>{listed}<NextMarker/></EnumerationResults>'
        )
        self._answer(200, body.encode(), Content_Type="application/xml")

    def _entries(self, container: str, prefix: str, delimiter: str | None) -> str:
        found: dict[str, str] = {}
        for path, blob in sorted(self.service.blobs.items()):
            name = path.removeprefix(f"{container}/")
            if name == path or not name.startswith(prefix):
                continue
            rest = name.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folder = prefix + rest.partition(delimiter)[0] + delimiter
                found[folder] = f"<BlobPrefix><Name>{escape(folder)}</Name></BlobPrefix>"
                continue
            found[name] = (
                f"<Blob><Name>{escape(name)}</Name><Properties><Content-Length>{len(blob.content)}"
                "</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
            )
        return "".join(found.values())


@contextmanager
def azure_server() -> Iterator[BlobService]:
    """Serve until the block ends."""
    service = BlobService()
    handler = type("Handler", (_Handler,), {"service": service})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    service.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
