"""A process that is killed at any step of storing a file loses nothing and fetches it once more."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.store.victim import BUCKET, PART_BYTES, open_s3, source_in, store_in
from tests.support.media_samples import write_film
from wiro_dagster.store import FolderStore

KILLED = -signal.SIGKILL
STEPS_IN_FOLDER = 11
STEPS_IN_S3 = 9


def _run_victim(*arguments: object) -> int:
    command = [sys.executable, "-m", "tests.store.victim", *map(str, arguments)]
    victim = subprocess.run(
        command, capture_output=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert victim.returncode in (0, KILLED), victim.stderr.decode()
    return victim.returncode


def test_a_death_at_any_step_in_a_folder_is_survived(tmp_path: Path) -> None:
    """Killed before each step on the file system in turn, then stored to the end."""
    film = write_film(tmp_path / "film.mp4").read_bytes()

    def die_and_finish(steps: int) -> tuple[int, bool]:
        folder = tmp_path / f"{steps}"
        folder.mkdir()
        (folder / "original").write_bytes(film)
        ended = _run_victim(folder, steps)
        was_there = (folder / "videos" / "sunrise-1.mp4").exists()
        requests = source_in(folder).request_count
        stored = store_in(FolderStore(folder / "videos"), folder, "video/mp4")
        assert stored.sha256 == hashlib.sha256(film).hexdigest()
        assert (folder / "videos" / stored.key).read_bytes() == film
        assert source_in(folder).request_count == requests + (0 if was_there else 1)
        return ended, was_there

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(die_and_finish, range(STEPS_IN_FOLDER)))
    assert (KILLED, False) in results
    assert (KILLED, True) in results
    assert results[-1] == (0, True), "more steps than were tried"


def test_a_death_at_any_request_to_s3_is_survived(tmp_path: Path, s3_endpoint: str) -> None:
    """Killed before each request of an upload in parts, then stored to the end; no part stays."""
    original = os.urandom(PART_BYTES + 1000)
    _, client = open_s3(s3_endpoint, tmp_path)
    client.create_bucket(Bucket=BUCKET)

    def die_and_finish(steps: int) -> tuple[int, bool, bool]:
        folder = tmp_path / f"{steps}"
        folder.mkdir()
        (folder / "original").write_bytes(original)
        ended = _run_victim(folder, steps, s3_endpoint)
        store, client = open_s3(s3_endpoint, folder)
        was_there = store.find_size("sunrise-1.zip") is not None
        had_parts = store.abort_stale_uploads(older_than_seconds=0) > 0
        requests = source_in(folder).request_count
        stored = store_in(store, folder, "application/zip")
        assert stored.sha256 == hashlib.sha256(original).hexdigest()
        assert store.find_size(stored.key) == len(original)
        assert source_in(folder).request_count == requests + (0 if was_there else 1)
        assert "Uploads" not in client.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{steps}/")
        return ended, was_there, had_parts

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(die_and_finish, range(STEPS_IN_S3)))
    assert (KILLED, False, False) in results
    assert (KILLED, False, True) in results
    assert (KILLED, True, False) in results
    assert results[-1] == (0, True, False), "more requests than were tried"
