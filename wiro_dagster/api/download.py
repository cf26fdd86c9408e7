"""Files from Wiro's CDN, streamed, from allowed hosts only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urljoin

import requests
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from wiro_dagster.api.answers import shorten
from wiro_dagster.api.exchange import Exchange
from wiro_dagster.api.failures import NETWORK_ERRORS, describe_failure
from wiro_dagster.api.sessions import (
    LOOPBACK_HOSTS,
    choose_proxies,
    open_session,
    read_pieces,
)
from wiro_dagster.api.wire import find_whole
from wiro_dagster.errors import ConfigurationError, DownloadError

_CHUNK_BYTES = 256 * 1024
_MOST_REDIRECTS = 5
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"https": 443, "http": 80}


class Download:
    """A file that is being fetched. Its `chunks` can be read once."""

    def __init__(
        self,
        response: requests.Response,
        *,
        name: str,
        max_bytes: int | None,
    ) -> None:
        self.status: int = response.status_code
        self.content_type: str | None = _find_content_type(response)
        self.content_length: int | None = _find_length(response)
        self._response = response
        self._name = name
        self._max_bytes = max_bytes

    def chunks(self) -> Iterator[bytes]:
        """Yield the file in chunks of 256 KiB; the last one may be smaller.

        Raises:
            DownloadError: it is cut, empty, too slow or larger than allowed. What was yielded
                before is worth nothing then.
        """
        size_bytes = 0
        buffer = bytearray()
        for piece in self._pieces():
            size_bytes += len(piece)
            self._check_size(size_bytes)
            buffer += piece
            while len(buffer) >= _CHUNK_BYTES:
                yield bytes(buffer[:_CHUNK_BYTES])
                del buffer[:_CHUNK_BYTES]
        if size_bytes == 0:
            raise DownloadError(f"{self._name} is empty. Try again.")
        if buffer:
            yield bytes(buffer)

    def check_announced(self) -> None:
        """Refuse an answer that is not the file, before any of it is read.

        Raises:
            DownloadError: the status, the type or the announced length is wrong.
        """
        if self.status != HTTPStatus.OK:
            raise DownloadError(
                f"{self._name} was answered with HTTP {self.status}. Try again; a file that has "
                "expired stays away."
            )
        if self.content_type in ("text/html", "application/xhtml+xml"):
            raise DownloadError(f"{self._name} is a page of HTML, not a file. Try again.")
        self._check_size(self.content_length or 0)

    def _pieces(self) -> Iterator[bytes]:
        try:
            yield from read_pieces(self._response.raw)
        except NETWORK_ERRORS as error:
            raise DownloadError(
                f"{self._name} did not arrive whole: {describe_failure(error)}. Try again."
            ) from None

    def _check_size(self, size_bytes: int) -> None:
        if self._max_bytes is not None and size_bytes > self._max_bytes:
            raise DownloadError(
                f"{self._name} is larger than the {self._max_bytes} bytes allowed. "
                "Allow more where that is right.",
                is_final=True,
            )


class Downloader:
    """Opens files on allowed hosts. It has a session of its own and knows no credentials.

    Args:
        cdn_hosts: as `host`, with the scheme's own port, or as `host:port`.
        connect_timeout_seconds: for each connection.
        read_timeout_seconds: for each silence.

    Raises:
        ConfigurationError: a host is none.
    """

    def __init__(
        self,
        cdn_hosts: Sequence[str],
        *,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
    ) -> None:
        self._allowed = frozenset(_read_host(text) for text in cdn_hosts)
        self._connect_timeout_seconds = connect_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds

    @contextmanager
    def open(
        self, url: str, *, max_bytes: int | None, longest_seconds: float
    ) -> Iterator[Download]:
        """Open a file, following redirects between allowed hosts.

        Args:
            url: where it is.
            max_bytes: the largest file to accept.
            longest_seconds: for the whole file.

        Raises:
            DownloadError: it cannot be had. `is_final` for a host that is not allowed and for a
                file larger than allowed.
        """
        exchange = Exchange(seconds=longest_seconds, silence_seconds=self._read_timeout_seconds)
        with open_session() as session:
            # What is announced as length is then the length of the file.
            session.headers["Accept-Encoding"] = "identity"
            response, name = self._follow(session, exchange, url)
            with response:
                download = Download(response, name=name, max_bytes=max_bytes)
                download.check_announced()
                yield download

    def _follow(
        self, session: requests.Session, exchange: Exchange, url: str
    ) -> tuple[requests.Response, str]:
        base, target = "", url
        for _ in range(_MOST_REDIRECTS + 1):
            parts = self._check_url(base, target)
            name = _name_file(parts)
            response = self._request(session, exchange, parts, name)
            if response.status_code not in _REDIRECT_STATUSES:
                return response, name
            base, target = parts.url, response.headers.get("Location", "")
            response.close()
            if not target:
                raise DownloadError(f"{name} leads elsewhere without saying where. Try again.")
        raise DownloadError(
            f"{name} leads on and on, after {_MOST_REDIRECTS} redirects. Try again."
        )

    def _request(
        self, session: requests.Session, exchange: Exchange, parts: Url, name: str
    ) -> requests.Response:
        try:
            with exchange.running():
                return session.get(
                    parts.url,
                    timeout=self._connect_timeout_seconds,
                    headers={"Connection": "close"},
                    proxies=choose_proxies(parts.host),
                    allow_redirects=False,
                    stream=True,
                )
        except NETWORK_ERRORS as error:
            raise DownloadError(
                f"{name} cannot be fetched: {describe_failure(error)}. Try again."
            ) from None

    def _check_url(self, base: str, target: str) -> Url:
        """Return the parts of a URL that may be fetched, as the connection will use them."""
        try:
            parts = parse_url(urljoin(base, target))
        except (LocationParseError, ValueError):
            raise DownloadError("The address of a file is no URL.", is_final=True) from None
        host, scheme = parts.host or "", parts.scheme or ""
        port = parts.port or _DEFAULT_PORTS.get(scheme)
        if port is None or parts.auth is not None or (host, port) not in self._list_allowed(scheme):
            raise DownloadError(
                f"{_name_file(parts)} is not on an allowed host. "
                "Add its host to the CDN hosts where it is right.",
                is_final=True,
            )
        if scheme != "https" and host not in LOOPBACK_HOSTS:
            raise DownloadError(f"{_name_file(parts)} is not behind https.", is_final=True)
        return parts

    def _list_allowed(self, scheme: str) -> frozenset[tuple[str, int | None]]:
        default = _DEFAULT_PORTS.get(scheme)
        return frozenset((host, port or default) for host, port in self._allowed)


def _read_host(text: str) -> tuple[str, int | None]:
    try:
        parts = parse_url(f"//{text.strip()}")
    except (LocationParseError, ValueError):
        parts = Url()
    if not parts.host or parts.auth or parts.path or parts.query or parts.fragment:
        raise ConfigurationError(f"{text!r} is no CDN host: write host or host:port.")
    return parts.host.lower(), parts.port


def _name_file(parts: Url) -> str:
    """Host and path of a file for messages; a query string may hold a signature."""
    return shorten(f"{parts.scheme}://{parts.netloc}{parts.path or '/'}")


def _find_content_type(response: requests.Response) -> str | None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind or None


def _find_length(response: requests.Response) -> int | None:
    # The length of a compressed or chunked body is not the length of the file.
    if "Content-Encoding" in response.headers or "Transfer-Encoding" in response.headers:
        return None
    return find_whole(response.headers.get("Content-Length"))
