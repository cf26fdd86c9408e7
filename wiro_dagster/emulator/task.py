"""One task: what was asked for, what shall happen to it, and how it ended."""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wiro_dagster.emulator.settings import MAIN_ACCOUNT
from wiro_dagster.emulator.task_script import TaskScript
from wiro_dagster.emulator.timeline import Timeline, ends_at, reached_at, status_at

# Of models without a change.
FIRST_EDITION = "[0, []]"
_TOKEN_LETTERS = string.ascii_letters + string.digits
_TOKEN_LENGTH = 30


@dataclass(frozen=True, slots=True)
class Task:
    """One accepted Run.

    Args:
        number: its id, counted up.
        uuid: unguessable; part of its outputs' URLs.
        token: unguessable; what the API calls ``socketaccesstoken``.
        slug: ``owner/project`` of its model.
        parameters: the inputs as sent; kept files as their URLs.
        input_files: the URLs given for each file input.
        callback_url: as sent.
        project_id: as sent.
        created_at: unix seconds.
        listed_at: from when Task/List shows it.
        visible_at: from when Task/Detail knows it.
        script: what shall happen to it.
        timeline: its statuses and their times.
        is_killed: whether it ended because of a kill.
        is_settled: whether its end has been billed and announced.
        cost_usd: what was billed; 0 until it is settled.
        deleted_at: when its inputs and outputs were deleted.
        edition: of the models, at its Run: prices and names that change later are not its own.
        account: pays for it; its keys see it.
        origin: whether a POST of a caller made it ("run"), the gateway that repeated one ("twin"),
            or a different user of the account ("foreign").
    """

    number: int
    uuid: str
    token: str
    slug: str
    parameters: Mapping[str, Any]
    input_files: Mapping[str, Sequence[str]]
    callback_url: str | None
    project_id: str | None
    created_at: float
    listed_at: float
    visible_at: float
    script: TaskScript
    timeline: Timeline
    is_killed: bool = False
    is_settled: bool = False
    cost_usd: Decimal = Decimal(0)
    deleted_at: float | None = None
    edition: str = FIRST_EDITION
    account: str = MAIN_ACCOUNT
    origin: str = "run"

    @property
    def ends_at(self) -> float | None:
        """When it ends; None if it never does without a cancel or kill."""
        return ends_at(self.timeline)

    def status(self, now: float) -> str:
        """Return its status at that time."""
        return status_at(self.timeline, now)

    def reached(self, status: str, now: float) -> float | None:
        """Return when it last came to this status, if it has by now."""
        return reached_at(self.timeline, status, now)

    def has_ended(self, now: float) -> bool:
        """Return whether it is over by then."""
        end = self.ends_at
        return end is not None and end <= now

    def elapsed_seconds(self, now: float) -> Decimal:
        """Return how long the model ran, to four places; 0 until that is over."""
        started, stopped = self.reached("task_start", now), self.reached("task_end", now)
        if stopped is None and self.has_ended(now):
            stopped = self.ends_at
        if started is None or stopped is None:
            return Decimal(0)
        return Decimal(str(round(stopped - started, 4)))

    @property
    def file_counts(self) -> dict[str, int]:
        """How many files were given for each file input."""
        return {name: len(urls) for name, urls in self.input_files.items()}


@dataclass(frozen=True)
class Result:
    """How an ended task ended.

    Args:
        exit_code: ``pexit`` on the wire.
        has_outputs: whether it left files.
        is_billed: whether it costs anything.
        error: the text in ``debugerror``.
    """

    exit_code: str
    has_outputs: bool
    is_billed: bool
    error: str


_SUCCESS = Result("0", has_outputs=True, is_billed=True, error="")
_CANCELLED = Result("", has_outputs=False, is_billed=False, error="")
_KILLED = Result("1", has_outputs=False, is_billed=False, error="killed")


def result_of(task: Task) -> Result:
    """Return the result of a task that has ended."""
    outcome = task.script.outcome
    if task.timeline[-1].status == "task_cancel":
        if outcome == "cancelled_with_cost" or (task.is_killed and task.script.kill == "bills"):
            return _SUCCESS
        return _KILLED if task.is_killed else _CANCELLED
    if task.script.fails:
        is_billed = outcome == "failed_with_cost"
        return Result("1", has_outputs=False, is_billed=is_billed, error=task.script.reason)
    if outcome == "no_outputs":
        return Result("0", has_outputs=False, is_billed=True, error="")
    return _SUCCESS


def make_uuid() -> str:
    """Return an unguessable uuid in plain hexadecimal digits."""
    return uuid.uuid4().hex


def make_token() -> str:
    """Return an unguessable token of letters and digits."""
    return "".join(secrets.choice(_TOKEN_LETTERS) for _ in range(_TOKEN_LENGTH))
