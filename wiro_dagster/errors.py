"""All errors that this package raises on purpose.

    try:
        client.submit("minimax/hailuo-2-3", inputs)
    except RequestRefused as error:      # Wiro said no. Nothing was created.
        ...
    except NothingAccepted as error:     # Nothing was created. The same call may succeed later.
        ...
    except OutcomeUnknown as error:      # A billable task may exist. Look before you call again.
        ...

    WiroError
    ├── ConfigurationError
    ├── InputError
    ├── ApiError
    │   ├── RequestRefused
    │   │   ├── AuthenticationRefused
    │   │   ├── InsufficientBalance
    │   │   └── NotFound
    │   ├── NothingAccepted
    │   │   ├── ConcurrencyLimitReached
    │   │   ├── RateLimited
    │   │   ├── ServiceUnreachable
    │   │   └── SubmissionWithdrawn
    │   └── OutcomeUnknown
    ├── OrderFailed
    ├── DownloadError
    ├── MediaError
    ├── StoreError
    └── LedgerError

A message states facts and ends with the next step. It never contains a secret or a task token.
"""

from __future__ import annotations

from decimal import Decimal


class WiroError(Exception):
    """The root of the tree. Catch it to catch every error that this package raises on purpose."""


class ConfigurationError(WiroError):
    """A setting is missing or malformed. The message names the setting."""


class InputError(WiroError):
    """A prompt or a model's input is wrong. Raised before anything is sent.

    Args:
        problems: one line for each problem, with its file, entry and field if they are known.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ApiError(WiroError):
    """A call to Wiro failed.

    Args:
        message: what happened, without secrets.
        code: the first error code of Wiro's answer, if it has one.
        http_status: the HTTP status of the answer, if there was an answer.
    """

    def __init__(
        self, message: str, *, code: int | None = None, http_status: int | None = None
    ) -> None:
        self.code = code
        self.http_status = http_status
        super().__init__(message)


class RequestRefused(ApiError):
    """Wiro refused the request. Nothing was created, and the same request would fail again."""


class AuthenticationRefused(RequestRefused):
    """Wiro refused the API key or its signature. Correct the credentials to go on."""


class InsufficientBalance(RequestRefused):
    """The account's balance does not cover the run (code 97). Add funds to go on."""


class NotFound(RequestRefused):
    """This key sees no such model or task, or its state does not allow the call."""


class NothingAccepted(ApiError):
    """Wiro certainly accepted nothing. The same call may succeed later.

    Args:
        retry_after_seconds: how long the answer asked us to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        http_status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message, code=code, http_status=http_status)


class ConcurrencyLimitReached(NothingAccepted):
    """The account runs as many tasks as its balance allows (code 96).

    Args:
        limit: how many concurrent tasks are allowed, if the message says so.
        balance_usd: the balance that the limit is based on, if the message says so.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = 96,
        http_status: int | None = None,
        limit: int | None = None,
        balance_usd: Decimal | None = None,
    ) -> None:
        self.limit = limit
        self.balance_usd = balance_usd
        super().__init__(message, code=code, http_status=http_status)


class RateLimited(NothingAccepted):
    """The account sent too many requests (HTTP 429)."""


class ServiceUnreachable(NothingAccepted):
    """No connection was made: unknown host name, refused connection, failed TLS handshake."""


class SubmissionWithdrawn(NothingAccepted):
    """The caller withdrew a submission right before its first byte. Nothing was sent."""


class OutcomeUnknown(ApiError):
    """Wiro may have accepted the request: timeout, reset, 5xx, HTML or an unrecognised answer.

    After a read, try again. After a submission, look for the task first.
    """


class OrderFailed(WiroError):
    """An order produced no usable files, or may not be placed.

    Args:
        message: why, and what to do.
        order_id: the order's id in the ledger.
        cost_usd: what it cost, all tries together.
    """

    def __init__(self, message: str, *, order_id: int | None = None, cost_usd: Decimal) -> None:
        self.order_id = order_id
        self.cost_usd = cost_usd
        super().__init__(message)


class DownloadError(WiroError):
    """An output file could not be downloaded.

    Args:
        is_final: another try would fail in the same way (malformed address, larger than allowed).
        is_configuration: a setting of ours forbids it. The message names the setting. Once the
            setting is changed, the same download can succeed. If `is_final` is set too, it forbids
            this file only.
    """

    def __init__(
        self, message: str, *, is_final: bool = False, is_configuration: bool = False
    ) -> None:
        self.is_final = is_final
        self.is_configuration = is_configuration
        super().__init__(message)


class MediaError(WiroError):
    """A media file cannot be decoded, or has no frames."""


class StoreError(WiroError):
    """The video store cannot be reached, is full, or has lost a file.

    Args:
        is_configuration: the store refuses the credentials, or the bucket is missing. The same
            call can succeed once that is corrected.
    """

    def __init__(self, message: str, *, is_configuration: bool = False) -> None:
        self.is_configuration = is_configuration
        super().__init__(message)


class LedgerError(WiroError):
    """The ledger cannot be reached, or was written by another version of this package."""
