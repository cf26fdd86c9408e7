"""Rules of `S3Store`, against a server that speaks S3 over HTTP."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from dagster_aws.s3 import S3Resource

from tests.support.media_samples import write_film
from tests.support.store_sources import Answer, MemorySource
from wiro_dagster.errors import MediaError, StoreError
from wiro_dagster.store import store_download, store_text
from wiro_dagster.store.s3 import S3Store

MEBIBYTE = 1024 * 1024
BUCKET = "videos"
KEYS: dict[str, Any] = {
    "aws_access_key_id": "testing",
    "aws_secret_access_key": "a-secret-of-the-tests",
}


@pytest.fixture
def client(s3_endpoint: str) -> Any:
    """As a Dagster project makes it."""
    resource = S3Resource(endpoint_url=s3_endpoint, region_name="us-east-1", **KEYS)
    client = resource.get_client()
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def store(client: Any, request: pytest.FixtureRequest, tmp_path: Path) -> S3Store:
    """Each test has its own prefix, and a temporary folder to look into."""
    return S3Store(
        client,
        BUCKET,
        f"/{request.node.name}/",
        part_bytes=5 * MEBIBYTE,
        temporary_folder=tmp_path,
    )


def _keep(store: S3Store, key: str, content: bytes) -> str:
    with store.staging() as staged:
        staged.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return store.commit(staged, key, content_type="video/mp4", sha256=sha256)


def _head(client: Any, store: S3Store, key: str) -> Any:
    return client.head_object(Bucket=BUCKET, Key=f"{store.prefix}/{key}", ChecksumMode="ENABLED")


def test_a_committed_object_is_there(store: S3Store, client: Any) -> None:
    """Its bytes, size, type and hash are those that were committed."""
    uri = _keep(store, "a.mp4", b"film")
    assert uri == store.uri_for("a.mp4") == f"s3://{BUCKET}/{store.prefix}/a.mp4"
    assert store.find_size("a.mp4") == 4
    assert _head(client, store, "a.mp4")["ContentType"] == "video/mp4"
    with store.local_copy("a.mp4") as path:
        assert path.read_bytes() == b"film"
        assert path.suffix == ".mp4"
    assert not path.exists()


def test_s3_is_given_a_checksum_to_verify(store: S3Store, client: Any) -> None:
    """The SHA-256 of the whole goes along in the metadata, and S3 verifies what arrives."""
    _keep(store, "a.mp4", b"film")
    kept = _head(client, store, "a.mp4")
    sha256 = hashlib.sha256(b"film")
    assert kept["Metadata"] == {"sha256": sha256.hexdigest()}
    assert kept["ChecksumSHA256"] == base64.b64encode(sha256.digest()).decode()


def test_a_large_file_goes_in_parts(store: S3Store, client: Any) -> None:
    """Parts are uploaded one by one and come back as one file."""
    content = os.urandom(12 * MEBIBYTE)
    _keep(store, "a.zip", content)
    assert _head(client, store, "a.zip")["ETag"].endswith('-3"')
    with store.local_copy("a.zip") as path:
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()


def test_encryption_and_storage_class_are_asked_for(client: Any, tmp_path: Path) -> None:
    """A key implies KMS; both hold for whole files and for parts."""
    store = S3Store(
        client,
        BUCKET,
        "options",
        kms_key_id="key-1",
        storage_class="STANDARD_IA",
        part_bytes=5 * MEBIBYTE,
        temporary_folder=tmp_path,
    )
    for key, size_bytes in (("small.mp4", 10), ("large.mp4", 6 * MEBIBYTE)):
        _keep(store, key, bytes(size_bytes))
        kept = _head(client, store, key)
        assert kept["ServerSideEncryption"] == "aws:kms"
        assert kept["SSEKMSKeyId"] == "key-1"
        assert kept["StorageClass"] == "STANDARD_IA"
    plain = S3Store(client, BUCKET, "options", server_side_encryption="AES256")
    _keep(plain, "b.mp4", b"film")
    assert _head(client, plain, "b.mp4")["ServerSideEncryption"] == "AES256"


def test_a_signed_url_shows_the_file_to_a_browser(store: S3Store) -> None:
    """Without credentials, with its type, for a limited time."""
    _keep(store, "日の出.mp4", b"film")
    url = store.view_url("日の出.mp4", expires_seconds=60)
    assert url is not None
    answer = requests.get(url, timeout=60)
    assert (answer.content, answer.headers["Content-Type"]) == (b"film", "video/mp4")
    assert "a-secret-of-the-tests" not in url


def test_a_store_without_prefix_uses_the_whole_bucket(client: Any) -> None:
    """Keys stand by themselves then."""
    store = S3Store(client, BUCKET)
    assert _keep(store, "a.mp4", b"film") == f"s3://{BUCKET}/a.mp4"


@pytest.mark.parametrize("key", ["../a.mp4", "/a", "a//b", "", "a\\b"])
def test_no_key_leaves_the_prefix(store: S3Store, key: str) -> None:
    """Every door checks the key."""
    for door in (store.find_size, store.uri_for, store.view_url):
        with pytest.raises(StoreError, match="not a safe file name"):
            door(key)
    with pytest.raises(StoreError, match="not a safe file name"):
        _keep(store, key, b"film")


def test_staged_files_are_removed_in_the_end(store: S3Store, tmp_path: Path) -> None:
    """Also after an error; and what a dead process left is removed a day later."""
    left = tmp_path / "wiro-dagster-staging-left"
    left.mkdir()
    yesterday = time.time() - 25 * 3600
    os.utime(left, (yesterday, yesterday))
    with pytest.raises(StoreError), store.staging() as staged:
        store.commit(staged.parent / "nothing", "../a", content_type=None, sha256="")
    assert list(tmp_path.iterdir()) == []


def test_a_film_goes_from_wiro_to_s3_verified(store: S3Store, tmp_path: Path) -> None:
    """The same way in as for a folder; a second attempt downloads nothing."""
    film = write_film(tmp_path / "film.mp4").read_bytes()
    source = MemorySource(Answer(film, len(film)))
    first, again = (
        store_download(
            source, "u", store, "sunrise-1", content_type="video/mp4", size_bytes=len(film)
        )
        for _ in range(2)
    )
    assert first == again
    assert first.uri == f"s3://{BUCKET}/{store.prefix}/sunrise-1.mp4"
    assert (first.media.kind, first.media.frame_count) == ("video", 24)
    assert len(source.urls) == 1


def test_an_object_that_was_overwritten_is_noticed(store: S3Store, client: Any) -> None:
    """Same size, other bytes: the hash of the upload tells, and the file is fetched again."""
    text = "a text that was paid for"
    stored = store_text(text, store, "answer")
    name = f"{store.prefix}/answer.txt"
    client.put_object(
        Bucket=BUCKET, Key=name, Body=b"x" * len(text), Metadata={"sha256": stored.sha256}
    )
    with pytest.raises(MediaError, match="size or SHA256 differs"), store.local_copy("answer.txt"):
        pass
    source = MemorySource(Answer(text.encode(), content_type=None))
    store_download(source, "u", store, "answer", content_type="text/plain", size_bytes=len(text))
    assert len(source.urls) == 1
    with store.local_copy("answer.txt") as path:
        assert path.read_text() == text


def test_an_object_that_others_put_there_can_be_read(store: S3Store, client: Any) -> None:
    """Without our metadata there is nothing to compare with."""
    client.put_object(Bucket=BUCKET, Key=f"{store.prefix}/b.mp4", Body=b"film")
    with store.local_copy("b.mp4") as path:
        assert path.read_bytes() == b"film"


def test_a_missing_object_is_none_and_reading_it_an_error(store: S3Store) -> None:
    """Looking is no error, reading is."""
    assert store.find_size("a.mp4") is None
    with pytest.raises(StoreError, match=r"a\.mp4 is gone"), store.local_copy("a.mp4"):
        pass


def test_a_staged_file_that_is_gone_is_an_error(store: S3Store) -> None:
    """Something else may clear up the temporary folder."""
    with store.staging() as staged, pytest.raises(StoreError, match="temporary folder"):
        store.commit(staged, "a.mp4", content_type=None, sha256="")


class Racing:
    """A client beside which somebody else writes to the same key."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def upload_file(self, path: str, bucket: str, name: str, **options: Any) -> None:
        self._client.upload_file(path, bucket, name, **options)
        self._client.put_object(Bucket=bucket, Key=name, Body=b"other")


