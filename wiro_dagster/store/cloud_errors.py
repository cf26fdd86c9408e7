"""What the services behind fsspec complain of, as a `StoreError` that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wiro_dagster.errors import MediaError, StoreError

_REFUSED = {400, 401, 403, 404}
_REFUSED_NAMES = {
    "ClientAuthenticationError",
    "CredentialUnavailableError",
    "DefaultCredentialsError",
    "RefreshError",
}
"""Errors of google-auth and azure-identity, which need not be installed."""
_CHARACTERS = 300


@contextmanager
def cloud_errors(what: str, place: str) -> Iterator[None]:
    """Turn the errors of a file system of fsspec into `StoreError`.

    Args:
        what: starts the message: "a.mp4 could not be uploaded to".
        place: the store's URI.
    """
    try:
        yield
    except (StoreError, MediaError):
        raise
    except Exception as error:  # each service has errors of its own
        reason = " ".join(str(error).split())[:_CHARACTERS] or type(error).__name__
        is_configuration = _is_refusal(error)
        step = (
            "Check the bucket's name, and give the credentials the right to read, write and list."
            if is_configuration
            else "This may pass; it will be tried again."
        )
        raise StoreError(
            f"{what} {place}: {reason}. {step}", is_configuration=is_configuration
        ) from error


def _is_refusal(error: Exception) -> bool:
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return True
    if type(error).__name__ in _REFUSED_NAMES:
        return True
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    return status in _REFUSED or str(error).startswith("Forbidden")
