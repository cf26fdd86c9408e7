"""The answer to a run, which decides over money: a task exists, none does, or nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from wiro_dagster.api.answers import Answer, find_envelope, find_failure
from wiro_dagster.api.types import Submission
from wiro_dagster.api.wire import find_name, read_text
from wiro_dagster.errors import OutcomeUnknown

_SHORTEST_SECRET = 8
"""Shorter parts of a URL are words, and guessable."""


def read_submission(call: str, answer: Answer, secrets: Iterable[str]) -> Submission:
    """Return the task that an accepted run created.

    Args:
        call: what was called, for error messages.
        answer: as received.
        secrets: texts to blot out of messages.

    Raises:
        ApiError: of the kind that tells whether a task may exist.
    """
    envelope = find_envelope(answer.body, secrets)
    task_id = None if envelope is None else find_name(envelope.fields.get("taskid"))
    if envelope is not None and task_id is not None:
        if envelope.result is False:
            raise OutcomeUnknown(
                f"Wiro refused {call} and named a task, {task_id}, nevertheless. Look at it "
                "before submitting again.",
                http_status=answer.status,
            )
        return Submission(task_id, read_text(envelope.fields.get("socketaccesstoken")))
    failure = find_failure(call, answer, envelope)
    if failure is not None:
        raise failure
    raise OutcomeUnknown(
        f"Wiro accepted {call} without naming the task. Look for it before submitting again.",
        http_status=answer.status,
    )


def list_url_secrets(url: str) -> list[str]:
    """Return a callback's URL, and the parts of it that may be secret by themselves."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    pieces = (parts.query, *parts.path.split("/"))
    return [url, *(piece for piece in pieces if len(piece) >= _SHORTEST_SECRET)]
