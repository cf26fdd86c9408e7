"""Decides which hosts the emulator may call: this machine, and those in its settings."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

# Stands for every host in a list of further ones.
ANY_HOST = "*"
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def is_reachable(url: str, further_hosts: Sequence[str]) -> bool:
    """Return whether the emulator may call this URL: it must not reach out to the world unasked."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    is_known = host in (*THIS_MACHINE, *further_hosts) or ANY_HOST in further_hosts
    return parts.scheme in ("http", "https") and is_known
