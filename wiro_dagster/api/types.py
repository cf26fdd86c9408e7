"""Tasks and files as Wiro answers them, translated once: every value here is frozen and typed.

Money is `Decimal` USD, times are unix seconds, durations are seconds, sizes are bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from wiro_dagster.api.bounds import (
    Id,
    MaybeId,
    MaybeLength,
    MaybeMoney,
    MaybeSize,
    MaybeTime,
    MaybeUrl,
    MaybeWord,
    Printed,
    Token,
    Word,
)
from wiro_dagster.api.wire import (
    find_list,
    find_name,
    find_object,
    find_percentage,
    find_text,
    find_whole,
    read_slug,
)
from wiro_dagster.errors import NotFound, OutcomeUnknown

TaskState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

TERMINAL_STATUSES = frozenset({"task_postprocess_end", "task_cancel"})
"""The statuses after which a task no longer runs. Its outputs and cost may still be missing."""

_CALLBACK_INPUTS = ("callbackUrl", "callbackurl")
_OPTION_INPUTS = frozenset({*_CALLBACK_INPUTS, "projectid"})
"""Sent beside the inputs, and echoed among them."""

_REASON_LIMIT = 500


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine as a model's input; it is streamed as multipart."""

    path: Path
    content_type: str | None = None
    """Guessed from the name if it is not given."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The answer to an accepted run: a billable task exists."""

    task_id: str
    task_token: str = field(repr=False)
    """Opens the task's WebSocket and deletes its files. A secret."""


class WireModel(BaseModel):
    """A frozen value read from Wiro's JSON. Fields that it does not name are ignored."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, protected_namespaces=())


_Model = TypeVar("_Model", bound=WireModel)


def read_each(kind: type[_Model], items: Iterable[Any]) -> tuple[_Model, ...]:
    """Return the items that can be read, without the others."""
    return tuple(model for item in items if (model := find_model(kind, item)) is not None)


def find_model(kind: type[_Model], item: Any) -> _Model | None:
    """Return an item as a model; None if it lacks what the model needs, such as an id."""
    try:
        return kind.model_validate(item)
    except ValidationError:
        return None


def _find_content(value: Any) -> str | None:
    """Return a language model's text; anything structured is kept as JSON text."""
    if not isinstance(value, (dict, list)):
        return find_text(value)
    try:
        return json.dumps(value, ensure_ascii=True)
    except RecursionError:
        return None


class OutputFile(WireModel):
    """One result of a task: a file on Wiro's CDN, or text of a language model."""

    id: MaybeId = None
    name: Word = ""
    url: MaybeUrl = None
    """Anyone who has it can read the file, for a limited time."""
    content_type: MaybeWord = Field(default=None, validation_alias="contenttype")
    size_bytes: MaybeSize = Field(default=None, validation_alias="size")
    """As Wiro announces it; not measured."""
    content: Annotated[str | None, BeforeValidator(_find_content)] = None
    """Text, for language models; there is no file then."""


def _read_outputs(value: Any) -> tuple[OutputFile, ...]:
    outputs = read_each(OutputFile, find_list(value) or ())
    return tuple(item for item in outputs if item.url is not None or item.content is not None)


