"""Rules of the way into a store: whole, owned whatever it holds, and fetched only once."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from tests.support.media_samples import write_film, write_sound
from tests.support.store_sources import Answer, MemorySource
from wiro_dagster.errors import DownloadError, MediaError, StoreError
from wiro_dagster.media import Inspection, MediaFacts, inspect
from wiro_dagster.store import FolderStore, StoredFile, store_download, store_text

URL = "https://cdn.wiro.ai/x/0.mp4"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4").read_bytes()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "videos")


def _kept(store: FolderStore) -> list[str]:
    files = (path.relative_to(store.root) for path in store.root.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if not str(path).startswith(".wiro/"))


def _fetch(
    store: FolderStore,
    answer: Answer,
    *,
    size_bytes: int | None = None,
    max_bytes: int = 10**9,
    key_base: str = "sunrise-1",
) -> StoredFile:
    return store_download(
        MemorySource(answer),
        URL,
        store,
        key_base,
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


@pytest.mark.parametrize("content_length", [-1, 1])
def test_what_is_not_as_long_as_its_server_says_is_cut(
    store: FolderStore, film: bytes, content_length: int
) -> None:
    """The transport promises a length, and it must be kept to the byte."""
    with pytest.raises(DownloadError, match=r"incomplete: .* its server announced") as caught:
        _fetch(store, Answer(film, len(film) + content_length), size_bytes=len(film))
    assert not caught.value.is_final
    assert _kept(store) == []


def test_a_wrong_announcement_is_believed_until_the_same_bytes_come_twice(
    store: FolderStore, film: bytes
) -> None:
    """Wiro may announce the size before its CDN rewrites the file."""
    announced = len(film) - 137
    with pytest.raises(DownloadError, match="fetched again to be sure"):
        _fetch(store, Answer(film, len(film)), size_bytes=announced)
    stored = _fetch(store, Answer(film, len(film)), size_bytes=announced)
    assert (stored.size_bytes, stored.problem) == (len(film), None)
    assert (store.root / stored.key).read_bytes() == film


def test_a_size_of_zero_is_no_announcement(store: FolderStore, film: bytes) -> None:
    """Nobody is made to wait for it."""
    assert _fetch(store, Answer(film, len(film)), size_bytes=0).size_bytes == len(film)


@pytest.mark.parametrize("cut", [1, 600, 996])
def test_a_film_that_announces_more_bytes_than_came_is_fetched_again(
    store: FolderStore, film: bytes, cut: int
) -> None:
    """Neither Wiro nor its server says how long it is, and all its frames are there."""
    padded = film + (1000).to_bytes(4, "big") + b"free" + bytes(992)
    with pytest.raises(DownloadError, match="more bytes"):
        _fetch(store, Answer(padded[:-cut]))
    assert _fetch(store, Answer(padded)).size_bytes == len(padded)
    assert _fetch(store, Answer(padded[:-cut])).size_bytes == len(padded)


def test_a_film_that_is_cut_at_its_source_is_owned(store: FolderStore, film: bytes) -> None:
    """The same bytes come four times, as two downloads may well be cut alike; or Wiro says so."""
    cut = film + (1000).to_bytes(4, "big") + b"free"
    assert _fetch(store, Answer(cut), size_bytes=len(cut)).problem is None
    other = cut + bytes(3)
    for _ in range(3):
        with pytest.raises(DownloadError, match="more bytes"):
            _fetch(store, Answer(other), key_base="dusk-2")
    assert _fetch(store, Answer(other), key_base="dusk-2").size_bytes == len(other)


def test_a_file_that_is_damaged_at_its_source_is_owned(store: FolderStore, film: bytes) -> None:
    """The same bytes twice: nobody has others. What is wrong with it is told."""
    damaged = film[:400] + bytes(600) + film[1000:]
    with pytest.raises(DownloadError, match="fetched again to be sure"):
        _fetch(store, Answer(damaged, len(damaged)), size_bytes=len(damaged))
    stored = _fetch(store, Answer(damaged, len(damaged)), size_bytes=len(damaged))
    assert stored.problem
    assert (store.root / stored.key).read_bytes() == damaged
    assert StoredFile.from_json(stored.to_json()) == stored


def test_a_file_that_was_damaged_on_its_way_gives_way_to_the_whole_one(
    store: FolderStore, film: bytes
) -> None:
    """The next try brings other bytes, and nothing is wrong with them."""
    damaged = film[:400] + bytes(600) + film[1000:]
    with pytest.raises(DownloadError, match="fetched again"):
        _fetch(store, Answer(damaged), size_bytes=len(film))
    stored = _fetch(store, Answer(film), size_bytes=len(film))
    assert stored.problem is None
    assert (store.root / stored.key).read_bytes() == film


@pytest.mark.parametrize("kind", ["cut", "short", "unknown"])
def test_what_is_unlikely_must_come_more_often(store: FolderStore, film: bytes, kind: str) -> None:
    """Too few bytes: a CDN may still be filling up. No media at all: it may be another file."""
    body = {"cut": film[: len(film) * 2 // 3], "short": film, "unknown": b"\x01\xff" * 1000}[kind]
    announced = len(body) + 1000 * (kind != "unknown")
    for _ in range(3):
        with pytest.raises(DownloadError, match="fetched again"):
            _fetch(store, Answer(body, len(body)), size_bytes=announced)
    stored = _fetch(store, Answer(body, len(body)), size_bytes=announced)
    assert (store.root / stored.key).read_bytes() == body
    assert stored.key == ("sunrise-1.bin" if kind == "unknown" else "sunrise-1.mp4")
    assert (stored.problem is None) is (kind == "short")


def test_a_file_that_is_cut_says_so_even_if_all_its_pictures_are_there(
    store: FolderStore, film: bytes
) -> None:
    """It is owned when it has come often enough, and a check reports what is missing."""
    body = film + struct.pack(">I4s", 2000, b"free") + bytes(500)
    for _ in range(3):
        with pytest.raises(DownloadError, match="fetched again"):
            _fetch(store, Answer(body, len(body)), size_bytes=len(film) + 2000)
    stored = _fetch(store, Answer(body, len(body)), size_bytes=len(film) + 2000)
    assert stored.problem is not None
    assert "1492 more bytes belong to it" in stored.problem
    assert stored.inspection is not None
    assert stored.inspection.problem == stored.problem


def test_what_came_once_is_owned_when_nothing_comes_any_more(
    store: FolderStore, film: bytes
) -> None:
    """A CDN forgets files after a while: a doubtful file is better than none."""
    damaged = film[:400] + bytes(600) + film[1000:]
    with pytest.raises(DownloadError, match="fetched again"):
        _fetch(store, Answer(damaged), size_bytes=len(film))
    gone = MemorySource(Answer(damaged, breaks_after=0))
    fetch = partial(
        store_download, gone, URL, store, "sunrise-1", content_type="video/mp4", size_bytes=9
    )
    with pytest.raises(DownloadError, match="broke off"):
        fetch()
    stored = fetch(is_late=True)
    assert stored.problem
    assert (store.root / stored.key).read_bytes() == damaged
    with pytest.raises(DownloadError, match="broke off"):
        store_download(gone, URL, store, "other", content_type="video/mp4", is_late=True)


def test_bytes_that_differ_each_time_are_never_believed(store: FolderStore, film: bytes) -> None:
    """Only the same bytes confirm each other; the longest are kept meanwhile."""
    for length in (900, 1500, 1200, 900, 1500):
        with pytest.raises(DownloadError, match="fetched again"):
            _fetch(store, Answer(film[:length]), size_bytes=len(film))
    assert (store.root / "sunrise-1.mp4").stat().st_size == 1500


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_a_doubtful_file_never_replaces_the_one_that_came_meanwhile(
    store: FolderStore, film: bytes, is_confirmed: bool
) -> None:
    """A process that stood still goes on when another one has long stored the video."""
    damaged = film[:400] + bytes(600) + film[1000:]
    if is_confirmed:
        with pytest.raises(DownloadError, match="fetched again"):
            _fetch(store, Answer(damaged), size_bytes=len(film))
    meanwhile: list[StoredFile] = []

    def look(path: Path, content_type: str | None) -> Inspection:
        if path.read_bytes() == damaged and not meanwhile:
            meanwhile.append(_fetch(store, Answer(film), size_bytes=len(film)))
        return inspect(path, content_type)

    stored = store_download(
        MemorySource(Answer(damaged)),
        URL,
        store,
        "sunrise-1",
        content_type="video/mp4",
        size_bytes=len(film),
        look=look,
    )
    assert stored == meanwhile[0]
    assert (store.root / stored.key).read_bytes() == film


def test_a_download_that_breaks_off_leaves_nothing(store: FolderStore, film: bytes) -> None:
    """The half that came is removed."""
    with pytest.raises(DownloadError, match="broke off"):
        _fetch(store, Answer(film * 9, breaks_after=20_000))
    assert _kept(store) == []


@pytest.mark.parametrize(
    "excuse",
    [
        b"<html>Sorry</html>",
        b"\xef\xbb\xbf <!DOCTYPE html><html><body>Bad gateway</body></html>",
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        b'{"error": {"code": "AccessDenied"}}',
        b"Not found",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\n",
        b"#EXTM3U\n#EXTINF:6,\nhttps://cdn.example.com/0.ts\n",
        "Nicht verfügbar".encode(),
    ],
)
@pytest.mark.parametrize("is_as_long", [True, False])
def test_an_excuse_is_not_the_file(
    store: FolderStore, film: bytes, excuse: bytes, is_as_long: bool
) -> None:
    """However often it comes, and even at the announced length: media is never text."""
    body = excuse.ljust(len(film)) if is_as_long else excuse
    for _ in range(5):
        with pytest.raises(DownloadError, match="instead of the file") as caught:
            _fetch(store, Answer(body, len(body)), size_bytes=len(film))
        assert not caught.value.is_final
    assert _kept(store) == []


def test_an_empty_file_is_not_the_file(store: FolderStore) -> None:
    """0 bytes are nothing of any type."""
    with pytest.raises(DownloadError, match="empty"):
        _fetch(store, Answer(b""))
    assert _kept(store) == []


@pytest.mark.parametrize(
    ("announced", "body"),
    [
        ("text/html", b"<!doctype html><p>A page that a model wrote"),
        ("application/json", b'{"error": null}'),
        ("text/plain", b"Sorry is a word too"),
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ],
)
def test_text_that_was_ordered_is_the_file(store: FolderStore, announced: str, body: bytes) -> None:
    """A page of HTML is an excuse only where something else was announced."""
    source = MemorySource(Answer(body, len(body), announced))
    stored = store_download(source, URL, store, "text", content_type=announced)
    assert (stored.content_type, stored.problem) == (announced, None)


def test_switched_off_decoding_leaves_size_and_hash(store: FolderStore, film: bytes) -> None:
    """A file of the announced length is owned unseen; without any length it must come twice."""
    look = partial(inspect, verify="bytes")
    answer = Answer(bytes(reversed(film)), len(film))
    source = MemorySource(answer)
    stored = store_download(
        source, URL, store, "a", content_type="video/mp4", size_bytes=len(film), look=look
    )
    assert (stored.problem, stored.media.width) == (None, None)
    source = MemorySource(Answer(film))
    with pytest.raises(DownloadError, match="length was not announced"):
        store_download(source, URL, store, "b", content_type="video/mp4", look=look)
    assert store_download(source, URL, store, "b", content_type="video/mp4", look=look).sha256
    assert len(source.urls) == 2


@pytest.mark.parametrize("is_announced", [True, False])
def test_too_large_a_file_is_refused_before_it_fills_the_disk(
    store: FolderStore, film: bytes, is_announced: bool
) -> None:
    """By what its server announces, or while it comes; the setting to change is named."""
    answer = Answer(film, len(film) if is_announced else None)
    with pytest.raises(DownloadError, match=r"larger than allowed: .*max_file_bytes") as caught:
        _fetch(store, answer, max_bytes=100)
    assert (caught.value.is_final, caught.value.is_configuration) == (True, True)
    assert _kept(store) == []


def test_a_file_that_is_only_announced_as_too_large_is_owned(
    store: FolderStore, film: bytes
) -> None:
    """Wiro's own figure may be wrong: the bytes count."""
    for _ in range(3):
        with pytest.raises(DownloadError, match="fetched again to be sure"):
            _fetch(store, Answer(film, len(film)), size_bytes=10**12)
    assert _fetch(store, Answer(film, len(film)), size_bytes=10**12).size_bytes == len(film)


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
        ("video/webm", "video/webm", ".mp4"),
    ],
)
def test_the_suffix_is_that_of_the_content(
    store: FolderStore, film: bytes, announced: str | None, transport: str | None, suffix: str
) -> None:
    """Neither Wiro's type, nor the server's, nor the URL's ending counts against it."""
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


@pytest.mark.parametrize(
    "kind",
    [
        "model/obj",
        "model/obj\r\nx-amz-acl: public-read",
        "модель/obj",
        "x" * 9000,
        "application/x-unheard-of",
    ],
)
def test_a_type_is_a_known_one_or_octets(store: FolderStore, kind: str) -> None:
    """What Wiro writes there goes into headers and names elsewhere."""
    source = MemorySource(Answer(b"o cube\nv 0 0 0\n", content_type=None))
    stored = store_download(source, URL, store, "a", content_type=kind)
    expected = kind if kind == "model/obj" else "application/octet-stream"
    assert stored.content_type == expected


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
