"""Files from Wiro's CDN, streamed, from allowed hosts only, over connections that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urljoin

import requests
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from wiro_dagster.api.answers import shorten
from wiro_dagster.api.exchange import Exchange
from wiro_dagster.api.failures import NETWORK_ERRORS, describe_failure
from wiro_dagster.api.hosts import LOOPBACK_HOSTS, AllowedHosts, find_port
from wiro_dagster.api.sessions import (
    OpenSession,
    SessionSource,
    choose_proxies,
    open_session,
    read_pieces,
)
from wiro_dagster.api.wire import find_whole
from wiro_dagster.errors import DownloadError

_CHUNK_BYTES = 256 * 1024
_MOST_REDIRECTS = 5
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})


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
            DownloadError: it is cut, empty, too slow or larger than allowed. Throw away what was
                yielded before.
        """
        size_bytes = 0
        buffer = bytearray()
        for piece in self._pieces():
            size_bytes += len(piece)
            self._check_size(size_bytes)
            buffer += piece
            while len(buffer) >= _CHUNK_BYTES:
                self._check_start(buffer)
                yield bytes(buffer[:_CHUNK_BYTES])
                del buffer[:_CHUNK_BYTES]
        if size_bytes == 0:
            raise DownloadError(f"{self._name} is empty. Try again.")
        if buffer:
            self._check_start(buffer)
            yield bytes(buffer)

    def check_announced(self) -> None:
        """Refuse an answer that is not the file, before any of it is read.

        Raises:
            DownloadError: the status, the encoding or the announced length is wrong.
        """
        if self.status != HTTPStatus.OK:
            raise DownloadError(
                f"{self._name} was answered with HTTP {self.status}. Try again, unless it has "
                "expired."
            )
        encoding = self._response.headers.get("Content-Encoding", "identity")
        if encoding.strip().lower() != "identity":
            # A few compressed bytes can unfold into gigabytes.
            raise DownloadError(
                f"{self._name} was sent compressed, against our request. Try again."
            )
        self._check_size(self.content_length or 0)

    def _pieces(self) -> Iterator[bytes]:
        try:
            yield from read_pieces(self._response.raw, decode=False)
        except NETWORK_ERRORS as error:
            raise DownloadError(
                f"{self._name} did not arrive whole: {describe_failure(error)}. Try again."
            ) from None

    def _check_start(self, content: bytearray) -> None:
        # Some servers call a video HTML; a page of HTML starts with a tag as well.
        if self.content_type in _PAGE_TYPES and content[:1024].lstrip().startswith(b"<"):
            raise DownloadError(f"{self._name} is an HTML page, not a file. Try again.")

    def _check_size(self, size_bytes: int) -> None:
        if self._max_bytes is not None and size_bytes > self._max_bytes:
            raise DownloadError(
                f"{self._name} is larger than the {self._max_bytes} bytes allowed. "
                "Raise the limit if that is right.",
                is_final=True,
            )


