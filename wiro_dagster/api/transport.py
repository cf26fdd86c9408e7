"""How requests travel: each signed and within a deadline, and repeated only if that is safe.

A run is sent once. Wiro has no idempotency key, so each accepted run is billed. A connection that
the server has closed unnoticed would swallow a run, and not knowing its outcome costs a search, or
a second video. So a run goes over a kept connection only if another run was answered on it a moment
ago and nothing has come since, which is how a closed one shows. Otherwise it pays for a handshake.
If the server closes the connection under it all the same, its outcome is unknown.

Everything else is a read. It is repeated after faults, each attempt with a new nonce and signature,
on connections that are kept.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

import requests
from urllib3.util import parse_url

from wiro_dagster.api.answers import Answer
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.bodies import Body
from wiro_dagster.api.clock import ServerClock
from wiro_dagster.api.exchange import Exchange, StaleConnection
from wiro_dagster.api.failures import NETWORK_ERRORS, describe_failure
from wiro_dagster.api.hosts import AllowedHosts, check_service_url
from wiro_dagster.api.retry import SlowDown, find_pause, read_retry_after
from wiro_dagster.api.sessions import (
    OpenSession,
    SessionSource,
    choose_proxies,
    open_session,
    read_content,
)
from wiro_dagster.errors import (
    ApiError,
    ConfigurationError,
    OutcomeUnknown,
    ServiceUnreachable,
)

_LONGEST_SUBMIT_WAIT_SECONDS = 0.5
_RUN_IDLE_SECONDS = 1.0
"""A connection that was idle for so long takes no run. Servers keep one for 2 seconds or more."""
_FRESH_ONLY = 0.0

_SLOWEST_UPLOAD_BYTES_PER_SECOND = 128 * 1024
"""A request with files gets this much more time than one without."""


class Transport:
    """Posts to Wiro's endpoints. Shared by threads; a forked child gets connections of its own.

    Args:
        credentials: of the project.
        base_url: of the REST API.
        http_hosts: hosts that may be called without TLS, beside this machine.
        connect_timeout_seconds: for each connection.
        read_timeout_seconds: for one attempt at a read, from connecting to the end of its answer.
        submit_timeout_seconds: the same for a run. Longer, because giving up on a run leaves its
            outcome unknown.
        read_attempts: how often a read is sent in all.
        longest_wait_seconds: how long a read sleeps in one go.
        pool_size: connections kept open.
        open_session: opens the sessions that requests go through.
        clock: gives seconds that never go back.
        wall_clock: gives unix seconds.
        sleep: waits for that many seconds.

    Raises:
        ConfigurationError: the base URL is malformed, or a number is out of range.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        base_url: str,
        http_hosts: AllowedHosts,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        submit_timeout_seconds: float,
        read_attempts: int,
        longest_wait_seconds: float,
        pool_size: int,
        open_session: OpenSession = open_session,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if read_attempts < 1 or pool_size < 1:
            raise ConfigurationError("read_attempts and pool_size must be 1 or more.")
        if min(connect_timeout_seconds, read_timeout_seconds, submit_timeout_seconds) <= 0:
            raise ConfigurationError("Timeouts must be more than 0 seconds.")
        self.base_url = check_service_url("base_url", base_url, ("https", "http"), http_hosts)
        self._proxies = choose_proxies(parse_url(self.base_url).host)
        self.server_clock = ServerClock()
        self._credentials = credentials
        self._connect_timeout_seconds = connect_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._submit_timeout_seconds = submit_timeout_seconds
        self._read_attempts = read_attempts
        self._longest_wait_seconds = longest_wait_seconds
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._slow_down = SlowDown(clock, sleep)
        self._clock = clock
        # Runs and reads share no connection: no answer to one can be taken for the other's.
        self._runs = SessionSource(lambda: open_session(pool_size=pool_size))
        self._reads = SessionSource(lambda: open_session(pool_size=pool_size))

    def submit(
        self,
        model_slug: str,
        body: Body,
        *,
        call: str,
        confirm: Callable[[], bool] | None = None,
        headers: Mapping[str, str],
    ) -> Answer:
        """Send a run, once.

        Args:
            model_slug: `owner/project`.
            body: to send.
            call: what is called, for error messages.
            confirm: see `Exchange`.
            headers: to send beside ours.

        Raises:
            ServiceUnreachable: nothing left this machine.
            SubmissionWithdrawn: `confirm` said no; nothing left this machine.
            OutcomeUnknown: something left, and no whole answer came back.
            RateLimited: Wiro asked to hold back; nothing was sent.
        """
        self._slow_down.wait(longest_seconds=_LONGEST_SUBMIT_WAIT_SECONDS)
        session = self._runs.get_session()

        def send(idle_seconds: float) -> Answer:
            seconds = self._submit_timeout_seconds
            exchange = self._open_exchange(body, seconds, confirm, idle_seconds)
            return self._post(session, exchange, f"Run/{model_slug}", body, call, headers)

        try:
            return send(_RUN_IDLE_SECONDS)
        except StaleConnection:
            # The server closed it before the first byte left, so this is not a second run.
            return send(_FRESH_ONLY)

    def read(self, path: str, body: Body, *, call: str) -> Answer:
        """Send a request that creates nothing, again after faults that may pass.

        Args:
            path: below the base URL, without a slash in front; never that of a run.
            body: to send.
            call: what is called, for error messages.

        Raises:
            ServiceUnreachable: the last attempt did not leave this machine.
            OutcomeUnknown: no whole answer came back to the last attempt.
            RateLimited: Wiro asked to hold back for longer than a read may sleep.
        """
        attempt = 1
        while True:
            self._slow_down.wait(longest_seconds=self._longest_wait_seconds)
            outcome = self._attempt_read(path, body, call)
            pause_seconds = find_pause(outcome, attempt, jitter=random.random())
            is_worth_it = pause_seconds is not None and pause_seconds <= self._longest_wait_seconds
            if not is_worth_it or attempt == self._read_attempts:
                break
            self._sleep(pause_seconds or 0.0)
            attempt += 1
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome

    def close(self) -> None:
        """Close all connections."""
        self._runs.close()
        self._reads.close()

    def _attempt_read(self, path: str, body: Body, call: str) -> Answer | ApiError:
        exchange = self._open_exchange(body, self._read_timeout_seconds)
        try:
            return self._post(self._reads.get_session(), exchange, path, body, call, {})
        except (ServiceUnreachable, OutcomeUnknown) as error:
            return error

    def _open_exchange(
        self,
        body: Body,
        seconds: float,
        confirm: Callable[[], bool] | None = None,
        idle_seconds: float | None = None,
    ) -> Exchange:
        upload_seconds = len(body) / _SLOWEST_UPLOAD_BYTES_PER_SECOND
        return Exchange(
            seconds=seconds + upload_seconds,
            silence_seconds=seconds,
            confirm=confirm,
            idle_seconds=idle_seconds,
            clock=self._clock,
            wall_clock=self._wall_clock,
        )

    def _post(
        self,
        session: requests.Session,
        exchange: Exchange,
        path: str,
        body: Body,
        call: str,
        headers: Mapping[str, str],
    ) -> Answer:
        try:
            with exchange.running():
                response = session.post(
                    f"{self.base_url}/{path}",
                    data=body,
                    # Ours go last: no setting can replace them.
                    headers={
                        **headers,
                        "Content-Type": body.content_type,
                        **self._credentials.headers(),
                    },
                    timeout=self._connect_timeout_seconds,
                    proxies=self._proxies,
                    allow_redirects=False,
                    stream=True,  # the body is read below, up to a limit
                )
            with response:
                self._note_time(response, exchange)
                answer = Answer(
                    response.status_code,
                    read_content(response.raw),
                    read_retry_after(response.headers.get("Retry-After"), now=self._wall_clock()),
                )
        except NETWORK_ERRORS as error:
            # Without a cause: urllib3's errors can quote the answer, which may hold a token.
            raise _read_fault(call, exchange, error) from None
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._slow_down.postpone(answer.retry_after_seconds)
        return answer

    def _note_time(self, response: requests.Response, exchange: Exchange) -> None:
        if exchange.left_at is not None:
            self.server_clock.note(
                response.headers.get("Date"),
                left_at=exchange.left_at,
                arrived_at=self._wall_clock(),
            )


def _read_fault(call: str, exchange: Exchange, error: Exception) -> ApiError:
    reason = describe_failure(error)
    if exchange.left_at is None:
        return ServiceUnreachable(
            f"Wiro could not be reached for {call}: {reason}. Nothing was sent. "
            "Check the base URL and the network, then try again."
        )
    return OutcomeUnknown(
        f"No whole answer came to {call}: {reason}. "
        "Read again; after a submission, look for the task before submitting again."
    )
