"""Every call, download, callback and socket, with secrets redacted."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from wiro_dagster.emulator.state import State

EntryKind = Literal["call", "download", "callback", "socket"]

REDACTED = "[redacted]"
_SECRET_NAMES = frozenset(
    {
        "tasktoken",
        "socketaccesstoken",
        "accesskey",
        "x-api-key",
        "x-signature",
        "x-nonce",
        "authorization",
        "cookie",
    }
)
# Callback URLs carry a token of their own; output URLs need no key.
_SECRET_URL_NAMES = frozenset({"callbackurl", "url"})
_LONGEST_TEXT = 2_000
_LONGEST_ENTRY = 8_000


class Redactor:
    """Takes everything out of a value that must not be written down.

    Args:
        secrets: texts that are cut out wherever they occur.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._texts = tuple(secrets)
        wanted = [re.escape(secret) for secret in secrets if secret]
        self._secrets = re.compile("|".join(wanted)) if wanted else None

    def with_secrets(self, secrets: Sequence[str]) -> Redactor:
        """Return one that cuts these texts out as well."""
        return Redactor((*self._texts, *secrets))

    def value(self, value: Any) -> Any:
        """Return the value without secrets, and without the tail of very long texts."""
        if isinstance(value, Mapping):
            shown = {
                self.text(str(name)): self._field(str(name), item) for name, item in value.items()
            }
            return shown | _digests(value)
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value[:20]]
        return self.text(value) if isinstance(value, str) else value

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        short = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
        return self._secrets.sub(REDACTED, short) if self._secrets else short

    def _field(self, name: str, value: Any) -> Any:
        lowered = name.lower()
        if lowered in _SECRET_NAMES:
            return REDACTED if value else value
        if lowered in _SECRET_URL_NAMES and isinstance(value, str):
            return redact_url(value)
        return self.value(value)


def _digests(fields: Mapping[Any, Any]) -> dict[str, str]:
    """Return what tells callback URLs apart: runs of one marker are seen to be of one."""
    return {
        f"{name}Digest": hashlib.sha256(url.encode()).hexdigest()[:16]
        for name, url in fields.items()
        if str(name).lower() == "callbackurl" and isinstance(url, str) and url
    }


def redact_url(url: str) -> str:
    """Return the URL's scheme and host alone."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{REDACTED}" if parts.netloc else url and REDACTED


@dataclass(frozen=True)
class Entry:
    """One line of the journal.

    Args:
        kind: a call of the API, a download, a callback that was sent, or a socket.
        endpoint: "Run/minimax/hailuo-2-3", "Task/Detail", a file's name, a callback's host.
        at: the emulator's time.
        http_status: the status answered, or received for a callback; None if there was no answer.
        fault: the fault that spoiled it.
        task_id: the task it is about, if known.
        duration_ms: of the emulator's work.
        request: what came in.
        answer: what went out.
        note: something a reader should know.
    """

    kind: EntryKind
    endpoint: str
    at: float
    http_status: int | None = None
    fault: str | None = None
    task_id: str | None = None
    duration_ms: float | None = None
    request: Any = None
    answer: Any = None
    note: str | None = None


class Journal:
    """Writes and reads the journal, kept in the state."""

    def __init__(self, state: State, redactor: Redactor) -> None:
        self._connection = state.connection
        self._redactor = redactor

    def hide(self, *secrets: str) -> None:
        """Cut these texts out of all further lines, too."""
        self._redactor = self._redactor.with_secrets(secrets)

    def add(self, entry: Entry) -> None:
        """Write one line, redacted."""
        self._connection.execute(
            "INSERT INTO journal (kind, endpoint, at, http_status, fault, task_id, duration_ms, "
            "request, answer, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.kind,
                self._redactor.text(entry.endpoint),
                entry.at,
                entry.http_status,
                entry.fault,
                entry.task_id,
                entry.duration_ms,
                self._json(entry.request),
                self._json(entry.answer),
                None if entry.note is None else self._redactor.text(entry.note),
            ),
        )

    def list(
        self,
        *,
        kind: str | None = None,
        endpoint: str | None = None,
        task_id: str | None = None,
        after: int = 0,
        limit: int = 1000,
        newest_first: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the lines that fit, oldest first by default.

        Args:
            kind: only of this kind.
            endpoint: only of this endpoint, or below it ("Run" covers every model).
            task_id: only about this task.
            after: only lines with a greater number.
            limit: how many at most.
            newest_first: whether the newest come first.
        """
        where, values = ["number > ?"], [after]  # type: list[str], list[Any]
        for column, value in (("kind", kind), ("task_id", task_id)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        if endpoint is not None:
            where.append("(endpoint = ? OR substr(endpoint, 1, ?) = ?)")
            values.extend([endpoint, len(endpoint) + 1, f"{endpoint}/"])
        order = "DESC" if newest_first else "ASC"
        rows = self._connection.execute(
            f"SELECT * FROM journal WHERE {' AND '.join(where)} ORDER BY number {order} LIMIT ?",
            [*values, limit],
        )
        return [_line(row) for row in rows]

    def _json(self, value: Any) -> str:
        text = json.dumps(self._redactor.value(value))
        return text if len(text) <= _LONGEST_ENTRY else json.dumps(f"{text[:_LONGEST_ENTRY]}…")


def _line(row: sqlite3.Row) -> dict[str, Any]:
    return {
        **dict(row),
        "request": json.loads(row["request"]),
        "answer": json.loads(row["answer"]),
    }
