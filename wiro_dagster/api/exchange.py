"""One request and its answer: a total deadline, and a last question before the first byte.

A socket's own timeout starts again with each byte, so a server that sends a byte now and then can
hold a thread forever. Here each read and write gets what is left of one deadline, and that includes
the status line, headers and chunk sizes.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from socket import socket
from typing import Any

from requests.adapters import HTTPAdapter
from requests.exceptions import ProxyError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager
from urllib3.response import HTTPResponse

from wiro_dagster.errors import SubmissionWithdrawn

_SLICE_BYTES = 16 * 1024
"""One TLS record: a slice blocks for one timeout at most."""

_FRESH_SECONDS = 5.0
"""For so long `confirm` is believed. Leases last much longer."""
_MOST_QUESTIONS = 3


class StaleConnection(Exception):
    """A kept connection went stale while `confirm` was asked. Nothing was sent on it."""


class Exchange:
    """The limits of one request and its answer.

    Args:
        seconds: from now until the whole answer has been read.
        silence_seconds: the longest time in which nothing arrives; None means `seconds`.
        confirm: called once the connection is ready, right before the first byte leaves. If it
            returns False, nothing is sent. If it takes seconds, it is called again.
        idle_seconds: a connection that was idle for so long is not used again, nor one that was
            closed while `confirm` was asked. If it is None, any that seems open is.
        clock: gives seconds that never go back.
        wall_clock: gives unix seconds.
    """

    def __init__(
        self,
        *,
        seconds: float,
        silence_seconds: float | None = None,
        confirm: Callable[[], bool] | None = None,
        idle_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._wall_clock = wall_clock
        self._deadline = clock() + seconds
        self._silence_seconds = seconds if silence_seconds is None else silence_seconds
        self._confirm = confirm
        self.left_at: float | None = None
        """Unix time of the first byte. If it is None, nothing was sent."""
        self.is_on_kept_connection = False
        """Whether an earlier exchange left the connection open. It may be stale then."""

    def get_patience(self) -> float:
        """Return for how many seconds the next read or write may block.

        Raises:
            TimeoutError: the deadline has passed.
        """
        remaining_seconds = self._deadline - self._clock()
        if remaining_seconds <= 0:
            raise TimeoutError("the deadline has passed")
        return min(remaining_seconds, self._silence_seconds)

    def read_clocks(self) -> tuple[float, float]:
        """Return the time by both clocks, for `was_just_used`."""
        return self._clock(), self._wall_clock()

    def was_just_used(self, clocks: tuple[float, float]) -> bool:
        """Tell whether a connection that was last used then may be used again.

        Both clocks have to say so: one of them stands still while a laptop is suspended, and the
        other one can be set back.
        """
        most_seconds = self._idle_seconds
        if most_seconds is None:
            return True
        idle = (now - used for now, used in zip(self.read_clocks(), clocks, strict=True))
        return all(0 <= seconds < most_seconds for seconds in idle)

    def leave(self, is_ready: Callable[[], bool] = lambda: True) -> None:
        """Ask for the last time, and note that the first byte is about to leave.

        Args:
            is_ready: tells whether the connection may still be used, after the question.

        Raises:
            SubmissionWithdrawn: `confirm` returned False.
            TimeoutError: connecting used up all the time.
            StaleConnection: the connection may no longer be used. Nothing was sent.
        """
        self.get_patience()
        asked_at = self._clock()
        if not self._is_wanted():
            raise SubmissionWithdrawn(
                "The submission was withdrawn right before its first byte. Nothing was sent."
            )
        if self._idle_seconds is not None and not is_ready():
            raise StaleConnection("the connection was closed before anything was sent")
        # Giving up on a run leaves its outcome unknown, so Wiro gets its full time to answer.
        self._deadline += self._clock() - asked_at
        self.left_at = self._wall_clock()

    def _is_wanted(self) -> bool:
        if self._confirm is None:
            return True
        for _ in range(_MOST_QUESTIONS):
            asked_at = self._wall_clock()
            if not self._confirm():
                return False
            # A process that was frozen (a suspended laptop, SIGSTOP) holds an outdated answer.
            if abs(self._wall_clock() - asked_at) <= _FRESH_SECONDS:
                return True
        return False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Apply these limits to the connections used within the block."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)


# `requests` cannot pass an exchange down to its connections, but it calls them in this thread.
_CURRENT: ContextVar[Exchange] = ContextVar("wiro_exchange")


def current_exchange() -> Exchange:
    """Return the exchange that the request of this moment belongs to, for adapters."""
    return _CURRENT.get()


class _TimedReader(io.RawIOBase):
    """Reads from a socket within the limits of an exchange."""

    def __init__(self, connected: socket, exchange: Exchange) -> None:
        super().__init__()
        self._socket = connected
        self._raw = connected.makefile("rb", buffering=0)
        self._exchange = exchange

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        """Read what has arrived, or wait for it within the limits."""
        self._socket.settimeout(self._exchange.get_patience())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Release the socket."""
        self._raw.close()
        super().close()


class _TimedSocket:
    """The only method of a socket that reading an answer needs."""

    def __init__(self, connected: socket) -> None:
        self._socket = connected

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a file to read the answer from."""
        return io.BufferedReader(_TimedReader(self._socket, _CURRENT.get()))


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_TimedSocket(sock), *args, **kwargs)  # type: ignore[arg-type]


class _FencedConnection(HTTPConnection):
    """A connection that connects first, then asks whether to send, then sends.

    DNS, TCP and TLS can take seconds, in which the caller may lose its lease and another process
    may buy the same video. So none of them comes between `confirm` and the first byte. On a
    connection that is open already, `confirm` is called right before the first byte as well; if the
    server has closed it meanwhile, nothing is sent.
    """

    response_class = _TimedResponse
    _last_used: tuple[float, float] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether it may be used: it is open, nothing came unasked, and it was not idle for long.

        urllib3 asks this before it takes a connection from its pool, and opens another if not.
        """
        is_recent = self._last_used is None or _CURRENT.get().was_just_used(self._last_used)
        return is_recent and super().is_connected

    def connect(self) -> None:
        """Connect anew."""
        super().connect()
        self._last_used = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request within the limits of the current exchange."""
        exchange = _CURRENT.get()
        if self.sock is None:
            self.connect()
        exchange.is_on_kept_connection = self._last_used is not None
        # What a fresh connection has to say is part of its answer.
        exchange.leave(lambda: self._last_used is None or self.is_connected)
        self._last_used = exchange.read_clocks()
        super().request(*args, **kwargs)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Return the answer, and note when it came."""
        response = super().getresponse()
        self._last_used = _CURRENT.get().read_clocks()
        return response

    def send(self, data: Any) -> None:
        """Send bytes, slice by slice, within the limits of the current exchange."""
        view = memoryview(data)
        for start in range(0, len(view), _SLICE_BYTES):
            self.sock.settimeout(_CURRENT.get().get_patience())
            super().send(view[start : start + _SLICE_BYTES])


class _FencedTlsConnection(_FencedConnection, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _FencedConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _FencedTlsConnection


def _fence(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class FencedAdapter(HTTPAdapter):
    """Sends within the current exchange, and never repeats a request."""

    def __init__(self, *, pool_size: int = 1) -> None:
        super().__init__(max_retries=0, pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        _fence(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        """Return the pools of connections through a proxy.

        Raises:
            ProxyError: a SOCKS proxy, whose connections could not be fenced.
        """
        if proxy.lower().startswith("socks"):
            raise ProxyError("SOCKS proxies are not supported")
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        _fence(manager)
        return manager