class Task(WireModel):
    """One task as Task/Detail or Task/List shows it."""

    id: Id
    status: Word = ""
    """Wiro's own word, also one that is not documented."""
    exit_code: MaybeWord = Field(default=None, validation_alias="pexit")
    """None if Wiro does not state it, or leaves it empty."""
    inputs: Mapping[str, Any] = {}
    """The inputs as they were sent."""
    outputs: Annotated[tuple[OutputFile, ...], BeforeValidator(_read_outputs)] = ()
    cost_usd: MaybeMoney = Field(default=None, validation_alias="totalcost")
    """What was charged. None if Wiro states no amount from 0 to 1,000,000 USD."""
    created_at: MaybeTime = Field(default=None, validation_alias="createtime")
    started_at: MaybeTime = Field(default=None, validation_alias="starttime")
    ended_at: MaybeTime = Field(default=None, validation_alias="endtime")
    elapsed_seconds: MaybeLength = Field(default=None, validation_alias="elapsedseconds")
    debug_error: Printed = Field(default="", validation_alias="debugerror")
    debug_output: Printed = Field(default="", validation_alias="debugoutput")
    callback_url: MaybeUrl = Field(default=None, repr=False)
    """As it was sent with the run. It may carry a secret of the caller's."""
    model_slug: MaybeWord = None
    """`owner/project`."""
    token: Token = Field(default="", validation_alias="socketaccesstoken", repr=False)
    """The same token as `Submission.task_token`. A secret."""

    @property
    def state(self) -> TaskState:
        """How the task stands, by its status first and then by its exit code.

        Any status that is not terminal, including `task_error` and unknown words, is "running":
        the task may still be billed. A task that has ended without an exit code is "running", too,
        since its outcome is not known yet. Read it again.
        """
        if self.status == "task_cancel":
            # Cancelled tasks have been shown with exit code "0".
            return "cancelled"
        if self.status == "task_postprocess_end" and self.exit_code is not None:
            return "succeeded" if self.exit_code == "0" else "failed"
        return "queued" if self.status == "task_queue" else "running"

    @property
    def is_ended(self) -> bool:
        """Whether Wiro shows a terminal status.

        The end may not be settled: see `state`, `exit_code`, `outputs` and `cost_usd`.
        """
        return self.status in TERMINAL_STATUSES

    @property
    def has_error_status(self) -> bool:
        """Whether Wiro shows `task_error`, which may still recover."""
        return self.status == "task_error"

    @property
    def queue_seconds(self) -> float | None:
        """From creation to start; free of charge."""
        if self.created_at is None or self.started_at is None:
            return None
        return max(0.0, self.started_at - self.created_at)

    @property
    def progress_percent(self) -> float | None:
        """How far it is, 0 to 100; None if its output does not say."""
        return find_percentage(self.debug_output)

    @property
    def failure_reason(self) -> str:
        """What Wiro says went wrong, at most 500 characters; empty if it says nothing."""
        reason = self.debug_error.strip() or self.debug_output.strip()
        # The last lines of a stack trace say more than the first.
        return reason if len(reason) <= _REASON_LIMIT else "…" + reason[1 - _REASON_LIMIT :]


def find_task(fields: Any) -> Task | None:
    """Return a task from its wire form; None if it has no usable id."""
    if not isinstance(fields, Mapping):
        return None
    sent = find_object(fields.get("parameters")) or {}
    callbacks = (fields.get("callbackurl"), *(sent.get(name) for name in _CALLBACK_INPUTS))
    gathered = {
        "id": fields.get("id", fields.get("taskid")),
        "inputs": {name: value for name, value in sent.items() if name not in _OPTION_INPUTS},
        "callback_url": next((url for url in map(find_name, callbacks) if url), None),
        "model_slug": read_slug(fields.get("modelslugowner"), fields.get("modelslugproject")),
    }
    return find_model(Task, {**fields, **gathered})


class TaskPage(WireModel):
    """One page of Task/List, newest first."""

    total: int
    """How many tasks there are in all."""
    tasks: tuple[Task, ...]
    unreadable: int = 0
    """Entries without a usable id. A page with any of them proves no absence."""

    @property
    def length(self) -> int:
        """How many entries the page has, readable or not."""
        return len(self.tasks) + self.unreadable


def find_page(
    fields: Mapping[str, Any],
    *,
    skipped: int = 0,
    find: Callable[[Any], Task | None] = find_task,
) -> TaskPage | None:
    """Return the tasks of an answer, in its order.

    Args:
        fields: of the answer.
        skipped: how many tasks come before it, in case it states no total.
        find: reads a task.

    Returns:
        None if the list of tasks is missing or holds nothing readable. An empty list is different:
        it says that there are no tasks.
    """
    items = find_list(fields.get("tasklist"))
    if items is None:
        return None
    tasks = tuple(task for task in map(find, items) if task is not None)
    if items and not tasks:
        return None
    return TaskPage(
        total=read_total(fields, skipped + len(items)),
        tasks=tasks,
        unreadable=len(items) - len(tasks),
    )


def choose_task(page: TaskPage, is_meant: Callable[[Task], bool], name: str) -> Task:
    """Return the task of an answer that was asked for.

    Raises:
        NotFound: the answer holds no task.
        OutcomeUnknown: it is about other tasks.
    """
    for task in page.tasks:
        if is_meant(task):
            return task
    if page.tasks:
        raise OutcomeUnknown(f"Wiro answered about a task other than {name}. Read again.")
    raise NotFound(f"Wiro does not know {name}. Check its id and the API key.")


def read_total(fields: Mapping[str, Any], seen: int) -> int:
    """Return how many items there are in all: as stated, or as many as were seen."""
    total = find_whole(fields.get("total"))
    return seen if total is None else total


class UploadedFile(WireModel):
    """A file that the account keeps at Wiro."""

    id: Id
    name: Word
    url: MaybeUrl = None
    content_type: MaybeWord = Field(default=None, validation_alias="contenttype")
    size_bytes: MaybeSize = Field(default=None, validation_alias="size")
