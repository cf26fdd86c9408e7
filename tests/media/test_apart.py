"""Rules of `inspect_apart`: the same as `inspect`, and no file takes this process along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.decoders import close_decoders, list_decoders
from tests.support.media_samples import write_film
from tests.support.waiting import wait_until
from wiro_dagster.media import Inspection, apart, inspect, inspect_apart


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mp4")


@pytest.fixture(autouse=True)
def no_decoders() -> Iterator[None]:
    """Each test begins without a decoder, and leaves none."""
    close_decoders()
    yield
    close_decoders()


def has_ended(process_id: int) -> bool:
    """Whether a process is gone, or waits only for its parent to notice."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return True
    return "\nState:\tZ" in status


def test_it_sees_what_inspect_sees(film: Path) -> None:
    """Facts, measures and pictures, to the byte."""
    assert inspect_apart(film, "video/mp4") == inspect(film, "video/mp4")


def test_one_process_looks_at_one_file_after_the_other(film: Path) -> None:
    """To start one takes longer than most files."""
    inspect_apart(film, "video/mp4")
    (first,) = list_decoders()
    inspect_apart(film, "video/mp4")
    assert list_decoders() == [first]


def test_a_process_that_was_started_ahead_looks_at_the_first_file(film: Path) -> None:
    """A file that is about to come need not wait until a process has started."""
    apart.prepare_decoder()
    apart.prepare_decoder()
    assert wait_until(lambda: len(list_decoders()) == 1)
    (process_id,) = list_decoders()
    inspect_apart(film, "video/mp4")
    assert list_decoders() == [process_id]


def test_files_that_come_at_once_are_looked_at_by_as_many_processes_as_there_are_cores(
    film: Path,
) -> None:
    """Each has its own answer."""
    other = write_film(film.with_name("other.mp4"), seconds=0.5)
    films = [film, other] * 8
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda path: inspect_apart(path, "video/mp4"), films))
    assert [one.facts.frame_count for one in seen] == [24, 12] * 8
    assert 1 <= len(list_decoders()) <= (os.cpu_count() or 1)


def test_a_file_that_takes_too_long_is_stopped(film: Path) -> None:
    """The problem names the time, and the next file is looked at."""
    seen = inspect_apart(film, "video/mp4", seconds=0.001)
    assert seen.problem == "Decoding takes longer than 0.001 s and was stopped."
    assert (seen.facts.kind, seen.unseen) == ("video", None)
    assert inspect_apart(film, "video/mp4").problem is None


def test_a_file_for_which_there_is_not_enough_memory_is_told(film: Path) -> None:
    """Too little even to load the decoder; the next file has what it needs."""
    seen = inspect_apart(film, "video/mp4", memory_bytes=10_000_000)
    assert seen.problem
    assert seen.preview is None
    assert inspect_apart(film, "video/mp4").problem is None


def test_a_file_that_kills_its_process_is_told(tmp_path: Path) -> None:
    """By which signal; the process ends as a crash would end it."""
    seen = look_and_send(signal.SIGSEGV, tmp_path)
    assert seen.problem == "The decoder crashes on it (SIGSEGV)."
    assert (seen.facts.kind, seen.preview) == ("video", None)


def look_and_send(number: int, folder: Path) -> Inspection:
    """What is seen in a long film if a signal comes meanwhile."""
    film = write_film(folder / "long.mp4", seconds=60.0)
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(inspect_apart, film, "video/mp4")
        assert wait_until(lambda: list_decoders() != [])
        os.kill(list_decoders()[0], number)
        return looking.result()


def test_a_program_that_is_stopped_says_nothing_about_a_file(tmp_path: Path) -> None:
    """Ctrl-C in a terminal does not reach the decoder; SIGTERM may."""
    with pytest.raises(OSError, match="told to stop"):
        look_and_send(signal.SIGTERM, tmp_path)
    inspect_apart(tmp_path / "long.mp4", "video/mp4")
    assert os.getsid(list_decoders()[0]) != os.getsid(0)


def test_a_process_that_died_of_something_else_says_nothing_about_a_file(film: Path) -> None:
    """Another one looks at it."""
    inspect_apart(film, "video/mp4")
    (first,) = list_decoders()
    os.kill(first, signal.SIGKILL)
    assert inspect_apart(film, "video/mp4").problem is None
    assert list_decoders() != [first]


def test_a_process_without_work_ends(film: Path) -> None:
    """It takes memory, and the next file has another one."""
    decoders = apart.Decoders(idle_seconds=0.2)
    work = apart.FileWork(str(film), "video/mp4", 60.0, None)
    assert isinstance(decoders.look(work), Inspection)
    assert len(list_decoders()) == 1
    assert wait_until(lambda: all(map(has_ended, list_decoders())))
    assert isinstance(decoders.look(work), Inspection)
    decoders.close()


def test_an_answer_that_nobody_waited_for_is_not_taken_for_another_files(
    film: Path, tmp_path: Path
) -> None:
    """One who is interrupted while a decoder works leaves it to nobody else."""
    long = write_film(tmp_path / "long.mp4", seconds=60.0)
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            inspect_apart(long, "video/mp4")
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert inspect_apart(film, "video/mp4").facts.frame_count == 24


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_decoders_end_with_the_process_that_asked(film: Path) -> None:
    """However that ends."""
    script = (
        "import os, sys; from pathlib import Path; from wiro_dagster.media import inspect_apart;"
        f"inspect_apart(Path({str(film)!r}), 'video/mp4');"
        "print(os.popen(f'pgrep -P {os.getpid()} -f media.apart').read().split()[0], flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert wait_until(lambda: has_ended(int(ended.stdout)))


def test_a_file_that_cannot_be_read_is_no_fault_of_the_file(film: Path) -> None:
    """The caller tries again."""
    work = apart.FileWork(str(film.with_name("none.mp4")), "video/mp4", 60.0, None)
    with pytest.raises(FileNotFoundError):
        apart._DECODERS.look(work)


def test_what_needs_no_decoding_needs_no_process(tmp_path: Path) -> None:
    """Other files, and media whose decoding is switched off."""
    (tmp_path / "model").write_bytes(b"glTF" * 9)
    assert inspect_apart(tmp_path / "model", "model/gltf-binary", seconds=0).facts.kind == "file"
    assert list_decoders() == []
