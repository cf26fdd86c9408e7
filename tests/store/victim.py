"""A process that stores a file and kills itself on the way, for `test_store_deaths`.

    python -m tests.store.victim FOLDER STEPS [S3-ENDPOINT]

Nothing in the product helps here. Python itself reports each step on the file system to an audit
hook, and boto3 each request to an event handler; there the process kills itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from tests.support.store_sources import CountingFileSource
from wiro_dagster.store import FolderStore, StoredFile, VideoStore, store_download
from wiro_dagster.store.s3 import S3Store

BUCKET = "videos"
PART_BYTES = 5 * 1024 * 1024
FILE_STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.utime"}


def source_in(folder: Path, content_type: str = "") -> CountingFileSource:
    """Serves the folder's file `original`, and counts in `journal`."""
    return CountingFileSource(folder / "original", folder / "journal", content_type)


def store_in(store: VideoStore, folder: Path, content_type: str) -> StoredFile:
    """The one thing that victims do."""
    source = source_in(folder, content_type)
    size_bytes = source.path.stat().st_size
    return store_download(
        source, "u", store, "sunrise-1", content_type=content_type, size_bytes=size_bytes
    )


def open_s3(endpoint: str, folder: Path) -> tuple[S3Store, Any]:
    """A store whose files of more than 5 MiB go in parts, and its client."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        region_name="us-east-1",
    )
    store = S3Store(
        client, BUCKET, folder.name, part_bytes=PART_BYTES, threads=1, temporary_folder=folder
    )
    return store, client


class _Countdown:
    """Kills the process when it has been called so many times."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._lock = threading.Lock()

    def step(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def die_in_folder(folder: Path, steps: int) -> None:
    """Dies before a step on the file system, if there are that many."""
    countdown = _Countdown(steps)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_STEPS and str(folder / "videos") in str(arguments[0]):
            countdown.step()

    sys.addaudithook(watch)
    store_in(FolderStore(folder / "videos"), folder, "video/mp4")


def die_in_s3(folder: Path, steps: int, endpoint: str) -> None:
    """Dies before a request, or after the last one, if there are that many."""
    countdown = _Countdown(steps)
    store, client = open_s3(endpoint, folder)
    client.meta.events.register("before-send.s3", lambda **_: countdown.step())
    store_in(store, folder, "application/zip")
    countdown.step()


if __name__ == "__main__":
    place, number, *rest = sys.argv[1:]
    if rest:
        die_in_s3(Path(place), int(number), rest[0])
    else:
        die_in_folder(Path(place), int(number))
