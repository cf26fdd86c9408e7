"""What goes with a run, and what its answer means for money: a task exists, or none, or unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from wiro_dagster.api.answers import Answer, find_envelope
from wiro_dagster.api.bounds import find_id, read_token
from wiro_dagster.api.refusals import find_failure
from wiro_dagster.api.types import Submission
from wiro_dagster.api.wire import find_name
from wiro_dagster.errors import ConfigurationError, OutcomeUnknown

_SHORTEST_SECRET = 8
"""Shorter parts of a URL are words, not secrets."""

_MARKER = "{marker}"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OUR_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
        "x-api-key",
        "x-nonce",
        "x-signature",
    }
)
_OUR_FIELDS = frozenset({"callbackUrl", "projectid"})


@dataclass(frozen=True)
class RunExtras:
    """Headers and fields that are added to every run, by configuration only.

    Wiro's own clients send a key by which a repeated run continues the same task. Its name is not
    public, so this package never guesses it: set it here once you know it. `{marker}` in a value is
    replaced by the run's marker; a run without a marker goes without that value.

    Raises:
        ConfigurationError: a name is ours or malformed, or a value cannot be sent.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse now what would break every run later."""
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _OUR_HEADERS:
                raise ConfigurationError(f"run_headers: {name!r} cannot be set. Remove it.")
            if not value.isascii() or not value.isprintable():
                raise ConfigurationError(
                    f"run_headers: the value of {name} must be one line of ASCII characters."
                )
        for name in self.fields:
            if not name or name in _OUR_FIELDS:
                raise ConfigurationError(f"run_fields: {name!r} cannot be set. Remove it.")

    def fill_headers(self, marker: str | None) -> dict[str, str]:
        """Return the headers for a run with that marker."""
        return _fill(self.headers, marker)

    def fill_fields(self, marker: str | None) -> dict[str, str]:
        """Return the fields for a run with that marker."""
        return _fill(self.fields, marker)


def _fill(values: Mapping[str, str], marker: str | None) -> dict[str, str]:
    return {
        name: value.replace(_MARKER, marker or "")
        for name, value in values.items()
        if marker is not None or _MARKER not in value
    }


def read_submission(call: str, answer: Answer, secrets: Iterable[str]) -> Submission:
    """Return the task that an accepted run created.

    Args:
        call: what was called, for error messages.
        answer: as received.
        secrets: texts to redact from messages.

    Raises:
        ApiError: its kind says whether a task may exist.
    """
    envelope = find_envelope(answer.body, secrets)
    named = None if envelope is None else find_name(envelope.fields.get("taskid"))
    if envelope is None or named is None:
        failure = find_failure(call, answer, envelope)
        if failure is not None:
            raise failure
        raise OutcomeUnknown(
            f"Wiro accepted {call} without naming the task. Look for it before submitting again.",
            http_status=answer.status,
        )
    task_id = find_id(named)
    if task_id is None:
        # It names a task, so one may exist. Only its id cannot be kept.
        raise OutcomeUnknown(
            f"Wiro answered {call} with an unusable task id. Look for the task before submitting "
            "again.",
            http_status=answer.status,
        )
    if envelope.result is False:
        raise OutcomeUnknown(
            f"Wiro refused {call} but named task {task_id}. Look at that task before submitting "
            "again.",
            http_status=answer.status,
        )
    return Submission(task_id, read_token(envelope.fields.get("socketaccesstoken")))


def list_url_secrets(url: str) -> list[str]:
    """Return a callback's URL, and those of its parts that may be secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    pieces = (parts.query, *parts.path.split("/"))
    return [url, *(piece for piece in pieces if len(piece) >= _SHORTEST_SECRET)]
