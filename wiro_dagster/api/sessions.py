"""Sessions of `requests`, and bodies read from them under a deadline."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version

import requests
from urllib3.exceptions import HeaderParsingError
from urllib3.response import BaseHTTPResponse

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})

_PIECE_BYTES = 64 * 1024


class SessionSource:
    """Keeps one session for a process, since two processes must not share a connection."""

    def __init__(self, open_session: Callable[[], requests.Session]) -> None:
        self._open_session = open_session
        self._session = (os.getpid(), open_session())

    def get_session(self) -> requests.Session:
        """Return the session of this process."""
        process_id, session = self._session
        if process_id != os.getpid():
            session = self._open_session()
            self._session = (os.getpid(), session)
        return session

    def close(self) -> None:
        """Close the session of this process."""
        process_id, session = self._session
        if process_id == os.getpid():
            session.close()


def open_session() -> requests.Session:
    """Return a session with our user agent, that neither keeps cookies nor reads `.netrc`."""
    logging.getLogger("urllib3.connection").addFilter(_hide_broken_headers)
    session = requests.Session()
    session.headers["User-Agent"] = f"wiro-dagster/{version('wiro-dagster')} (+requests)"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # An `auth` of any kind keeps requests from looking the host up in `.netrc`.
    session.auth = _keep_headers
    return session


def _hide_broken_headers(record: logging.LogRecord) -> bool:
    """Blot out what urllib3 quotes of headers that it cannot parse: they may hold a token."""
    if isinstance(record.args, tuple) and any(
        isinstance(argument, HeaderParsingError) for argument in record.args
    ):
        record.args = (record.args[0], "their text is not shown")
        record.exc_info = None
    return True


def _keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def choose_proxies(host: str | None) -> dict[str, str]:
    """Return what overrides the environment's proxies: for this machine's own hosts, none."""
    return {"http": "", "https": ""} if host in LOOPBACK_HOSTS else {}


def read_pieces(
    raw: BaseHTTPResponse, *, longest_seconds: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """Yield a body as it arrives.

    Args:
        raw: an answer whose body was not read yet.
        longest_seconds: for the whole body. A socket's timeout starts anew with each byte, so a
            trickle would never meet it.
        clock: gives seconds that never go back.

    Raises:
        requests.ReadTimeout: it took longer.
        HTTPError: the connection broke, or the body ended early.
    """
    deadline = clock() + longest_seconds
    while piece := raw.read1(_PIECE_BYTES, decode_content=True):
        yield piece
        if clock() > deadline:
            raise requests.ReadTimeout("the body did not arrive in time")