class Downloader:
    """Opens files on allowed hosts. It knows no credentials.

    Args:
        cdn_hosts: hosts that files may be downloaded from.
        http_hosts: those of them that need no TLS, beside this machine.
        connect_timeout_seconds: for each connection.
        read_timeout_seconds: for each silence.
        pool_size: connections kept open to each host.
        open_session: opens the sessions that requests go through.
    """

    def __init__(
        self,
        cdn_hosts: AllowedHosts,
        http_hosts: AllowedHosts,
        *,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        pool_size: int,
        open_session: OpenSession = open_session,
    ) -> None:
        self._open_session = open_session
        self._kept = SessionSource(lambda: open_session(pool_size=pool_size))
        self._cdn_hosts = cdn_hosts
        self._http_hosts = http_hosts
        self._connect_timeout_seconds = connect_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds

    @contextmanager
    def open(
        self, url: str, *, max_bytes: int | None, longest_seconds: float
    ) -> Iterator[Download]:
        """Open a file, following redirects between allowed hosts.

        Args:
            url: its address.
            max_bytes: the largest file to accept.
            longest_seconds: for the whole file.

        Raises:
            DownloadError: it cannot be fetched. See the error's flags.
        """
        exchange = Exchange(seconds=longest_seconds, silence_seconds=self._read_timeout_seconds)
        response, name = self._follow(exchange, url)
        # A connection whose answer was read to its end is kept for the next file.
        with response:
            download = Download(response, name=name, max_bytes=max_bytes)
            download.check_announced()
            yield download

    def close(self) -> None:
        """Close the connections that are kept."""
        self._kept.close()

    def _follow(self, exchange: Exchange, url: str) -> tuple[requests.Response, str]:
        base, target = "", url
        for _ in range(_MOST_REDIRECTS + 1):
            parts = self._check_url(base, target)
            name = _name_file(parts)
            response = self._request(exchange, parts, name)
            if response.status_code not in _REDIRECT_STATUSES:
                return response, name
            base, target = parts.url, response.headers.get("Location", "")
            response.close()
            if not target:
                raise DownloadError(f"{name} redirects to nowhere. Try again.")
        raise DownloadError(f"{name} still redirects after {_MOST_REDIRECTS} redirects. Try again.")

    def _request(self, exchange: Exchange, parts: Url, name: str) -> requests.Response:
        try:
            try:
                return self._get(self._kept.get_session(), exchange, parts)
            except requests.ConnectionError:
                if not exchange.is_on_kept_connection:
                    raise
                # Servers close connections that are kept. Only a fresh one tells of a fault.
                with self._open_session() as session:
                    session.headers["Connection"] = "close"
                    return self._get(session, exchange, parts)
        except NETWORK_ERRORS as error:
            raise DownloadError(
                f"{name} cannot be fetched: {describe_failure(error)}. Try again."
            ) from None

    def _get(self, session: requests.Session, exchange: Exchange, parts: Url) -> requests.Response:
        with exchange.running():
            return session.get(
                parts.url,
                timeout=self._connect_timeout_seconds,
                # What is announced as length is then the length of the file.
                headers={"Accept-Encoding": "identity"},
                proxies=choose_proxies(parts.host),
                allow_redirects=False,
                stream=True,
            )

    def _check_url(self, base: str, target: str) -> Url:
        """Return the parts of a URL that may be fetched, as the connection will use them."""
        try:
            parts = parse_url(urljoin(base, target))
        except (LocationParseError, ValueError):
            raise DownloadError("The address of a file is not a URL.", is_final=True) from None
        host, port = parts.host or "", find_port(parts)
        if not host or parts.scheme not in ("https", "http") or parts.auth:
            raise DownloadError(f"{_name_file(parts)} is not an address on the web.", is_final=True)
        if not self._cdn_hosts.allow(host, port):
            raise DownloadError(
                f"{_name_file(parts)}: files may not be downloaded from {host}. If the host is "
                f"Wiro's, add {host} to cdn_hosts (WIRO_CDN_HOSTS).",
                is_configuration=True,
            )
        is_local = host in LOOPBACK_HOSTS or self._http_hosts.allow(host, port)
        if parts.scheme == "http" and not is_local:
            raise DownloadError(
                f"{_name_file(parts)} is not behind https. If you trust the network, add {host} "
                "to allow_http_hosts.",
                is_configuration=True,
            )
        return parts


def _name_file(parts: Url) -> str:
    """Return a file's host and path for messages; its query string may hold a signature."""
    return shorten(f"{parts.scheme}://{parts.netloc}{parts.path or '/'}")


def _find_content_type(response: requests.Response) -> str | None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind or None


def _find_length(response: requests.Response) -> int | None:
    # The length of a chunked body is not the length of the file.
    if "Transfer-Encoding" in response.headers:
        return None
    return find_whole(response.headers.get("Content-Length"))
