"""Look at files in processes of their own: no file can crash, stop or slow down the one that asks.

    seen = inspect_apart(path, "video/mp4")

A decoder works for as long as files come. What it does would cost several times as much in a
process whose other threads are busy: for each frame it gives Python's lock away and waits for it.
"""

from __future__ import annotations

import atexit
import faulthandler
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wiro_dagster.media.facts import Inspection
from wiro_dagster.media.inspection import Verify, inspect

_SECONDS = 120.0
_MOST = os.cpu_count() or 1
_GATHER_SECONDS = 0.5
"""How long to wait for a decoder that is busy before another one is started."""

_IDLE_SECONDS = 60.0
_EXIT_CODE_OF_TIMER = 1


def inspect_apart(
    path: Path,
    content_type: str | None = None,
    *,
    verify: Verify = "frames",
    seconds: float = _SECONDS,
    memory_bytes: int | None = None,
) -> Inspection:
    """Do what `inspect` does, in another process; for its arguments see there.

    If that process dies, `problem` says so.

    Args:
        path: the file.
        content_type: what it was announced as.
        verify: "bytes" decodes nothing.
        seconds: how long it may take.
        memory_bytes: the most address space that the process may have; `None` for any (and on
            Windows).

    Raises:
        OSError: the file cannot be read, or the other process was told to stop.
    """
    bare = inspect(path, content_type, verify="bytes")
    if bare.unseen is None or verify == "bytes":
        return bare
    work = FileWork(str(path.absolute()), content_type, seconds, memory_bytes)
    found = _DECODERS.look(work)
    return found if isinstance(found, Inspection) else replace(bare, unseen=None, problem=found)


def prepare_decoder() -> None:
    """Start a decoder if there is none, because a file is about to come."""
    _DECODERS.prepare()


@dataclass(frozen=True)
class FileWork:
    """A file to be looked at; see `inspect_apart`."""

    path: str
    content_type: str | None
    seconds: float
    memory_bytes: int | None


class Decoder:
    """A process that looks at one file after the other.

    Args:
        idle_seconds: when it ends by itself, if it has nothing to do.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, idle_seconds: float) -> None:
        self.is_fresh = True
        self._owes_answer = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "wiro_dagster.media.apart", str(idle_seconds)],
            # From the folder that holds the package, so that the child finds the same one.
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Ctrl-C goes to all of a terminal's processes. This one ends when nobody can ask it.
            start_new_session=True,
        )

    @property
    def is_free(self) -> bool:
        """Whether it may be asked: it lives, and owes nobody the answer to an earlier question."""
        return self._process.poll() is None and not self._owes_answer

    def look(self, work: FileWork) -> Inspection | str:
        """Return what it sees in a file, or why it has died of it.

        Raises:
            OSError: it was told to stop.
            _UnreadableError: the file cannot be read.
        """
        self.is_fresh, self._owes_answer, started = False, True, time.monotonic()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(vars(work)).encode() + b"\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
            self._owes_answer = False
            if "error" in answer:
                raise _UnreadableError(*answer["error"])
            return Inspection.from_json(answer["seen"])
        self._finish()
        exit_code, passed_seconds = self._process.returncode, time.monotonic() - started
        if exit_code == _EXIT_CODE_OF_TIMER and passed_seconds >= work.seconds:
            return f"Decoding takes longer than {work.seconds:g} s and was stopped."
        if exit_code == -signal.SIGTERM:
            raise OSError("The decoder was told to stop.")  # with the whole program, mostly
        return _describe_death(exit_code)

    def end(self) -> None:
        """Let it end, and wait for that: at once, if nobody waits for its answer any more."""
        if self._owes_answer:
            self._process.kill()
        self._finish()

    def _finish(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()


class _UnreadableError(Exception):
    """An `OSError` in the decoder, which is not one of the pipe to it."""


class Decoders:
    """Decoders that are started when there is work, and end when there is none. Thread-safe.

    Args:
        most: how many may run at once.
        idle_seconds: when one that has nothing to do ends.
    """

    def __init__(self, most: int = _MOST, *, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self._has_changed = threading.Condition()
        self._idle: list[Decoder] = []
        self._count = 0
        self._process_id = os.getpid()

    def look(self, work: FileWork) -> Inspection | str:
        """Return what a decoder sees in a file, or why it has died of it.

        Raises:
            OSError: the file cannot be read, or no decoder can work on it now.
        """
        while True:
            decoder = self._take()
            is_fresh = decoder.is_fresh
            try:
                found = decoder.look(work)
            except _UnreadableError as error:
                raise OSError(*error.args) from error
            finally:
                self._give_back(decoder)
            # One that has seen other files may have died of those, or of having nothing to do.
            if isinstance(found, Inspection) or is_fresh:
                return found

    def prepare(self) -> None:
        """Have a decoder ready, so that the first file need not wait until it has started."""
        with self._has_changed:
            self._forget_those_of_a_parent()
            if self._count:
                return
        with suppress(OSError):  # the file's own try says so
            decoder = self._take()
            decoder.is_fresh = False
            self._give_back(decoder)

    def close(self) -> None:
        """End the decoders that have nothing to do."""
        with self._has_changed:
            idle, self._idle = self._idle, []
            self._count -= len(idle)
        for decoder in idle:
            decoder.end()

    def _take(self) -> Decoder:
        with self._has_changed:
            self._forget_those_of_a_parent()
            self._has_changed.wait_for(lambda: self._idle or not self._count, _GATHER_SECONDS)
            self._has_changed.wait_for(lambda: self._idle or self._count < self._most)
            while self._idle:
                decoder = self._idle.pop()
                if decoder.is_free:
                    return decoder
                decoder.end()
                self._count -= 1
            self._count += 1
        try:
            return Decoder(self._idle_seconds)
        except OSError:
            self._drop_one()
            raise

    def _give_back(self, decoder: Decoder) -> None:
        if not decoder.is_free:
            decoder.end()
            self._drop_one()
            return
        with self._has_changed:
            self._idle.append(decoder)
            self._has_changed.notify()

    def _drop_one(self) -> None:
        with self._has_changed:
            self._count -= 1
            self._has_changed.notify()

    def _forget_those_of_a_parent(self) -> None:
        """Leave the decoders of the process that this one was forked from to that."""
        if self._process_id != os.getpid():
            self._process_id, self._idle, self._count = os.getpid(), [], 0


_DECODERS = Decoders()
atexit.register(_DECODERS.close)


def _describe_death(exit_code: int) -> str:
    with suppress(ValueError):
        if exit_code < 0:
            return f"The decoder crashes on it ({signal.Signals(-exit_code).name})."
    return f"The decoder fails on it: exit code {exit_code}."


# ---- in the process of a decoder ----


def _limit(memory_bytes: int | None) -> None:
    try:
        import resource
    except ImportError:
        return  # Windows
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes or most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _look(work: FileWork) -> dict[str, object]:
    _limit(work.memory_bytes)
    try:
        return {"seen": inspect(Path(work.path), work.content_type).to_json()}
    except OSError as error:
        return {"error": [error.errno, error.strerror, work.path]}


def _main() -> None:
    idle_seconds = float(sys.argv[1])
    # What a library prints must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    import av  # noqa: F401 - while the first file is still on its way

    while True:
        faulthandler.dump_traceback_later(idle_seconds, exit=True)
        line = sys.stdin.buffer.readline()
        if not line:
            return
        work = FileWork(**json.loads(line))
        faulthandler.dump_traceback_later(work.seconds, exit=True)
        answers.write(json.dumps(_look(work)).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _main()
