"""Rules of `CloudStore`, against an emulator of Google Cloud Storage and a server like Azure's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from gcp_storage_emulator.server import create_server

from tests.support.azure_server import BlobService, azure_server
from tests.support.media_samples import write_film
from tests.support.ports import free_port
from tests.support.store_sources import Answer, MemorySource
from wiro_dagster import build_video_store
from wiro_dagster.errors import ConfigurationError, MediaError, StoreError
from wiro_dagster.resources import cloud
from wiro_dagster.resources.cloud import CloudVideoStore
from wiro_dagster.store import store_download
from wiro_dagster.store.cloud import CloudStore

BUCKET = "videos"
MEBIBYTE = 1024 * 1024
SERVICES = ("gs", "az")


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    """The URL of an emulator of Google Cloud Storage."""
    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(scope="module")
def azure() -> Iterator[BlobService]:
    with azure_server() as service:
        service.containers.add(BUCKET)
        yield service


@pytest.fixture
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How to reach the service that a test is about."""
    if request.node.callspec.params["scheme"] == "gs":
        return {"endpoint_url": request.getfixturevalue("google"), "token": "anon"}
    return {"connection_string": request.getfixturevalue("azure").connection_string}


@pytest.fixture
def store(scheme: str, options: dict[str, Any], request: pytest.FixtureRequest) -> CloudStore:
    """Each test has its own prefix."""
    prefix = hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    resource = CloudVideoStore(uri=f"{scheme}://{BUCKET}/{prefix}/", options=options)
    found = resource.get_store()
    assert isinstance(found, CloudStore)
    return found


def _keep(store: CloudStore, key: str, content: bytes, content_type: str = "video/mp4") -> str:
    with store.staging() as staged:
        staged.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return store.commit(staged, key, content_type=content_type, sha256=sha256)


@pytest.mark.parametrize("scheme", SERVICES)
def test_a_committed_object_is_there(store: CloudStore, scheme: str) -> None:
    """With its bytes and size; a second commit replaces it; another key is empty."""
    _keep(store, "日の出.mp4", b"old")
    uri = _keep(store, "日の出.mp4", b"film")
    assert uri == store.uri_for("日の出.mp4") == f"{scheme}://{store.root}/日の出.mp4"
    assert store.find_size("日の出.mp4") == 4
    assert store.find_size("none.mp4") is None
    with store.local_copy("日の出.mp4") as path:
        assert (path.read_bytes(), path.suffix) == (b"film", ".mp4")
    assert not path.exists()


@pytest.mark.parametrize("scheme", SERVICES)
def test_a_large_file_arrives_whole(store: CloudStore, scheme: str) -> None:
    """In pieces or not."""
    content = os.urandom(6 * MEBIBYTE)
    _keep(store, "a.zip", content)
    with store.local_copy("a.zip") as path:
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("scheme", SERVICES)
def test_a_delivery_is_stored(store: CloudStore, scheme: str, tmp_path: Path) -> None:
    """As in a folder or in S3; the second attempt downloads nothing."""
    film = write_film(tmp_path / "film.mp4").read_bytes()
    source = MemorySource(Answer(film, len(film), "video/mp4"))
    first, again = (
        store_download(source, "https://x", store, "f", content_type="video/mp4") for _ in range(2)
    )
    assert (first.key, again.sha256, len(source.urls)) == ("f.mp4", first.sha256, 1)


@pytest.mark.parametrize("scheme", SERVICES)
def test_an_object_that_was_replaced_behind_our_back_is_noticed(
    store: CloudStore, scheme: str
) -> None:
    """The MD5 that the service states is not that of the bytes."""
    _keep(store, "a.mp4", b"film")
    files = store._files

    class Replaced:
        def __getattr__(self, name: str) -> Any:
            return getattr(files, name)

        def info(self, path: str) -> dict[str, Any]:
            other = {"md5Hash": "AAAA", "content_settings": {"content_md5": b"other"}}
            return {**files.info(path), **other}

    lying = CloudStore(Replaced(), scheme, store.root)
    with pytest.raises(MediaError, match="size or MD5 differs"), lying.local_copy("a.mp4"):
        pass
    with pytest.raises(StoreError, match="does not show it as it was sent"):
        _keep(lying, "a.mp4", b"film")