def test_an_upload_is_looked_up_before_it_counts(client: Any) -> None:
    """What S3 shows afterwards must be what was sent."""
    store = S3Store(Racing(client), BUCKET, "racing")
    with pytest.raises(StoreError, match="does not show it as it was sent"):
        _keep(store, "a.mp4", b"film")


def test_unfinished_uploads_are_aborted(store: S3Store, client: Any) -> None:
    """Under the store's prefix, and older than asked for."""
    own, foreign = f"{store.prefix}/a.mp4", f"{store.prefix}-other/a.mp4"
    for name in (own, foreign):
        client.create_multipart_upload(Bucket=BUCKET, Key=name)
    assert store.abort_stale_uploads(older_than_seconds=10**10) == 0
    assert store.abort_stale_uploads() == 1
    left = client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert [upload["Key"] for upload in left if upload["Key"] in (own, foreign)] == [foreign]


def test_an_upload_that_fails_leaves_no_parts(store: S3Store, client: Any) -> None:
    """S3 bills parts until they are aborted."""
    client.meta.events.register("before-send.s3.UploadPart", _refuse_second_part)
    try:
        with pytest.raises(StoreError, match=r"a\.mp4 could not be uploaded"):
            _keep(store, "a.mp4", bytes(12 * MEBIBYTE))
    finally:
        client.meta.events.unregister("before-send.s3.UploadPart", _refuse_second_part)
    assert store.find_size("a.mp4") is None
    uploads = client.list_multipart_uploads(Bucket=BUCKET, Prefix=store.prefix)
    assert "Uploads" not in uploads


