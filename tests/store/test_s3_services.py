"""Rules of `S3Store` on services other than Amazon's, and of how it has files served."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
import requests

from wiro_dagster.errors import StoreError
from wiro_dagster.store.s3 import S3Store

BUCKET = "films"
MEBIBYTE = 1024 * 1024
_CHECKSUM_HEADERS = ("x-amz-sdk-checksum", "x-amz-checksum-", "x-amz-trailer")
_HOP_HEADERS = {"transfer-encoding", "connection", "content-length"}


class _WithoutChecksums(BaseHTTPRequestHandler):
    """Passes requests on to an S3 server, and refuses those with checksums of 2024 and later."""

    protocol_version = "HTTP/1.1"
    behind = ""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        unknown = [name for name in self.headers if name.lower().startswith(_CHECKSUM_HEADERS)]
        if unknown:
            self._send(400, {}, b"<Error><Code>InvalidArgument</Code><Message>no</Message></Error>")
            return
        answer = requests.request(
            self.command, self.behind + self.path, data=body, headers=dict(self.headers), timeout=10
        )
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_HEADERS}
        length = answer.headers.get("Content-Length") if self.command == "HEAD" else None
        self._send(answer.status_code, headers, answer.content, length)

    def _send(
        self, status: int, headers: dict[str, str], body: bytes, length: str | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def old_service(s3_endpoint: str, s3_client: Any) -> Iterator[str]:
    """A service that knows no checksums, with a bucket."""
    s3_client.create_bucket(Bucket=BUCKET)
    handler = type("Handler", (_WithoutChecksums,), {"behind": s3_endpoint})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _keep(store: S3Store, key: str, content: bytes, content_type: str | None = "video/mp4") -> str:
    with store.staging() as staged:
        staged.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return store.commit(staged, key, content_type=content_type, sha256=sha256)


def test_a_service_without_checksums_is_used_with_boto3s_own_switch(
    old_service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small files, files in parts, notes: all of it goes there and back."""
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    monkeypatch.setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
    client = boto3.client("s3", endpoint_url=old_service)
    store = S3Store(client, BUCKET, "ads", part_bytes=5 * MEBIBYTE)
    for key, content in (("a.mp4", b"film"), ("b.mp4", bytes(6 * MEBIBYTE))):
        _keep(store, key, content)
        with store.local_copy(key) as path:
            assert path.read_bytes() == content
    store.write_note("ledger", {"sequence": 1})
    assert store.read_note("ledger") == {"sequence": 1}
    assert list(store.list_notes()) == ["ledger"]


def test_without_the_switch_the_error_names_it(old_service: str) -> None:
    """It is a fault of configuration: nothing is given up for it."""
    store = S3Store(boto3.client("s3", endpoint_url=old_service), BUCKET, "ads")
    with pytest.raises(StoreError, match="AWS_REQUEST_CHECKSUM_CALCULATION") as caught:
        _keep(store, "a.mp4", b"film")
    assert caught.value.is_configuration


@pytest.mark.parametrize(
    ("content_type", "served", "is_attachment"),
    [
        ("video/mp4", "video/mp4", False),
        ("text/plain; charset=latin-1", "text/plain; charset=utf-8", False),
        ("text/html", "text/html; charset=utf-8", True),
        ("image/svg+xml", "image/svg+xml", True),
        ("application/xhtml+xml", "application/xhtml+xml", True),
        ("text/xml", "text/xml; charset=utf-8", True),
        ("model/obj\r\nx-amz-acl: public-read", "application/octet-stream", False),
        ("модель/obj", "application/octet-stream", False),
        ("x" * 9000, "application/octet-stream", False),
        (None, "application/octet-stream", False),
    ],
)
def test_files_are_served_as_known_types_and_pages_as_attachments(
    s3_client: Any, content_type: str | None, served: str, is_attachment: bool
) -> None:
    """A browser that opens one runs no script of a model's on the bucket's host."""
    s3_client.create_bucket(Bucket=BUCKET)
    store = S3Store(s3_client, BUCKET, "ads")
    _keep(store, "a.bin", b"content", content_type)
    kept = s3_client.head_object(Bucket=BUCKET, Key="ads/a.bin")
    assert kept["ContentType"] == served
    assert (kept.get("ContentDisposition") == "attachment") is is_attachment


def test_our_own_gallery_is_a_page(s3_client: Any) -> None:
    """Whoever opens it wants to see it."""
    s3_client.create_bucket(Bucket=BUCKET)
    store = S3Store(s3_client, BUCKET, "ads")
    for key in ("gallery.html", "ads_gallery.html"):
        _keep(store, key, b"<!doctype html>", "text/html; charset=utf-8")
        kept = s3_client.head_object(Bucket=BUCKET, Key=f"ads/{key}")
        assert kept["ContentType"] == "text/html; charset=utf-8"
        assert "ContentDisposition" not in kept
