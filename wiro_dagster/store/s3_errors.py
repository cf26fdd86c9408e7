"""Say what went wrong with S3, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wiro_dagster.errors import StoreError

_MISSING = {"404", "NoSuchKey", "NotFound"}
_CHECKSUMS = (
    "If the service does not know S3's checksums, set AWS_REQUEST_CHECKSUM_CALCULATION and "
    "AWS_RESPONSE_CHECKSUM_VALIDATION to when_required."
)
_NEXT_STEPS = {
    "NoSuchBucket": "Create the bucket, or correct its name.",
    "AccessDenied": (
        "Give the client's user s3:PutObject, s3:GetObject and s3:ListBucket there, "
        "and the use of its encryption key."
    ),
    "403": (
        "Give the client's user s3:GetObject and s3:ListBucket there: without the latter S3 "
        "forbids what is only missing."
    ),
    "InvalidAccessKeyId": "Correct the access key.",
    "SignatureDoesNotMatch": "Correct the secret key, and the endpoint if there is one.",
    "ExpiredToken": "Renew the session's credentials.",
    "InvalidStorageClass": "Correct the storage class.",
    "InvalidArgument": _CHECKSUMS,
    "InvalidRequest": _CHECKSUMS,
    "NotImplemented": _CHECKSUMS,
    "EntityTooSmall": "Raise the size of the parts to 5 MiB at least.",
    "PermanentRedirect": "Correct the client's region.",
}
_PASSING = "This may pass; it will be tried again."
_SERVER_FAULT = 500
_TOO_MANY_REQUESTS = 429


def is_missing(error: Any) -> bool:
    """Tell whether a `ClientError` says that the object does not exist."""
    return str(error.response.get("Error", {}).get("Code")) in _MISSING


@contextmanager
def s3_errors(what: str, place: str) -> Iterator[None]:
    """Turn boto3's errors into `StoreError`.

    Args:
        what: starts the message: "a.mp4 could not be uploaded to".
        place: the store's URI.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        # upload_file wraps the service's answer in an error of its own, without its code.
        cause = error if isinstance(error, (BotoCoreError, ClientError)) else error.__context__
        raise StoreError(
            f"{what} {place}: {_reason_and_step(cause or error)}",
            is_configuration=_is_configuration(cause or error),
        ) from error
    except OSError as error:
        raise StoreError(
            f"{what} {place}: {error.strerror or error}. Check this machine's temporary folder."
        ) from error


def _is_configuration(error: BaseException) -> bool:
    """Tell whether a setting must change before the same call can succeed."""
    from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError

    if not isinstance(error, ClientError):
        return isinstance(error, (NoCredentialsError, PartialCredentialsError))
    return str(error.response.get("Error", {}).get("Code")) in _NEXT_STEPS


def _reason_and_step(error: BaseException) -> str:
    from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError

    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        code, message = str(answer.get("Code", "?")), answer.get("Message", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        passes = status >= _SERVER_FAULT or status == _TOO_MANY_REQUESTS or code == "SlowDown"
        step = _NEXT_STEPS.get(code) or (_PASSING if passes else "Check the store's settings.")
        return f"{message} ({code}). {step}"
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return f"{error}. Configure the S3 client's credentials."
    return f"{error}. {_PASSING}"