def _refuse_second_part(request: Any, **_: Any) -> Any:
    from botocore.awsrequest import AWSResponse

    if "partNumber=2" not in request.url:
        return None

    class Body:
        def stream(self) -> Iterator[bytes]:
            yield b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>"

    return AWSResponse(request.url, 403, {}, Body())


def test_missing_rights_to_list_uploads_do_not_stop_an_upload(store: S3Store) -> None:
    """Clearing up is a courtesy."""

    class NoListing(Racing):
        def get_paginator(self, name: str) -> Any:
            raise self._client.exceptions.ClientError(
                {"Error": {"Code": "AccessDenied", "Message": "No"}}, name
            )

        def upload_file(self, path: str, bucket: str, name: str, **options: Any) -> None:
            self._client.upload_file(path, bucket, name, **options)

    limited = S3Store(NoListing(store._client), BUCKET, "limited", part_bytes=5 * MEBIBYTE)
    _keep(limited, "a.zip", bytes(6 * MEBIBYTE))
    assert limited.find_size("a.zip") == 6 * MEBIBYTE
    with pytest.raises(StoreError, match="unfinished uploads could not be aborted"):
        limited.abort_stale_uploads()


def test_a_temporary_folder_that_is_gone_is_named(client: Any, tmp_path: Path) -> None:
    """Staging needs a place on this machine."""
    store = S3Store(client, BUCKET, temporary_folder=tmp_path / "gone")
    with pytest.raises(StoreError, match="gone could not be used for temporary files"):
        store.staging().__enter__()


def test_a_store_shows_where_it_is_and_no_secret(store: S3Store) -> None:
    """In logs, a store is its URI."""
    assert repr(store) == f"S3Store('s3://{BUCKET}/{store.prefix}')"
