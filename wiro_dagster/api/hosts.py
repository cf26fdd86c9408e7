"""Which hosts may be called, and which of them without TLS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from wiro_dagster.errors import ConfigurationError

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})

_DEFAULT_PORTS = {"https": 443, "http": 80, "wss": 443, "ws": 80}


@dataclass(frozen=True, slots=True)
class HostPattern:
    """One allowed host: `cdn.wiro.ai`, `127.0.0.1:8000` or `*.wiro.ai`."""

    name: str
    """In lower case, without `*.`."""
    port: int | None
    """None allows every port."""
    is_wildcard: bool
    """Whether it means the subdomains of the name, and not the name itself."""

    def matches(self, host: str, port: int | None) -> bool:
        """Return whether it allows a host, given in lower case."""
        if self.port not in (None, port):
            return False
        return host.endswith(f".{self.name}") if self.is_wildcard else host == self.name


class AllowedHosts:
    """A list of host patterns from a setting.

    Args:
        setting: its name, for messages.
        patterns: a bare host allows every port, `host:port` only that one, and `*.example.com`
            the subdomains of example.com.

    Raises:
        ConfigurationError: a pattern is malformed.
    """

    def __init__(self, setting: str, patterns: Iterable[str]) -> None:
        self._patterns = tuple(_read_pattern(setting, text) for text in patterns)

    def allow(self, host: str, port: int | None) -> bool:
        """Return whether a host, in lower case, may be called at that port."""
        return any(pattern.matches(host, port) for pattern in self._patterns)


def find_port(url: Url) -> int | None:
    """Return the port that a URL leads to; None for a scheme without one."""
    return url.port or _DEFAULT_PORTS.get(url.scheme or "")


def check_service_url(
    setting: str, url: str, schemes: tuple[str, str], http_hosts: AllowedHosts
) -> str:
    """Return the URL of a service of Wiro's, without a slash at its end.

    Args:
        setting: the name of the setting, for messages.
        url: as it was configured.
        schemes: the one with TLS, and the one without.
        http_hosts: hosts that may be called without TLS, beside this machine.

    Raises:
        ConfigurationError: it is malformed, or would send secrets over the network in the clear.
    """
    secure, plain = schemes
    text = url.strip()
    try:
        parts = parse_url(text)
    except (LocationParseError, ValueError):
        parts = Url()
    host = parts.host or ""
    if not host or parts.scheme not in schemes or parts.auth:
        raise ConfigurationError(f"{setting} must be an address that starts with {secure}://.")
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{setting} must end with its path: no '?' and no '#'.")
    is_local = host in LOOPBACK_HOSTS or http_hosts.allow(host, find_port(parts))
    if parts.scheme == plain and not is_local:
        raise ConfigurationError(
            f"{setting} uses {plain}:// for {host}, so others on the network could read your "
            f"secrets. Use {secure}://, or add {host} to allow_http_hosts if you trust the network."
        )
    return text.rstrip("/")


def _read_pattern(setting: str, text: str) -> HostPattern:
    name = text.strip().lower()
    is_wildcard = name.startswith("*.")
    try:
        parts = parse_url(f"//{name[2:] if is_wildcard else name}")
    except (LocationParseError, ValueError):
        parts = Url()
    if not parts.host or "*" in parts.host or parts.auth or parts.path or parts.query:
        parts = Url()
    if not parts.host or parts.fragment:
        raise ConfigurationError(
            f"{setting}: {text!r} is not a host. Write host, host:port or *.example.com."
        )
    return HostPattern(parts.host.lower(), parts.port, is_wildcard)
