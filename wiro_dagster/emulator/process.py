"""Starts an emulator as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from wiro_dagster.emulator.remote import EmulatorControl
from wiro_dagster.emulator.settings import EMULATOR_API_KEY, EMULATOR_API_SECRET

_STOP_TIMEOUT_SECONDS = 5.0
_LAST_WORDS_CHARACTERS = 2_000


class Emulator(EmulatorControl):
    """A running emulator. Make one with :meth:`start`; best in a ``with`` block.

    Attributes:
        base_url: the REST base, ``http://127.0.0.1:PORT/v1``.
        cdn_host: ``localhost:PORT2``, where outputs are served: another host name and port.
        second_cdn_host: ``localhost:PORT3``, which serves the same files.
        websocket_url: ``ws://127.0.0.1:PORT/v1``.
        start_page_url: a page that shows what happens.
        process: the process it runs in.
        state_path: its SQLite file.
        api_key: the key it expects.
        api_secret: the secret it expects signatures with; None for a key-only project.
    """

    def __init__(self, launch: _Launch) -> None:
        self._launch = launch
        self.state_path = launch.state_path
        self.api_key = launch.api_key
        self.api_secret = None if launch.is_key_only else launch.api_secret
        self.process, urls = launch.run()
        self.base_url = urls["base_url"]
        self.cdn_host = urls["cdn_host"]
        self.second_cdn_host = urls["second_cdn_host"]
        self.websocket_url = urls["websocket_url"]
        self.start_page_url = urls["start_page_url"]
        super().__init__(self.start_page_url)

    @classmethod
    def start(
        cls,
        *,
        port: int = 0,
        files_port: int = 0,
        state_path: Path | None = None,
        task_seconds: float = 8.0,
        queue_seconds: float = 0.0,
        listing_delay_seconds: float = 0.0,
        detail_delay_seconds: float = 0.0,
        key_only: bool = False,
        api_key: str = EMULATOR_API_KEY,
        api_secret: str = EMULATOR_API_SECRET,
        balance_usd: str | Decimal = "1000",
        seed: int = 0,
        fault_rates: Mapping[str, float] | None = None,
        worlds: Mapping[str, float] | None = None,
        tiny_videos: bool = False,
        keep: bool = False,
        options: Sequence[str] = (),
        start_timeout_seconds: float = 60.0,
    ) -> Emulator:
        """Start an emulator and wait until it answers.

        Args:
            port: of the API; 0 for a free one.
            files_port: of the outputs; 0 for a free one.
            state_path: its SQLite file; a temporary one, removed by stop(), when None.
            task_seconds: from a Run to the end of an ordinary task.
            queue_seconds: additional queue time of every task.
            listing_delay_seconds: how long a new task is missing from Task/List.
            detail_delay_seconds: how long a new task is unknown to Task/Detail.
            key_only: whether the project is of the kind that takes the key alone.
            api_key: the key to expect.
            api_secret: the secret to expect signatures with.
            balance_usd: the balance of a fresh state.
            seed: makes random faults repeatable.
            fault_rates: rates of random faults, as in set_fault_rates().
            worlds: rates of worlds, as in set_world_rates().
            tiny_videos: whether videos are 64x36 clips, for campaigns of thousands of tasks.
            keep: whether it lives on when this process ends.
            options: further options of ``python -m wiro_dagster.emulator``.
            start_timeout_seconds: how long to wait for its first answer.

        Raises:
            RuntimeError: it ended, or did not answer in time; the message has its last words.
        """
        folder = None if state_path else Path(tempfile.mkdtemp(prefix="wiro-emulator-"))
        path = state_path or (folder or Path()) / "state.db"
        arguments = [
            *("--state", str(path), "--seed", str(seed), "--balance", str(balance_usd)),
            *("--task-seconds", str(task_seconds), "--queue-seconds", str(queue_seconds)),
            *("--listing-delay", str(listing_delay_seconds)),
            *("--detail-delay", str(detail_delay_seconds)),
            *(["--key-only"] if key_only else []),
            *(["--tiny-videos"] if tiny_videos else []),
            *([] if keep else ["--ends-with-parent"]),
            *(["--remove-state"] if folder and not keep else []),
        ]
        for kind, rate in (fault_rates or {}).items():
            arguments += ["--fault-rate", f"{kind}={rate}"]
        for name, rate in (worlds or {}).items():
            arguments += ["--world", f"{name}={rate}"]
        launch = _Launch(
            [*arguments, *options],
            ports=(port, files_port, 0),
            state_path=path,
            temporary_folder=folder,
            api_key=api_key,
            api_secret=api_secret,
            is_key_only=key_only,
            timeout_seconds=start_timeout_seconds,
        )
        try:
            return cls(launch)
        except BaseException:
            launch.remove_temporary_state()
            raise

    def stop(self) -> None:
        """End the process, and remove its state if that is temporary."""
        _end(self.process)
        self._launch.remove_temporary_state()

    def kill(self) -> None:
        """End the process without a word of warning; its state stays, for restart()."""
        self.process.kill()
        self.process.wait()
        _close_pipes(self.process)

    def restart(self) -> None:
        """End the process if it runs, and start it again with the same state and ports."""
        _end(self.process)
        self._launch.ports = (
            _port(self.base_url),
            _port(f"http://{self.cdn_host}"),
            _port(f"http://{self.second_cdn_host}"),
        )
        self.process, _ = self._launch.run()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Emulator(base_url={self.base_url!r}, cdn_host={self.cdn_host!r})"


class _Launch:
    """Everything needed to start the process, and to start it again."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        ports: tuple[int, int, int],
        state_path: Path,
        temporary_folder: Path | None,
        api_key: str,
        api_secret: str,
        is_key_only: bool,
        timeout_seconds: float,
    ) -> None:
        self.arguments = list(arguments)
        self.ports = ports
        self.state_path = state_path
        self.temporary_folder = temporary_folder
        self.api_key = api_key
        self.api_secret = api_secret
        self.is_key_only = is_key_only
        self.timeout_seconds = timeout_seconds

    def run(self) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
        """Start the process and return it with its URLs."""
        log_path = self.state_path.with_name(f"{self.state_path.name}.log")
        command = [
            *(sys.executable, "-m", "wiro_dagster.emulator", "--announce-json"),
            *("--port", str(self.ports[0]), "--files-port", str(self.ports[1])),
            *("--second-files-port", str(self.ports[2])),
            *self.arguments,
        ]
        # Through the environment, as a command line can be read by everybody.
        environment = {
            **os.environ,
            "WIRO_EMULATOR_API_KEY": self.api_key,
            "WIRO_EMULATOR_API_SECRET": self.api_secret,
        }
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        line = self._first_line(process)
        if not line:
            _end(process)
            words = log_path.read_text(errors="replace")[-_LAST_WORDS_CHARACTERS:]
            raise RuntimeError(f"the emulator did not start: {words or 'it said nothing'}")
        urls: dict[str, str] = json.loads(line)
        return process, urls

    def remove_temporary_state(self) -> None:
        """Remove the state if it is temporary."""
        if self.temporary_folder is not None:
            shutil.rmtree(self.temporary_folder, ignore_errors=True)

    def _first_line(self, process: subprocess.Popen[bytes]) -> bytes:
        # Ends a process that never answers, which ends the reading too.
        watchdog = threading.Timer(self.timeout_seconds, process.kill)
        watchdog.start()
        try:
            return process.stdout.readline() if process.stdout else b""
        finally:
            watchdog.cancel()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    _close_pipes(process)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _port(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url} names no port")
    return port
