"""Sessions of `requests`, and the bodies of their answers."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from typing import Any, Protocol

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HeaderParsingError
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url

from wiro_dagster.api.bounds import LARGEST_ANSWER_BYTES
from wiro_dagster.api.exchange import FencedAdapter
from wiro_dagster.api.failures import AnswerTooLarge
from wiro_dagster.api.hosts import LOOPBACK_HOSTS

_PIECE_BYTES = 64 * 1024


class OpenSession(Protocol):
    """Opens a session, as `open_session` does: its requests need a current `Exchange`."""

    def __call__(self, *, pool_size: int = 1) -> requests.Session:
        """Return a new session that keeps so many connections open."""
        ...


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


class _Session(requests.Session):
    """A session that looks up the environment's proxies once for each host, not for each call."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Return the settings of a call, the environment's among them."""
        parts = parse_url(url)
        values = tuple(map(os.environ.get, _PROXY_VARIABLES))
        found = _find_proxies(f"{parts.scheme}://{parts.netloc}", values)
        if verify is None or verify is True:
            bundles = map(os.environ.get, _BUNDLE_VARIABLES)
            verify = next((bundle for bundle in bundles if bundle), verify)
        return super().merge_environment_settings(
            url, {**found, **(proxies or {})}, stream, verify, cert
        )


_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXY_VARIABLES = tuple(
    spelled
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for spelled in (name, name.upper())
)


@lru_cache(maxsize=64)
def _find_proxies(url: str, values: tuple[str | None, ...]) -> Mapping[str, str]:  # noqa: ARG001
    return get_environ_proxies(url)


def open_session(*, pool_size: int = 1) -> requests.Session:
    """Return a session with our user agent that neither keeps cookies nor reads `.netrc`.

    Its requests need a current `Exchange`.
    """
    logging.getLogger("urllib3.connection").addFilter(_hide_broken_headers)
    session = _Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, FencedAdapter(pool_size=pool_size))
    session.headers["User-Agent"] = _user_agent()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # An `auth` of any kind keeps requests from looking the host up in `.netrc`.
    session.auth = _keep_headers
    return session


@cache
def _user_agent() -> str:
    # Once, since finding the version reads files, and every download opens a session.
    return f"wiro-dagster/{version('wiro-dagster')} (+requests)"


def _hide_broken_headers(record: logging.LogRecord) -> bool:
    """Hide what urllib3 quotes of headers that it cannot parse: they may hold a token."""
    if isinstance(record.args, tuple) and any(
        isinstance(argument, HeaderParsingError) for argument in record.args
    ):
        record.args = (record.args[0], "their text is not shown")
        record.exc_info = None
    return True


def _keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def choose_proxies(host: str | None) -> dict[str, str]:
    """Return what overrides the environment's proxies: this machine needs none for itself."""
    return {"http": "", "https": ""} if host in LOOPBACK_HOSTS else {}


def read_pieces(raw: BaseHTTPResponse, *, decode: bool = True) -> Iterator[bytes]:
    """Yield a body as it arrives, within the limits of its exchange.

    Args:
        raw: an answer whose body was not read yet.
        decode: whether to decompress it.

    Raises:
        HTTPError: the connection broke, the body ended early or did not arrive in time.
    """
    while piece := raw.read1(_PIECE_BYTES, decode_content=decode):
        yield piece


def read_content(raw: BaseHTTPResponse) -> bytes:
    """Return the whole body of an answer.

    Raises:
        HTTPError: as `read_pieces`.
        AnswerTooLarge: it has more than 8 MB.
    """
    content = bytearray()
    for piece in read_pieces(raw):
        content += piece
        if len(content) > LARGEST_ANSWER_BYTES:
            raise AnswerTooLarge
    return bytes(content)
