"""Hears when tasks end, over Wiro's WebSocket: many tasks, one thread.

What is heard is a hint. Without a connection, or without the package `websockets`, nothing is
heard, and that is all.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

from wiro_dagster.api.hosts import AllowedHosts, check_service_url
from wiro_dagster.api.progress import build_silent_logger, find_event

MOST_SOCKETS = 32
_MOST_WAITING = 10_000
_OPEN_SECONDS = 10.0
_LARGEST_FRAME_BYTES = 1024 * 1024
_PING_SECONDS = 30.0
_MOST_LOST = 5
"""After so many lost connections in a row, a task is left to the watch."""

_LASTED_SECONDS = 60.0
"""A connection that lasted so long was a good one."""

_STOP_SECONDS = 5.0
_REFILL_SECONDS = 1.0
"""What ends with a batch is seen by the look that its first end brings: it needs no socket."""


_LAST_WORDS = ("task_postprocess_end", "task_cancel", "terminal")
"""A frame without any of them is not the last one, and need not be parsed."""

OnEnd = Callable[[str], None]


class TaskSockets:
    """Listens for the ends of tasks, the oldest first, in one daemon thread. Thread-safe.

    Args:
        url: of the WebSocket, for example `wss://socket.wiro.ai/v1`.
        most: how many sockets may be open at once; further tasks wait for their turn.
        allow_http_hosts: hosts that may be called without TLS, beside this machine.
        pause_seconds: before a lost connection is opened again; it doubles with each loss.
        refill_seconds: before a task takes the place of one that has ended.

    Raises:
        ConfigurationError: the URL is malformed, or would send task tokens in the clear.
    """

    def __init__(
        self,
        url: str,
        *,
        most: int = MOST_SOCKETS,
        allow_http_hosts: Sequence[str] = (),
        pause_seconds: float = 1.0,
        refill_seconds: float = _REFILL_SECONDS,
    ) -> None:
        http_hosts = AllowedHosts("allow_http_hosts", allow_http_hosts)
        self._url = check_service_url("websocket_url", url, ("wss", "ws"), http_hosts)
        self._most = most
        self._pause_seconds = pause_seconds
        self._refill_seconds = refill_seconds
        self._is_possible = find_spec("websockets") is not None
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, tuple[str, OnEnd]] = OrderedDict()
        self._open: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tls: ssl.SSLContext | None = None
        self._is_closed = False

    def follow(self, task_id: str, token: str, on_end: OnEnd) -> None:
        """Listen for the end of a task, unless it is listened to already.

        Args:
            task_id: the task.
            token: its token.
            on_end: called in the sockets' thread when the task ends; it must not wait.
        """
        with self._lock:
            if not self._is_possible or self._is_closed or not token:
                return
            is_known = task_id in self._waiting or task_id in self._open
            if is_known or len(self._waiting) >= _MOST_WAITING:
                return
            self._waiting[task_id] = token, on_end
            self._start().call_soon_threadsafe(self._open_more)

    def forget(self, task_id: str) -> None:
        """Stop listening to a task, because its end is known."""
        with self._lock:
            self._waiting.pop(task_id, None)
            listener, loop = self._open.get(task_id), self._loop
            if listener is not None and loop is not None:
                loop.call_soon_threadsafe(listener.cancel)

    def count_open(self) -> int:
        """Return how many tasks are listened to now."""
        with self._lock:
            return len(self._open)

    def close(self) -> None:
        """Stop listening to anything."""
        with self._lock:
            self._is_closed = True
            self._waiting.clear()
            loop, thread = self._loop, self._thread
            self._loop = None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(self._end(), loop)
            thread.join(_STOP_SECONDS)

    # ---- in the thread of the loop ----

    def _start(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=_run, args=[loop], name="wiro-sockets", daemon=True
            )
            self._thread.start()
        return self._loop

    async def _end(self) -> None:
        with self._lock:
            listeners = list(self._open.values())
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)
        asyncio.get_running_loop().stop()

    def _open_more(self) -> None:
        with self._lock:
            while self._waiting and len(self._open) < self._most and self._loop is not None:
                task_id, (token, on_end) = self._waiting.popitem(last=False)
                listening = self._listen(task_id, token, on_end)
                self._open[task_id] = listener = self._loop.create_task(listening)
                listener.add_done_callback(partial(self._close_one, task_id))

    def _close_one(self, task_id: str, _: asyncio.Task[None]) -> None:
        with self._lock:
            self._open.pop(task_id, None)
        asyncio.get_running_loop().call_later(self._refill_seconds, self._open_more)

    async def _listen(self, task_id: str, token: str, on_end: OnEnd) -> None:
        lost, clock = 0, asyncio.get_running_loop().time
        while lost < _MOST_LOST:
            began_at = clock()
            if await self._hear_end(token):
                on_end(task_id)
                return
            lost = 1 if clock() - began_at > _LASTED_SECONDS else lost + 1
            await asyncio.sleep(self._pause_seconds * 2 ** (lost - 1))

    async def _hear_end(self, token: str) -> bool:
        """Listen over one connection, until it ends for whatever reason. Return if the task did."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        try:
            async with connect(
                self._url,
                open_timeout=_OPEN_SECONDS,
                close_timeout=1.0,
                max_size=_LARGEST_FRAME_BYTES,
                ping_interval=_PING_SECONDS,
                compression=None,
                ssl=self._find_tls(),
                logger=build_silent_logger(),
            ) as connection:
                await connection.send(json.dumps({"type": "task_info", "tasktoken": token}))
                async for frame in connection:
                    if _may_be_last(frame):
                        event = find_event(frame, token)
                        if event is not None and event.is_last:
                            return True
        except (WebSocketException, OSError, ValueError, EOFError, asyncio.TimeoutError):
            return False
        return False

    def _find_tls(self) -> ssl.SSLContext | None:
        """Return the settings of TLS: to read the certificates costs more than all the rest."""
        if self._tls is None and self._url.startswith("wss:"):
            self._tls = ssl.create_default_context()
        return self._tls


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, and close what it has open."""
    try:
        loop.run_forever()
    finally:
        loop.close()


def _may_be_last(frame: str | bytes) -> bool:
    return isinstance(frame, str) and any(word in frame for word in _LAST_WORDS)
