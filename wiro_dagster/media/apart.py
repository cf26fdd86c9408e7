"""Look at a file in a process of its own: for files on which a decoder died or hung before.

    seen = inspect_apart(path, "video/mp4", seconds=120, memory_bytes=2 * 1024**3)

The process has a limit of time and memory. If it dies, `problem` says so.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from wiro_dagster.media.facts import Inspection
from wiro_dagster.media.inspection import Verify, inspect

_SECONDS = 120.0
_MEMORY_BYTES = 2 * 1024**3
_LAST_WORDS = 200


def inspect_apart(
    path: Path,
    content_type: str | None = None,
    *,
    verify: Verify = "frames",
    seconds: float = _SECONDS,
    memory_bytes: int = _MEMORY_BYTES,
) -> Inspection:
    """Do what `inspect` does, in a child process with limits; for its arguments see there.

    Args:
        path: the file.
        content_type: what it was announced as.
        verify: "bytes" decodes nothing.
        seconds: how long the process may run; also the most CPU time it may take.
        memory_bytes: the most address space it may take (not on Windows).

    Raises:
        OSError: the file cannot be read.
    """
    bare = inspect(path, content_type, verify="bytes")
    if bare.unseen is None or verify == "bytes":
        return bare
    request = json.dumps([str(path.absolute()), content_type, seconds, memory_bytes])
    # From the folder that holds the package, so that the child finds the same one.
    folder = Path(__file__).parents[2]
    command = [sys.executable, "-m", "wiro_dagster.media.apart", request]
    try:
        child = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        problem = f"Decoding takes longer than {seconds:g} s and was stopped."
        return replace(bare, unseen=None, problem=problem)
    if child.returncode == 0:
        with suppress(ValueError, KeyError, TypeError):
            return Inspection.from_json(json.loads(child.stdout))
    return replace(bare, unseen=None, problem=_last_words(child))


def _last_words(child: subprocess.CompletedProcess[bytes]) -> str:
    if child.returncode < 0:
        with suppress(ValueError):
            name = signal.Signals(-child.returncode).name
            return f"The decoder crashes on it ({name})."
    said = child.stderr.decode(errors="replace").strip().rpartition("\n")[2][:_LAST_WORDS]
    return f"The decoder fails on it: {said or f'exit code {child.returncode}'}."


def _limit(seconds: float, memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:
        return  # Windows: the parent's timeout remains
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    cpu_seconds = max(1, round(seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))


def _main() -> None:
    path, content_type, seconds, memory_bytes = json.loads(sys.argv[1])
    _limit(seconds, memory_bytes)
    seen = inspect(Path(path), content_type)
    sys.stdout.write(json.dumps(seen.to_json()))


if __name__ == "__main__":
    _main()
