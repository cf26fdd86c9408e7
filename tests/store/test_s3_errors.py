"""Rules of `S3Store`'s errors: S3's reason, the next step, and no secret."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.config import Config

from wiro_dagster.errors import StoreError
from wiro_dagster.store.s3 import S3Store

BUCKET = "videos"
KEYS: dict[str, Any] = {
    "aws_access_key_id": "testing",
    "aws_secret_access_key": "a-secret-of-the-tests",
}


def _keep(store: S3Store, key: str, content: bytes) -> str:
    with store.staging() as staged:
        staged.write_bytes(content)
        return store.commit(staged, key, content_type="video/mp4", sha256="")


class _Refusing(BaseHTTPRequestHandler):
    """Answers everything with the error that its path names, as in /bucket/STATUS-CODE/key."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        status, _, code = self.path.split("/")[2].partition("-")
        body = f"<Error><Code>{code}</Code><Message>because</Message></Error>".encode()
        self.send_response(int(status))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = _answer  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _client_of(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=2,
            read_timeout=2,
            s3={"addressing_style": "path"},
        ),
        **KEYS,
    )


@pytest.mark.parametrize(
    ("error", "message", "is_configuration"),
    [
        ("404-NoSuchBucket", "Create the bucket", True),
        ("403-AccessDenied", "Give the client's user s3:PutObject", True),
        ("403-SignatureDoesNotMatch", "Correct the secret key", True),
        ("400-ExpiredToken", "Renew the session's credentials", True),
        ("503-SlowDown", "This may pass; it will be tried again", False),
        ("500-InternalError", "This may pass; it will be tried again", False),
        ("400-Strange", "Check the store's settings", False),
    ],
)
def test_an_error_of_s3_says_what_to_do(
    refusing: str, error: str, message: str, is_configuration: bool
) -> None:
    """The file, the place, S3's reason, and the next step; no secret."""
    store = S3Store(_client_of(refusing), BUCKET, error)
    with pytest.raises(StoreError) as caught:
        _keep(store, "a.mp4", b"film")
    text = str(caught.value)
    assert text.startswith(f"a.mp4 could not be uploaded to s3://{BUCKET}/{error}: because")
    assert message in text
    assert caught.value.is_configuration is is_configuration
    assert "a-secret-of-the-tests" not in text


def test_a_forbidden_look_up_is_no_missing_file(refusing: str) -> None:
    """Without the right to list, S3 forbids what is only missing: that must not pass for either."""
    store = S3Store(_client_of(refusing), BUCKET, "403-AccessDenied")
    with pytest.raises(StoreError, match="s3:ListBucket"):
        store.find_size("a.mp4")


def test_a_service_that_is_away_is_an_error_that_may_pass() -> None:
    """Nobody listens there."""
    store = S3Store(_client_of("http://127.0.0.1:9"), BUCKET, "p")
    for door in (store.find_size, lambda key: _keep(store, key, b"film")):
        with pytest.raises(StoreError, match="This may pass"):
            door("a.mp4")


def test_missing_credentials_are_named(refusing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the call nor the signed URL works without."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    bare = boto3.session.Session().client("s3", endpoint_url=refusing, region_name="us-east-1")
    store = S3Store(bare, BUCKET, "p")
    for door in (store.find_size, store.view_url):
        with pytest.raises(StoreError, match="Configure the S3 client's credentials"):
            door("a.mp4")
