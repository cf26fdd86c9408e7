"""The connection to an emulator's control API; needs nothing but the standard library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

_TIMEOUT_SECONDS = 30.0
# A proxy in the environment must not stand between a test and this machine.
_OPENER = build_opener(ProxyHandler({}))


class ControlConnection:
    """Reads and posts JSON below ``/_emulator/``.

    Args:
        start_page_url: ``http://127.0.0.1:PORT/``, as the emulator prints it.
    """

    def __init__(self, start_page_url: str) -> None:
        self._control_url = f"{start_page_url.rstrip('/')}/_emulator"

    def _get(self, path: str) -> Any:
        return _exchange(Request(f"{self._control_url}/{path}"))

    def _post(self, path: str, fields: Mapping[str, Any]) -> Any:
        body = json.dumps(fields).encode()
        headers = {"content-type": "application/json"}
        return _exchange(Request(f"{self._control_url}/{path}", data=body, headers=headers))


def _exchange(request: Request) -> Any:
    try:
        with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return json.loads(answer.read())
    except HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        raise ValueError(_reason(text)) from None


def _reason(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the emulator answered: {text[:300]}"
