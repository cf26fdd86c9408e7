"""Rules of `FolderStore`: a file is there whole or not at all, and errors say what to do."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from wiro_dagster.errors import StoreError
from wiro_dagster.store import FolderStore, VideoStore

DAY_SECONDS = 24 * 3600


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "a" / "videos")


def _keep(store: VideoStore, key: str, content: bytes) -> str:
    with store.staging() as staged:
        staged.write_bytes(content)
        return store.commit(staged, key, content_type="video/mp4", sha256="")


def test_a_committed_file_is_there(store: FolderStore) -> None:
    """Its bytes, size and URI are those that were committed."""
    uri = _keep(store, "a.mp4", b"film")
    assert uri == store.uri_for("a.mp4") == (store.root / "a.mp4").as_uri()
    assert store.find_size("a.mp4") == 4
    with store.local_copy("a.mp4") as path:
        assert path.read_bytes() == b"film"
    assert (store.root / "a.mp4").exists()


def test_making_a_store_touches_nothing(store: FolderStore) -> None:
    """The folder is made with the first file."""
    assert store.find_size("a.mp4") is None
    assert not store.root.exists()


def test_a_file_appears_only_when_committed(store: FolderStore) -> None:
    """What is being written is hidden, and on the same file system."""
    with store.staging() as staged:
        staged.write_bytes(b"half")
        assert [path.name for path in store.root.iterdir()] == [".staging"]
        assert staged.stat().st_dev == store.root.stat().st_dev
    assert list((store.root / ".staging").iterdir()) == []
    assert store.find_size("a.mp4") is None


def test_a_failed_write_leaves_nothing(store: FolderStore) -> None:
    """An error while staging takes the staged file along."""

    def fail() -> None:
        with store.staging() as staged:
            staged.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((store.root / ".staging").iterdir()) == []


def test_committing_the_same_bytes_again_changes_nothing(store: FolderStore) -> None:
    """A repeated last step is as good as one."""
    assert _keep(store, "a.mp4", b"film") == _keep(store, "a.mp4", b"film")
    assert (store.root / "a.mp4").read_bytes() == b"film"


def test_a_damaged_file_can_be_replaced(store: FolderStore) -> None:
    """The new file takes the old one's place at once."""
    _keep(store, "a.mp4", b"fi")
    _keep(store, "a.mp4", b"film")
    assert (store.root / "a.mp4").read_bytes() == b"film"


def test_a_reader_never_sees_half_a_file(store: FolderStore) -> None:
    """While a file is replaced, whoever reads it has the old or the new one."""
    contents = [bytes([letter]) * 500_000 for letter in b"ab"]
    _keep(store, "a.mp4", contents[0])
    seen = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add((store.root / "a.mp4").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(40):
        _keep(store, "a.mp4", contents[turn % 2])
    done.set()
    reader.join()
    assert seen <= set(contents)


def test_keys_may_be_in_folders(store: FolderStore) -> None:
    """Folders are made as needed."""
    _keep(store, "2026/11/a.mp4", b"film")
    assert (store.root / "2026" / "11" / "a.mp4").read_bytes() == b"film"


@pytest.mark.parametrize("key", ["../a.mp4", "/etc/passwd", "a/../../b", ".staging/x", "", "C:x"])
def test_no_key_leaves_the_folder(store: FolderStore, key: str) -> None:
    """Every door checks the key."""
    doors: list[Any] = [store.find_size, store.uri_for, store.view_url]
    doors.append(lambda key: _keep(store, key, b"film"))
    doors.append(lambda key: store.local_copy(key).__enter__())
    for door in doors:
        with pytest.raises(StoreError, match="not a safe file name"):
            door(key)


def test_old_staged_files_are_removed(store: FolderStore) -> None:
    """What a process left that died a day ago is cleared up by the next; the young stays."""
    with store.staging() as staged:
        old, young = staged.with_name("old.part"), staged.with_name("young.part")
    for path in (old, young):
        path.write_bytes(b"half")
    yesterday = time.time() - DAY_SECONDS - 60
    os.utime(old, (yesterday, yesterday))
    with FolderStore(store.root).staging():
        assert not old.exists()
        assert young.exists()


def test_files_can_be_read_by_others(store: FolderStore) -> None:
    """A gallery or web server of another user may show them: the usual rights apply."""
    _keep(store, "a.mp4", b"film")
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE((store.root / "a.mp4").stat().st_mode) == 0o666 & ~mask


def test_a_missing_file_is_reported_as_gone(store: FolderStore) -> None:
    """Reading what is not there is an error with a next step."""
    with pytest.raises(StoreError, match=r"gone\. Order its prompt again"):
        store.local_copy("a.mp4").__enter__()


def test_a_folder_in_a_files_place_is_an_error(store: FolderStore) -> None:
    """Something else under a key's name is named."""
    (store.root / "a.mp4").mkdir(parents=True)
    with pytest.raises(StoreError, match="is not a file"):
        store.find_size("a.mp4")
    with pytest.raises(StoreError, match="could not be written"):
        _keep(store, "a.mp4", b"film")


def test_a_store_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "videos").write_text("a file")
    store = FolderStore(tmp_path / "videos")
    with pytest.raises(StoreError, match=r"prepared for a new file.*Check that its drive"):
        store.staging().__enter__()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /sys")
def test_a_store_without_write_access_is_an_error() -> None:
    """Nobody can make a folder there, not even root."""
    store = FolderStore("/sys/videos")
    with pytest.raises(StoreError, match="Give this process's user write access"):
        store.staging().__enter__()


def test_a_folder_has_no_url_for_others(store: FolderStore) -> None:
    """Browsers elsewhere cannot open this machine's files."""
    assert store.view_url("a.mp4") is None


def test_a_store_shows_where_it_is(tmp_path: Path) -> None:
    """In logs, a store is its folder."""
    assert repr(FolderStore(tmp_path)) == f"FolderStore({str(tmp_path)!r})"
