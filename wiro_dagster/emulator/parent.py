"""Ends the emulator with the process that started it, however that one ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable

_CHECK_SECONDS = 1.0
_STANDARD_INPUT = 0


class Parent:
    """The process that started this one.

    It is gone when the standard input that it holds open ends, or when this process is given
    another parent: children that the starter forked may hold that input open, too.
    """

    def __init__(self) -> None:
        self._id = os.getppid()
        self.is_gone = False

    def watch(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        """Call `stop` on the loop once the parent is gone."""

        def tell() -> None:
            self.is_gone = True
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(stop)

        def read_to_end() -> None:
            # Not through sys.stdin, whose lock a waiting thread holds while Python shuts down.
            with contextlib.suppress(OSError):
                while os.read(_STANDARD_INPUT, 1024):
                    pass
            tell()

        def compare() -> None:
            waiting = threading.Event()
            while os.getppid() == self._id:
                waiting.wait(_CHECK_SECONDS)
            tell()

        for target in (read_to_end, compare):
            threading.Thread(target=target, daemon=True).start()
