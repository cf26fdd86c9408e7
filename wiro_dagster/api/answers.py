"""What comes back over HTTP, and the envelope in it.

Most failures come as HTTP 200 with `result: false`, so the envelope is read first, at any status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wiro_dagster.api.wire import (
    find_list,
    find_name,
    find_text,
    find_truth,
    find_whole,
    parse_json,
    read_objects,
)
from wiro_dagster.errors import OutcomeUnknown

_MESSAGE_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP."""

    status: int
    body: bytes
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class WireError:
    """One entry of an envelope's `errors`."""

    code: int | None
    """None for a bare string."""
    message: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """The frame around every answer."""

    result: bool | None
    """None if it is missing or neither true nor false."""
    errors: tuple[WireError, ...]
    fields: Mapping[str, Any]
    """The whole answer."""


def find_envelope(body: bytes, secrets: Iterable[str] = ()) -> Envelope | None:
    """Return the envelope of an answer; None if the body is not a JSON object.

    Args:
        body: as received.
        secrets: texts to redact from the error messages, in case Wiro echoes them.
    """
    try:
        fields = parse_json(body)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    token = find_name(fields.get("socketaccesstoken"))
    hidden = [*secrets, *([token] if token else [])]
    return Envelope(
        result=find_truth(fields.get("result")),
        errors=tuple(_read_error(item, hidden) for item in _list_errors(fields.get("errors"))),
        fields=fields,
    )


def _list_errors(value: Any) -> Iterable[Any]:
    items = find_list(value)
    return items if items is not None else [value] if value else []


def _read_error(item: Any, secrets: Iterable[str]) -> WireError:
    fields = item if isinstance(item, dict) else {"message": item}
    message = find_text(fields.get("message")) or ""
    # Our own sentences quote it and have their own full stop.
    line = shorten(redact(message, secrets)).removesuffix(".")
    return WireError(code=find_whole(fields.get("code")), message=line)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return the text with every secret replaced."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, "[redacted]")
    return text


def shorten(text: str) -> str:
    """Return a remote text as one short line without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MESSAGE_LIMIT else line[: _MESSAGE_LIMIT - 1] + "…"


def get_objects(call: str, fields: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list that an answer must hold.

    Raises:
        OutcomeUnknown: the list is missing.
    """
    if find_list(fields.get(name)) is None:
        raise refuse_shape(call, name)
    return read_objects(fields[name])


def refuse_shape(call: str, name: str) -> OutcomeUnknown:
    """Return the error for a positive answer without its content."""
    return OutcomeUnknown(f"Wiro's answer to {call} has no usable {name!r}. Read again.")
