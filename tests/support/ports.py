"""Ports for servers of tests, and ports on which nobody listens."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

# Below the ports that the system hands out to connections: the next one of any process could
# take a port of those between its choice and its use.
_FIRST = 20_000
_COUNT = 12_000


def free_port() -> int:
    """Return a port of this machine that is free, and stays so."""
    while True:
        port = _FIRST + secrets.randbelow(_COUNT)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
