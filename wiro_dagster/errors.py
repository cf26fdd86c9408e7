"""Every error this package raises on purpose.

    try:
        client.submit("minimax/hailuo-2-3", inputs)
    except RequestRefused as error:      # Wiro said no; nothing was created
        ...
    except NothingAccepted as error:     # nothing was created; the same call may go through later
        ...
    except OutcomeUnknown as error:      # a billable task may exist: look before calling again
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
    ├── DownloadError
    ├── MediaError
    ├── StoreError
    └── LedgerError

Messages carry facts and end with the next step. None of them ever holds a secret or a task token.
"""

from __future__ import annotations

from decimal import Decimal


class WiroError(Exception):
    """The root of the tree: catch it to catch everything this package raises on purpose."""


class ConfigurationError(WiroError):
    """A setting is missing or malformed. The message names it."""


class InputError(WiroError):
    """A prompt or a model's input is wrong. Raised before anything is sent.

    Args:
        problems: one line for each problem, each naming file, entry and field where known.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ApiError(WiroError):
    """A call to Wiro did not give what was asked for.

    Args:
        message: what happened, without secrets.
        code: the first error code of Wiro's envelope, where there was one.
        http_status: the HTTP status of the answer, where there was one.
    """

    def __init__(
        self, message: str, *, code: int | None = None, http_status: int | None = None
    ) -> None:
        self.code = code
        self.http_status = http_status
        super().__init__(message)


class RequestRefused(ApiError):
    """Wiro refused the request for good: nothing was created, and repeating it changes nothing."""


class AuthenticationRefused(RequestRefused):
    """The API key or its signature was refused. Final until the credentials are corrected."""


class InsufficientBalance(RequestRefused):
    """The account's balance does not cover the run (code 97). Final until funds are added."""


class NotFound(RequestRefused):
    """The model or task does not exist for this key, or is not in a state that allows the call."""


class NothingAccepted(ApiError):
    """Nothing was accepted for sure: the same call may go through later.

    Args:
        retry_after_seconds: how long the answer asked to wait, where it did.
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
    """As many tasks are under way as the balance allows (code 96).

    Args:
        limit: the number of concurrent tasks allowed, where the message names it.
        balance_usd: the balance the limit was derived from, where the message names it.
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
    """Too many requests (HTTP 429)."""


class ServiceUnreachable(NothingAccepted):
    """No connection could be made: name not found, connection refused, TLS not agreed."""


class SubmissionWithdrawn(NothingAccepted):
    """The caller took a submission back right before its first byte. Nothing was sent."""


class OutcomeUnknown(ApiError):
    """The request may have been accepted: time-out, reset, 5xx, HTML or an unrecognised answer.

    For a read this means "try again". For a submission it means "look for the task first".
    """


class DownloadError(WiroError):
    """An output file could not be downloaded.

    Args:
        is_final: another try would fail in the same way (malformed address, larger than allowed).
        is_configuration: a setting of ours forbids it. The message names the setting. Once the
            setting is changed, the same download can succeed.
    """

    def __init__(
        self, message: str, *, is_final: bool = False, is_configuration: bool = False
    ) -> None:
        self.is_final = is_final
        self.is_configuration = is_configuration
        super().__init__(message)


class MediaError(WiroError):
    """A file is not what it claims to be: it cannot be decoded, or has no frames."""


class StoreError(WiroError):
    """The video store cannot be reached, is full, or lost a file.

    Args:
        is_configuration: a person has to change something at the store first: it refuses the
            credentials, or the bucket is missing. Nothing needs to be given up meanwhile.
    """

    def __init__(self, message: str, *, is_configuration: bool = False) -> None:
        self.is_configuration = is_configuration
        super().__init__(message)


class LedgerError(WiroError):
    """The ledger cannot be used: unreachable, or written by another version of its schema."""
