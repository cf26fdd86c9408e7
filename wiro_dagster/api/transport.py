"""How requests travel: signed one by one, with timeouts, and repeated only where that is safe.

Two adapters are mounted by URL, so that no caller can mix them up. Below `{base}/Run/` a request
is sent once, on a connection of its own: there is no idempotency key, each accepted run is billed.
Everywhere else it is repeated after faults, each attempt with a fresh nonce and signature; left to
itself, urllib3 would send the first attempt's headers again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from requests import Session
from requests.adapters import HTTPAdapter

from wiro_dagster.api.adapters import (
    FreshAdapter,
    RepeatingAdapter,
    SigningAdapter,
    find_retry_after,
)
from wiro_dagster.api.answers import Answer
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.bodies import Body
from wiro_dagster.api.failures import NETWORK_ERRORS, describe_failure
from wiro_dagster.api.retry import SlowDown
from wiro_dagster.api.sessions import SessionSource, choose_proxies, open_session
from wiro_dagster.errors import (
    ApiError,
    ConfigurationError,
    OutcomeUnknown,
    ServiceUnreachable,
)

RUN_PATH = "Run/"

_LONGEST_SUBMIT_WAIT_SECONDS = 0.5


class Transport:
    """Posts to Wiro's endpoints. Shared by threads; a forked child gets connections of its own.

    Args:
        credentials: of the project.
        base_url: without a slash at the end.
        connect_timeout_seconds: for each connection.
        read_timeout_seconds: for each silence, and for the body of an answer as a whole.
        submit_timeout_seconds: the same for a run, which is not repeated: longer, because giving up
            on one leaves its outcome unknown.
        read_attempts: how often a repeatable call is made in all.
        longest_wait_seconds: how long a repeatable call sleeps in one go.
        pool_size: connections kept open.
        clock: gives seconds that never go back.
        sleep: waits for that many seconds.

    Raises:
        ConfigurationError: the base URL is none, or a number is out of range.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        base_url: str,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        submit_timeout_seconds: float,
        read_attempts: int,
        longest_wait_seconds: float,
        pool_size: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if read_attempts < 1 or pool_size < 1:
            raise ConfigurationError("read_attempts and pool_size must be 1 or more.")
        if min(connect_timeout_seconds, read_timeout_seconds, submit_timeout_seconds) <= 0:
            raise ConfigurationError("Timeouts must be more than 0 seconds.")
        self.base_url, self._host = _read_base_url(base_url)
        self._read_timeouts = (connect_timeout_seconds, read_timeout_seconds)
        self._submit_timeouts = (connect_timeout_seconds, submit_timeout_seconds)
        slow_down = SlowDown(clock, sleep)

        def open_api_session() -> Session:
            session = open_session()
            session.mount(
                f"{self.base_url}/",
                RepeatingAdapter(
                    SigningAdapter(
                        credentials,
                        HTTPAdapter(max_retries=0, pool_maxsize=pool_size),
                        slow_down=slow_down,
                        read_timeout_seconds=read_timeout_seconds,
                        longest_wait_seconds=longest_wait_seconds,
                    ),
                    attempts=read_attempts,
                    longest_wait_seconds=longest_wait_seconds,
                    sleep=sleep,
                ),
            )
            # The longer prefix wins.
            session.mount(
                f"{self.base_url}/{RUN_PATH}",
                SigningAdapter(
                    credentials,
                    FreshAdapter(),
                    slow_down=slow_down,
                    read_timeout_seconds=submit_timeout_seconds,
                    longest_wait_seconds=_LONGEST_SUBMIT_WAIT_SECONDS,
                ),
            )
            return session

        self._sessions = SessionSource(open_api_session)

    def post(self, path: str, body: Body, *, call: str) -> Answer:
        """Send one request and return its answer, whatever its status.

        Args:
            path: below the base URL, without a slash in front.
            body: to send.
            call: what is called, for error messages.

        Raises:
            ServiceUnreachable: nothing of the body left this machine.
            OutcomeUnknown: some of it did, and no whole answer came back.
            RateLimited: Wiro asked to hold back; nothing was sent.
        """
        is_submission = path.startswith(RUN_PATH)
        try:
            response = self._sessions.get_session().post(
                f"{self.base_url}/{path}",
                data=body,
                headers={"Content-Type": body.content_type},
                timeout=self._submit_timeouts if is_submission else self._read_timeouts,
                proxies=choose_proxies(self._host),
                allow_redirects=False,
                stream=True,  # the adapter reads the body, under a cap and a deadline
            )
            return Answer(response.status_code, response.content, find_retry_after(response))
        except NETWORK_ERRORS as error:
            # Without a cause: urllib3's errors can quote the answer, which may hold a token.
            raise _read_fault(call, body, error) from None

    def close(self) -> None:
        """Close all connections."""
        self._sessions.close()


def _read_fault(call: str, body: Body, error: Exception) -> ApiError:
    reason = describe_failure(error)
    if not body.has_left:
        return ServiceUnreachable(
            f"Wiro could not be reached for {call}: {reason}. Nothing was sent. "
            "Check the base URL and the network, then try again."
        )
    return OutcomeUnknown(
        f"No whole answer came to {call}: {reason}. "
        "Read again; after a submission, look for the task before submitting again."
    )


def _read_base_url(base_url: str) -> tuple[str, str | None]:
    """Return the base URL without a slash at its end, and its host."""
    try:
        parts = urlsplit(base_url.strip())
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ConfigurationError("The base URL must look like https://api.wiro.ai/v1.")
    if parts.query or parts.fragment:
        raise ConfigurationError("The base URL must end with its path: no '?' and no '#'.")
    return base_url.strip().rstrip("/"), host
