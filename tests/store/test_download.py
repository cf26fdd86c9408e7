"""Rules of the way into a store: whole, as announced, decodable, and fetched only once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.support.media_samples import write_film, write_sound
from tests.support.store_sources import Answer, MemorySource
from wiro_dagster.errors import DownloadError, MediaError, StoreError
from wiro_dagster.media import MediaFacts
from wiro_dagster.store import FolderStore, StoredFile, store_download, store_text

URL = "https://cdn.wiro.ai/x/0.mp4"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4").read_bytes()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "videos")


def _kept(store: FolderStore) -> list[str]:
    return sorted(path.name for path in store.root.rglob("*") if path.is_file())


def _fetch(
    store: FolderStore, answer: Answer, *, size_bytes: int | None = None, max_bytes: int = 10**9
) -> StoredFile:
    return store_download(
        MemorySource(answer),
        URL,
        store,
        "sunrise-1",
        content_type="video/mp4",
        size_bytes=size_bytes,
        max_bytes=max_bytes,
    )


def test_a_file_is_stored_with_all_its_facts(store: FolderStore, film: bytes) -> None:
    """Key, place, size, hash, type and what decoding showed."""
    stored = _fetch(store, Answer(film, len(film)), size_bytes=len(film))
    assert stored == StoredFile(
        key="sunrise-1.mp4",
        uri=(store.root / "sunrise-1.mp4").as_uri(),
        size_bytes=len(film),
        sha256=hashlib.sha256(film).hexdigest(),
        content_type="video/mp4",
        media=MediaFacts("video", 1.0, 64, 36, 24, "h264"),
    )
    assert (store.root / stored.key).read_bytes() == film
    assert StoredFile.from_json(stored.to_json()) == stored


def test_lengths_need_not_be_announced(store: FolderStore, film: bytes) -> None:
    """Without Content-Length and without Wiro's size, decoding decides."""
    assert _fetch(store, Answer(film)).size_bytes == len(film)


@pytest.mark.parametrize(
    ("content_length", "size_bytes", "message"),
    [
        (-1, None, "incomplete: .* its server announced"),
        (1, None, "incomplete: .* its server announced"),
        (None, -1, "incomplete: .* Wiro announced"),
        (None, 1, "incomplete: .* Wiro announced"),
        (0, 1, "not the one that was announced: Wiro says"),
    ],
)
def test_another_size_than_announced_is_refused(
    store: FolderStore,
    film: bytes,
    content_length: int | None,
    size_bytes: int | None,
    message: str,
) -> None:
    """The transport and Wiro both promise a size; each promise must be kept to the byte."""
    length = None if content_length is None else len(film) + content_length
    announced = None if size_bytes is None else len(film) + size_bytes
    with pytest.raises(DownloadError, match=message) as caught:
        _fetch(store, Answer(film, length), size_bytes=announced)
    assert not caught.value.is_final
    assert _kept(store) == []


def test_a_download_that_breaks_off_leaves_nothing(store: FolderStore, film: bytes) -> None:
    """The half that came is removed."""
    with pytest.raises(DownloadError, match="broke off"):
        _fetch(store, Answer(film * 9, breaks_after=20_000))
    assert _kept(store) == []


