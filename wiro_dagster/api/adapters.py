"""Ways of sending, to be put around each other.

A run is signed and sent once, on a fresh connection. A read is repeated after faults, each attempt
signed anew, on connections that are kept.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.response import BaseHTTPResponse

from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.failures import NETWORK_ERRORS
from wiro_dagster.api.retry import SlowDown, build_policy, plan_repeat, read_retry_after
from wiro_dagster.api.sessions import read_pieces

_LARGEST_ANSWER_BYTES = 64 * 1024 * 1024


class FreshAdapter(BaseAdapter):
    """Sends each request on a connection of its own.

    A pooled connection may have gone stale, which shows only after sending on it. A fresh one
    costs a handshake; after a run, not knowing costs a search.
    """

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send one request; its connection ends with the answer's body."""
        request.headers["Connection"] = "close"
        adapter = HTTPAdapter(max_retries=0)
        try:
            return adapter.send(request, *args, **kwargs)
        finally:
            # The connection in use is left alone, and not kept once the body was read.
            adapter.close()

    def close(self) -> None:
        """Do nothing: no connection is kept."""


class SigningAdapter(BaseAdapter):
    """Sends a request once, signed as it goes out, and reads the whole answer.

    Args:
        credentials: sign each request.
        inner: sends it.
        slow_down: asked before, and told about a 429 after.
        read_timeout_seconds: within which the whole body has to arrive, too.
        longest_wait_seconds: asked to wait for longer, it gives up.
    """

    def __init__(
        self,
        credentials: Credentials,
        inner: BaseAdapter,
        *,
        slow_down: SlowDown,
        read_timeout_seconds: float,
        longest_wait_seconds: float,
    ) -> None:
        super().__init__()
        self._credentials = credentials
        self._inner = inner
        self._slow_down = slow_down
        self._read_timeout_seconds = read_timeout_seconds
        self._longest_wait_seconds = longest_wait_seconds

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send one request, and return its answer with the body in memory."""
        self._slow_down.wait(longest_seconds=self._longest_wait_seconds)
        request.headers.update(self._credentials.headers())
        response = self._inner.send(request, *args, **kwargs)
        try:
            content = _read_content(response.raw, self._read_timeout_seconds)
        finally:
            response.close()
        response.raw = io.BytesIO(content)
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            self._slow_down.postpone(find_retry_after(response))
        return response

    def close(self) -> None:
        """Close the connections that are kept."""
        self._inner.close()


class RepeatingAdapter(BaseAdapter):
    """Sends a request again after faults that may pass.

    Args:
        inner: sends each attempt; it has to sign each one anew.
        attempts: how often it is sent in all.
        longest_wait_seconds: asked to wait for longer between two, it gives up.
        sleep: waits for that many seconds.
    """

    def __init__(
        self,
        inner: BaseAdapter,
        *,
        attempts: int,
        longest_wait_seconds: float,
        sleep: Callable[[float], None],
    ) -> None:
        super().__init__()
        self._inner = inner
        self._policy = build_policy(attempts)
        self._longest_wait_seconds = longest_wait_seconds
        self._sleep = sleep

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send a request until there is an answer worth reading, or no attempt left."""
        policy = self._policy
        while True:
            outcome: requests.Response | Exception
            try:
                outcome = self._inner.send(request, *args, **kwargs)
                status, retry_after_seconds = outcome.status_code, find_retry_after(outcome)
            except NETWORK_ERRORS as error:
                outcome, status, retry_after_seconds = error, None, None
            plan = plan_repeat(
                policy,
                status=status,
                retry_after_seconds=retry_after_seconds,
                longest_wait_seconds=self._longest_wait_seconds,
            )
            if plan is not None:
                policy, delay_seconds = plan
                self._sleep(delay_seconds)
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                return outcome

    def close(self) -> None:
        """Close the connections that are kept."""
        self._inner.close()


def find_retry_after(response: requests.Response) -> float | None:
    """Return the seconds that an answer asks to wait."""
    return read_retry_after(response.headers.get("Retry-After"), now=time.time())


def _read_content(raw: BaseHTTPResponse, longest_seconds: float) -> bytes:
    content = bytearray()
    for piece in read_pieces(raw, longest_seconds=longest_seconds):
        content += piece
        if len(content) > _LARGEST_ANSWER_BYTES:
            raise requests.ConnectionError("the answer is larger than 64 MiB")
    return bytes(content)