def test_types_are_known_ones_and_active_content_is_an_attachment(
    azure: BlobService, google: str
) -> None:
    """On both services; metadata goes along where the service takes it."""
    az = CloudVideoStore(
        uri=f"az://{BUCKET}/t", options={"connection_string": azure.connection_string}
    ).get_store()
    gs = CloudVideoStore(
        uri=f"gs://{BUCKET}/t", options={"endpoint_url": google, "token": "anon"}
    ).get_store()
    assert isinstance(az, CloudStore)
    assert isinstance(gs, CloudStore)
    octets = "application/octet-stream"
    for store in (az, gs):
        _keep(store, "a.svg", b"<svg/>", "image/svg+xml")
        _keep(store, "b.mp4", b"film", "video/mp4\r\nx: y")
    assert azure.blobs[f"{BUCKET}/t/a.svg"].headers["Content-Disposition"] == "attachment"
    assert azure.blobs[f"{BUCKET}/t/b.mp4"].headers["Content-Type"] == octets
    found = gs._files.info(f"{BUCKET}/t/b.mp4")
    assert found["contentType"] == octets
    assert found["metadata"]["sha256"] == hashlib.sha256(b"film").hexdigest()


@pytest.mark.parametrize("scheme", SERVICES)
def test_what_is_gone_is_said(store: CloudStore, scheme: str) -> None:
    """As a `StoreError` with the next step."""
    gone = pytest.raises(StoreError, match=r"is gone\. Order its prompt again")
    with gone, store.local_copy("a.mp4"):
        pass


@pytest.mark.parametrize("scheme", SERVICES)
def test_a_bucket_that_is_missing_is_a_fault_of_configuration(
    scheme: str, options: dict[str, Any]
) -> None:
    """Buying pauses, and everything goes on once it is there."""
    lost = CloudVideoStore(uri=f"{scheme}://nowhere/p", options=options).get_store()
    assert isinstance(lost, CloudStore)
    with pytest.raises(StoreError, match=r"could not be uploaded to .*nowhere") as caught:
        _keep(lost, "a.mp4", b"film")
    assert caught.value.is_configuration


def test_credentials_that_are_refused_are_a_fault_of_configuration(azure: BlobService) -> None:
    """As for S3."""
    store = CloudVideoStore(
        uri=f"az://{BUCKET}/r", options={"connection_string": azure.connection_string}
    ).get_store()
    azure.refuses = True
    try:
        with pytest.raises(StoreError) as caught:
            store.find_size("a.mp4")
    finally:
        azure.refuses = False
    assert caught.value.is_configuration


def test_azure_signs_links_and_google_does_with_a_key_only(azure: BlobService, google: str) -> None:
    """A link needs no credentials; without a key to sign with there is none."""
    az = CloudVideoStore(
        uri=f"az://{BUCKET}/l", options={"connection_string": azure.connection_string}
    ).get_store()
    gs = CloudVideoStore(
        uri=f"gs://{BUCKET}/l", options={"endpoint_url": google, "token": "anon"}
    ).get_store()
    assert isinstance(az, CloudStore)
    _keep(az, "a b.mp4", b"film")
    link = az.view_url("a b.mp4", expires_seconds=60)
    assert link is not None
    assert "sig=" in link
    here = link.replace("https://", "http://")  # the library links to https only
    assert requests.get(here, timeout=60).content == b"film"
    assert gs.view_url("a.mp4") is None


@pytest.mark.parametrize("uri", ["gs://", "az:///prefix", "gs:bucket"])
def test_a_uri_without_a_bucket_is_refused(uri: str) -> None:
    """With how to write it."""
    with pytest.raises(ConfigurationError, match="az://container/prefix"):
        CloudVideoStore(uri=uri).get_store()


def test_places_are_named_by_their_uri() -> None:
    """`WIRO_VIDEO_STORE=gs://…` or `az://…` is all it takes; options never show."""
    found = build_video_store("gs://media/videos")
    assert isinstance(found, CloudVideoStore)
    assert "secret" not in repr(CloudVideoStore(uri="az://a/b", options={"account_key": "secret"}))


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the project is defined, not in a tick."""
    monkeypatch.setattr(cloud, "_SCHEMES", {"gs": ("no_such_module", "gcs")})
    with pytest.raises(ConfigurationError, match=r'pip install "wiro-dagster\[gcs\]"'):
        build_video_store("gs://media/videos")
