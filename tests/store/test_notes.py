"""Rules of notes, the same for each store: small, whole, and never in anybody's way."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from dagster_aws.s3 import S3Resource
from fsspec.implementations.memory import MemoryFileSystem

from wiro_dagster.errors import StoreError
from wiro_dagster.store import FolderStore, VideoStore
from wiro_dagster.store.cloud import CloudStore
from wiro_dagster.store.s3 import S3Store

BUCKET = "notes"


@pytest.fixture(params=["folder", "s3", "fsspec"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> VideoStore:
    """Each kind of store, empty."""
    if request.param == "folder":
        return FolderStore(tmp_path / "videos")
    if request.param == "fsspec":
        return CloudStore(MemoryFileSystem(), "memory", f"notes-{tmp_path.name}")
    return S3Store(_client(request), BUCKET, request.node.name, temporary_folder=tmp_path)


def _client(request: pytest.FixtureRequest) -> Any:
    client = S3Resource(
        endpoint_url=request.getfixturevalue("s3_endpoint"),
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="a-secret-of-the-tests",
    ).get_client()
    client.create_bucket(Bucket=BUCKET)
    return client


def _damage(store: VideoStore, name: str, content: bytes) -> None:
    """Write bytes in a note's place, as another program may."""
    if isinstance(store, FolderStore):
        (store.root / ".wiro/notes" / f"{name}.json").write_bytes(content)
        return
    if isinstance(store, CloudStore):
        store._files.pipe_file(f"{store.root}/.wiro/notes/{name}.json", content)
        return
    assert isinstance(store, S3Store)
    key = f"{store.prefix}/.wiro/notes/{name}.json"
    store._client.put_object(Bucket=BUCKET, Key=key, Body=content)


def test_a_note_comes_back_as_it_was_written(store: VideoStore) -> None:
    """Also with text of every script; the newest counts."""
    store.write_note("orders/42", {"prompt": "first"})
    store.write_note("orders/42", {"prompt": "日の出\n", "cost": "0.25", "files": [1, None]})
    assert store.read_note("orders/42") == {
        "prompt": "日の出\n",
        "cost": "0.25",
        "files": [1, None],
    }


def test_a_note_that_was_never_written_is_none(store: VideoStore) -> None:
    """Absence is not an error, in a new store neither."""
    assert store.read_note("orders/42") is None
    assert list(store.list_notes()) == []
    assert list(store.list_notes("orders/")) == []


def test_notes_are_listed_by_prefix(store: VideoStore) -> None:
    """In order of their names, from all folders."""
    for name in ("orders/2", "orders/10", "orders/1", "ledger", "old/orders/1"):
        store.write_note(name, {})
    assert list(store.list_notes("orders/")) == ["orders/1", "orders/10", "orders/2"]
    assert list(store.list_notes("orders/1")) == ["orders/1", "orders/10"]
    assert list(store.list_notes()) == [
        "ledger",
        "old/orders/1",
        "orders/1",
        "orders/10",
        "orders/2",
    ]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[1]", b"null", b"[" * 60_000, b'{"a": "' + b"x" * 70_000]
)
def test_a_note_that_cannot_be_read_counts_as_missing(
    store: VideoStore, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names it, and it can be written again."""
    store.write_note("ledger", {"sequence": 1})
    _damage(store, "ledger", content)
    with caplog.at_level(logging.WARNING):
        assert store.read_note("ledger") is None
    assert ".wiro/notes/ledger.json is not a readable note" in caplog.text
    store.write_note("ledger", {"sequence": 2})
    assert store.read_note("ledger") == {"sequence": 2}


def test_a_note_is_small(store: VideoStore) -> None:
    """What would take more than 64 KB is refused before anything is written."""
    with pytest.raises(StoreError, match="Write less into it"):
        store.write_note("ledger", {"text": "x" * 65_536})
    assert store.read_note("ledger") is None


@pytest.mark.parametrize("name", ["", "../ledger", "/etc/passwd", "a//b", ".hidden", "a\nb"])
def test_no_name_leaves_the_notes(store: VideoStore, name: str) -> None:
    """Reading and writing check the name."""
    with pytest.raises(StoreError, match="not a safe file name"):
        store.write_note(name, {})
    with pytest.raises(StoreError, match="not a safe file name"):
        store.read_note(name)


def test_notes_are_not_files(store: VideoStore) -> None:
    """No key of a file reaches a note."""
    store.write_note("ledger", {})
    with pytest.raises(StoreError):
        store.find_size(".wiro/notes/ledger.json")


def test_a_reader_never_sees_half_a_note(tmp_path: Path) -> None:
    """While a note is replaced, a reader gets the old or the new one."""
    store = FolderStore(tmp_path)
    store.write_note("ledger", {"text": "a" * 50_000})
    seen: list[Any] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(store.read_note("ledger"))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(40):
        store.write_note("ledger", {"text": "ab"[turn % 2] * 50_000})
    done.set()
    reader.join()
    assert None not in seen


def test_a_store_that_cannot_be_reached_is_an_error(tmp_path: Path) -> None:
    """A file where the folder should be: nothing can be written, and the error says so."""
    (tmp_path / "videos").write_text("a file")
    store = FolderStore(tmp_path / "videos")
    with pytest.raises(StoreError, match="prepared for a new file"):
        store.write_note("ledger", {})
    assert store.read_note("ledger") is None