def test_what_does_not_decode_is_not_kept(store: FolderStore, film: bytes) -> None:
    """A file of the right size with the wrong content."""
    page = b"<html>Sorry</html>".ljust(len(film))
    with pytest.raises(MediaError, match="web page"):
        _fetch(store, Answer(page, len(film)), size_bytes=len(film))
    with pytest.raises(MediaError):
        _fetch(store, Answer(film[: len(film) // 2]))
    with pytest.raises(MediaError, match="empty"):
        _fetch(store, Answer(b""))
    assert _kept(store) == []


@pytest.mark.parametrize(
    ("announced_by", "limit"), [("wiro", 100), ("server", 100), ("nobody", 100)]
)
def test_too_large_a_file_is_refused_for_good(
    store: FolderStore, film: bytes, announced_by: str, limit: int
) -> None:
    """As early as the size is known: before asking, before reading, or while reading."""
    source = MemorySource(Answer(film, len(film) if announced_by == "server" else None))
    with pytest.raises(DownloadError, match="larger than allowed") as caught:
        store_download(
            source,
            URL,
            store,
            "sunrise-1",
            content_type="video/mp4",
            size_bytes=len(film) if announced_by == "wiro" else None,
            max_bytes=limit,
        )
    assert caught.value.is_final
    assert len(source.urls) == (0 if announced_by == "wiro" else 1)
    assert _kept(store) == []


def test_a_stored_file_is_not_downloaded_again(store: FolderStore, film: bytes) -> None:
    """A second attempt reads it back, and gives the same facts."""
    first = _fetch(store, Answer(film, len(film)), size_bytes=len(film))
    source = MemorySource(Answer(film, breaks_after=0))
    again = store_download(
        source, URL, store, "sunrise-1", content_type="video/mp4", size_bytes=len(film)
    )
    assert again == first
    assert source.urls == []


@pytest.mark.parametrize("damage", ["cut", "garbled"])
def test_a_stored_file_that_is_damaged_is_downloaded_again(
    store: FolderStore, film: bytes, damage: str
) -> None:
    """Being there is not enough: it must have the size, and decode."""
    store.root.mkdir(parents=True)
    spoilt = film[:-5] if damage == "cut" else bytes(len(film))
    (store.root / "sunrise-1.mp4").write_bytes(spoilt)
    _fetch(store, Answer(film, len(film)), size_bytes=len(film))
    assert (store.root / "sunrise-1.mp4").read_bytes() == film


@pytest.mark.parametrize(
    ("announced", "transport", "suffix"),
    [
        ("video/mp4", "application/octet-stream", ".mp4"),
        ("application/octet-stream", "video/mp4", ".mp4"),
        (None, "video/mp4", ".mp4"),
        (None, None, ".mp4"),
    ],
)
def test_the_suffix_is_that_of_the_better_informed(
    store: FolderStore, film: bytes, announced: str | None, transport: str | None, suffix: str
) -> None:
    """Wiro's type, else the server's, else what the file holds; never the URL's ending."""
    source = MemorySource(Answer(film, content_type=transport))
    url = "https://cdn.wiro.ai/x/evil.exe"
    stored = store_download(source, url, store, "sunrise-1", content_type=announced)
    assert stored.key == f"sunrise-1{suffix}"


def test_images_sounds_and_other_files_are_stored_too(store: FolderStore, tmp_path: Path) -> None:
    """Each verified in its own way, under a suffix of its own."""
    Image.new("RGB", (40, 20)).save(tmp_path / "image", format="jpeg")
    write_sound(tmp_path / "sound", codec="libmp3lame", file_format="mp3")
    (tmp_path / "model").write_bytes(b"glTF")
    found = {}
    for name in ("image", "sound", "model"):
        answer = Answer((tmp_path / name).read_bytes(), content_type=None)
        found[name] = store_download(MemorySource(answer), URL, store, name)
    keys = [stored.key for stored in found.values()]
    assert keys == ["image.jpg", "sound.mp3", "model.bin"]
    assert [stored.media.kind for stored in found.values()] == ["image", "audio", "file"]


def test_text_of_a_language_model_is_stored(store: FolderStore) -> None:
    """As UTF-8, half characters included; twice is fine."""
    text = "Ein schöner Tag \ud83c"
    stored = store_text(text, store, "answer-1")
    assert stored.key == "answer-1.txt"
    assert (store.root / stored.key).read_text(encoding="utf-8") == "Ein schöner Tag \\ud83c"
    assert stored.size_bytes == (store.root / stored.key).stat().st_size
    assert store_text(text, store, "answer-1") == stored
    assert store_text("{}", store, "a", content_type="application/json").key == "a.json"


def test_no_text_at_all_is_an_error(store: FolderStore) -> None:
    """An empty answer was not what was paid for."""
    with pytest.raises(MediaError, match="empty"):
        store_text("", store, "answer-1")


class FullDisk(FolderStore):
    """A folder on a disk without room."""

    @contextmanager
    def staging(self) -> Iterator[Path]:
        with super().staging() as staged:
            staged.symlink_to("/dev/full")
            yield staged


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_reported_with_what_is_free(tmp_path: Path, film: bytes) -> None:
    """The error names the place, the reason, the room left, and the way out."""
    store = FullDisk(tmp_path / "videos")
    with pytest.raises(StoreError, match=r"No space left.*MB are free.*Make room"):
        _fetch(store, Answer(film * 50))
    with pytest.raises(StoreError, match="No space left"):
        store_text("some text", store, "answer-1")
    assert _kept(store) == []


def test_network_errors_are_not_taken_for_the_disks(store: FolderStore) -> None:
    """Both are operating system errors; only the disk's is the store's."""

    class Broken(Answer):
        def chunks(self) -> Iterator[bytes]:
            yield b"a"
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        _fetch(store, Broken(b""))


def test_outputs_of_one_task_do_not_disturb_each_other(store: FolderStore, film: bytes) -> None:
    """Two files of the same content under two keys are two files."""
    answer = Answer(film)
    first = store_download(MemorySource(answer), URL, store, "a", content_type="video/mp4")
    second = store_download(MemorySource(answer), URL, store, "a-2", content_type="video/mp4")
    assert replace(second, key=first.key, uri=first.uri) == first
    assert _kept(store) == ["a-2.mp4", "a.mp4"]
