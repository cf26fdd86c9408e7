"""CPU time and memory of a process and all that it started, read from /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_SAMPLE_SECONDS = 2.0
_ROLES = {
    "dagster_webserver": "webserver",
    "dagster._daemon": "daemon",
    "code-server": "code server's proxy",
    "api grpc": "code server",
}


class ProcessTree:
    """A process, its children, and theirs.

    Args:
        pid: of the process at the root.
    """

    def __init__(self, pid: int) -> None:
        self._roots = [pid]
        self._ended = threading.Event()
        self._most_bytes = 0
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def add(self, pid: int) -> None:
        """Count another process, with what it starts, for as long as it runs."""
        self._roots.append(pid)

    def cpu_seconds(self) -> float:
        """Return the CPU time of the tree so far, also of those in it that have ended."""
        return sum(map(_read_cpu_seconds, self._list_pids()))

    def cpu_seconds_by_role(self) -> dict[str, float]:
        """Return the CPU time of the processes that run now, by what they are for."""
        found: dict[str, float] = {}
        for pid in self._list_pids():
            role = _find_role(pid)
            found[role] = found.get(role, 0.0) + _read_cpu_seconds(pid)
        return found

    def watch_memory(self) -> None:
        """Note from now on how much memory the tree takes."""
        self._sampler.start()

    def most_megabytes(self) -> float:
        """Return the most memory that the tree took; what processes share counts once."""
        self._ended.set()
        return self._most_bytes / 1e6

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            taken = sum(map(_read_memory_bytes, self._list_pids()))
            self._most_bytes = max(self._most_bytes, taken)

    def _list_pids(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for pid, parent in _list_parents():
            children.setdefault(parent, []).append(pid)
        found = list(self._roots)
        for pid in found:
            found += children.get(pid, [])
        return found


def _list_parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _read_stat(int(folder.name))
        if fields:
            yield int(folder.name), int(fields[1])


def _read_stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name; empty if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _read_cpu_seconds(pid: int) -> float:
    fields = _read_stat(pid)
    # Its own time, and that of the children that it has waited for.
    return sum(map(int, fields[11:15])) / _TICKS_A_SECOND if fields else 0.0


def _find_role(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "others"
    return next((role for part, role in _ROLES.items() if part in command), "others")


def _read_memory_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
