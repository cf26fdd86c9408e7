"""`wiro-dagster serve`: any store is shown to this machine's browsers, and Dagster's links play."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem

from tests.support.ports import free_port
from tests.support.project import Project
from wiro_dagster import S3VideoStore, VideoStore, VideoStoreResource, build_video_store
from wiro_dagster.cli import main
from wiro_dagster.errors import StoreError
from wiro_dagster.gallery.copies import Copies
from wiro_dagster.gallery.server import serve_store
from wiro_dagster.store.cloud import CloudStore
from wiro_dagster.store.served import ServedStore


def keep(store: VideoStore, key: str, content: bytes, content_type: str = "video/mp4") -> None:
    with store.staging() as staged:
        staged.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        store.commit(staged, key, content_type=content_type, sha256=sha256)


@pytest.fixture
def store(tmp_path: Path) -> CloudStore:
    return CloudStore(MemoryFileSystem(), "memory", f"serve{tmp_path}".replace("/", "-"))


@pytest.fixture
def base_url(store: CloudStore) -> Iterator[str]:
    with serve_store(store) as url:
        yield url


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [(None, 200, b"0123456789"), ("bytes=2-4", 206, b"234"), ("bytes=-3", 206, b"789")],
)
def test_a_browser_may_seek_in_any_store(
    store: CloudStore, base_url: str, asked: str | None, status: int, body: bytes
) -> None:
    """A part of a file is sent if a part is asked for."""
    keep(store, "a b.mp4", b"0123456789")
    headers = {} if asked is None else {"Range": asked}
    answer = requests.get(f"{base_url}/a%20b.mp4", headers=headers, timeout=60)
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers["content-type"] == "video/mp4"
    assert "Content-Security-Policy" not in answer.headers


def test_only_files_of_the_store_are_shown(store: CloudStore, base_url: str) -> None:
    """No notes, nothing outside, no other host name; what a model wrote is sandboxed."""
    keep(store, "a.svg", b"<svg/>", "image/svg+xml")
    store.write_note("orders/1", {"task_id": "7"})
    for path in ("none.mp4", ".wiro/notes/orders/1.json", "%2e%2e/a.svg", ""):
        assert requests.get(f"{base_url}/{path}", timeout=60).status_code == 404
    elsewhere = {"Host": "evil.example"}
    assert requests.get(f"{base_url}/a.svg", headers=elsewhere, timeout=60).status_code == 404
    shown = requests.get(f"{base_url}/a.svg", timeout=60)
    assert shown.headers["Content-Security-Policy"] == "sandbox"


def test_a_page_of_ours_is_read_anew(store: CloudStore, base_url: str) -> None:
    """The gallery changes under its name; it may keep its length."""
    for content in (b"<html>1", b"<html>2"):
        keep(store, "gallery.html", content, "text/html")
        assert requests.get(f"{base_url}/gallery.html", timeout=60).content == content


def test_a_store_that_cannot_be_read_is_said() -> None:
    """With its own words, and no stack trace."""

    class Away(CloudStore):
        def find_size(self, key: str) -> int | None:
            raise StoreError("The bucket cannot be reached.")

    with serve_store(Away(None, "memory", "x")) as url:
        answer = requests.get(f"{url}/a.mp4", timeout=60)
    assert (answer.status_code, answer.text) == (502, "The bucket cannot be reached.")


def test_a_file_is_brought_once_and_old_ones_make_room(store: CloudStore, tmp_path: Path) -> None:
    """The local disk does not fill up."""
    folder = tmp_path / "copies"
    folder.mkdir()
    copies = Copies(store, folder, most_bytes=25)
    for number in range(4):
        keep(store, f"{number}.mp4", bytes(10))
        path = copies.find(f"{number}.mp4")
        assert path is not None
        os.utime(path, (number, number))
    assert len(list(folder.iterdir())) == 2
    store._files.pipe_file(f"{store.root}/3.mp4", b"otherbytes")
    again = copies.find("3.mp4")
    assert again is not None
    assert again.read_bytes() == bytes(10)


def test_a_video_in_a_served_store_plays_from_dagster(
    project: Project, store: CloudStore, base_url: str
) -> None:
    """`wiro/video` names the server, and the gallery's players find what lies beside it."""

    class Served(VideoStoreResource):
        place: str = "memory"

        def get_store(self) -> VideoStore:
            return ServedStore(store, base_url)

    class ServedProject(Project):
        @property
        def resources(self) -> dict[str, Any]:
            return super().resources | {"video_store": Served()}

    served = ServedProject(project.folder, project.emulator, project.instance)
    served.write_prompts({"id": "cat", "prompt": "A cat"})
    served.order("cat")
    served.settle()
    (video,) = served.videos("cat")
    link = str(video.metadata["wiro/video"].value)
    assert link.startswith(base_url)
    part = requests.get(link, headers={"Range": "bytes=4-7"}, timeout=60)
    assert (part.status_code, part.content) == (206, b"ftyp")


def test_each_kind_of_store_can_be_served() -> None:
    """By an address; links need no signature then."""
    for place in ("videos", "s3://media/videos", "gs://media/videos", "az://media/videos"):
        found = build_video_store(place, base_url="http://127.0.0.1:8379/")
        assert getattr(found, "base_url", None) == "http://127.0.0.1:8379/"
    assert "base_url" in S3VideoStore.model_fields


def test_a_folder_is_served_by_a_command(tmp_path: Path) -> None:
    """It says what to set, and ends with Ctrl-C."""
    (tmp_path / "a.mp4").write_bytes(b"0123456789")
    port = free_port()
    command = [sys.executable, "-c", "from wiro_dagster.cli import main; main()"]
    command += ["serve", str(tmp_path), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = "".join(child.stdout.readline() for _ in range(3))
        answer = requests.get(
            f"http://127.0.0.1:{port}/a.mp4", headers={"Range": "bytes=1-2"}, timeout=10
        )
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0
    assert answer.content == b"12"
    assert f"WIRO_VIDEO_BASE_URL=http://127.0.0.1:{port}" in told


def test_a_port_that_is_taken_is_a_sentence(base_url: str) -> None:
    """No stack trace."""
    port = base_url.rpartition(":")[2]
    shown = CliRunner().invoke(main, ["serve", "videos", "--port", port])
    assert shown.exit_code == 1
    assert f"Port {port} is in use" in shown.output
