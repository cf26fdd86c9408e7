"""Faults of single calls and downloads: scripted ones by order, random ones by seeded rates."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from wiro_dagster.emulator.chance import happens
from wiro_dagster.emulator.state import State
from wiro_dagster.emulator.task_script import RANDOM_TASK_SCRIPTS

CallFault = Literal[
    "drop",
    "reset",
    "drop_kept",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "html",
    "broken_json",
    "empty",
    "unrecognised",
    "code_0",
    "rate_limited",
    "delay",
]
FileFault = Literal[
    "file_drop",
    "file_cut",
    "file_short",
    "file_long_length",
    "file_short_length",
    "file_no_length",
    "file_no_length_cut",
    "file_empty",
    "file_html",
    "file_garbage",
    "file_not_found",
    "file_forbidden",
    "file_http_500",
    "file_redirect",
    "file_redirect_elsewhere",
    "file_stall",
]
# Before the call has any effect, or after it had its whole effect and only the answer is lost.
FaultMoment = Literal["before", "after"]

CALL_FAULTS: tuple[str, ...] = get_args(CallFault)
FILE_FAULTS: tuple[str, ...] = get_args(FileFault)
# By script and in worlds alone: they have no rate of their own.
WORLD_CALL_FAULTS = ("http_401", "not_found", "no_tasks")
WORLD_FILE_FAULTS = ("file_zero_length", "file_wrong_type")
# They spoil only calls on a connection that has carried an earlier one.
_ONLY_KEPT = ("drop_kept",)
# Nothing was accepted when the front door limits the rate.
_ONLY_BEFORE = ("rate_limited",)
FILE_ENDPOINT = "file"


def rate_names() -> tuple[str, ...]:
    """Return every name that a random fault's rate can be set for."""
    calls = [
        f"{kind}_{moment}"
        for kind in CALL_FAULTS
        for moment in get_args(FaultMoment)
        if kind not in _ONLY_BEFORE
    ]
    return (*calls, *_ONLY_BEFORE, *FILE_FAULTS, *RANDOM_TASK_SCRIPTS)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call or download.

    Args:
        kind: one of CALL_FAULTS or FILE_FAULTS.
        seconds: how long a delay or a stall lasts.
        retry_after: the header of a 429, if it has one.
        origin: "script 3" or "chance", for the journal.
    """

    kind: str
    seconds: float = 5.0
    retry_after: str | None = None
    origin: str = "script"


class Faults:
    """The scripted faults and the rates of random ones, kept in the state."""

    def __init__(self, state: State, seed: int) -> None:
        self._state = state
        self._connection = state.connection
        self._seed = seed
        self._calls: Counter[str] = Counter()
        # A restarted emulator counts its calls anew, and must not repeat its luck.
        self._start = int(state.get("starts", 0))
        self.rates: dict[str, float] = state.get("fault_rates", {})

    def add(
        self,
        kind: str,
        *,
        endpoint: str = "*",
        moment: str = "before",
        matching: str | None = None,
        times: int | None = 1,
        skip: int = 0,
        seconds: float = 5.0,
        retry_after: str | None = None,
        ends_at: float | None = None,
    ) -> int:
        """Script a fault and return its number.

        Args:
            kind: one of CALL_FAULTS or FILE_FAULTS.
            endpoint: "Run", "Run/minimax/hailuo-2-3", "Task/Detail", "Task" ..., "*" for all;
                downloads are taken from the kind.
            moment: "before" the call has an effect or "after" it.
            matching: only requests whose text holds this: the body of a call; of a download the
                path, the task's id and its inputs.
            times: how many it spoils; None for all.
            skip: how many matching ones it lets pass first.
            seconds: how long a delay or a stall lasts.
            retry_after: the header of a 429.
            ends_at: when it stops; None for never.

        Raises:
            ValueError: a value is not among the allowed ones.
        """
        if kind not in all_kinds():
            raise ValueError(f"unknown fault {kind}; choose from {', '.join(all_kinds())}")
        if moment not in get_args(FaultMoment):
            raise ValueError("moment must be before or after")
        if moment == "after" and kind in _ONLY_BEFORE:
            raise ValueError(f"{kind} refuses a call before it is accepted, never after")
        if times is not None and times < 1:
            raise ValueError("times must be 1 or more, or null for all")
        options = {"seconds": float(seconds), "retry_after": retry_after}
        inserted = self._connection.execute(
            "INSERT INTO faults (kind, endpoint, moment, matching, remaining, skip, options, "
            "ends_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                kind,
                FILE_ENDPOINT if kind in FILE_FAULTS + WORLD_FILE_FAULTS else endpoint.strip("/"),
                moment,
                matching,
                times,
                skip,
                json.dumps(options),
                ends_at,
            ),
        )
        return int(inserted.lastrowid or 0)

    def clear(self) -> None:
        """Remove all scripted faults and all rates."""
        self._connection.execute("DELETE FROM faults")
        self.set_rates({})

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Replace the rates of random faults.

        Args:
            rates: from 0 to 1, by a name from rate_names(); calls may be narrowed to an endpoint,
                as in ``{"Run:drop_after": 0.1}``.

        Raises:
            ValueError: a name is unknown, or a rate is not from 0 to 1.
        """
        for name, rate in rates.items():
            if name.split(":")[-1] not in rate_names():
                raise ValueError(f"unknown fault {name}; choose from {', '.join(rate_names())}")
            if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
                raise ValueError(f"the rate of {name} must be a number from 0 to 1")
        self.rates = dict(rates)
        self._state.keep("fault_rates", self.rates)

    def list(self) -> list[dict[str, Any]]:
        """Return all scripted faults, spent ones too."""
        rows = self._connection.execute("SELECT * FROM faults ORDER BY number")
        return [{**dict(row), "options": json.loads(row["options"])} for row in rows]

    def count_call(self, endpoint: str) -> int:
        """Number the calls of an endpoint, for chance to draw on."""
        self._calls[endpoint] += 1
        return self._calls[endpoint]

    def take(
        self,
        endpoint: str,
        moment: FaultMoment,
        text: str,
        call: int,
        now: float,
        *,
        is_kept: bool = False,
    ) -> Fault | None:
        """Return the fault that spoils this call now, if any; a scripted one goes first.

        Args:
            endpoint: of the call.
            moment: before or after it had its effect.
            text: what `matching` looks into.
            call: its number, for chance to draw on.
            now: the time of the call.
            is_kept: whether its connection has carried an earlier request.
        """
        barred = () if is_kept else _ONLY_KEPT
        scripted = self._take_scripted(endpoint, moment, text, now, barred)
        return scripted or self._draw(endpoint, moment, call, barred)

    def draw_task_script(self, task_number: int) -> dict[str, Any]:
        """Return what chance does to a new task, as fields of a TaskScript."""
        fields: dict[str, Any] = {}
        for name, changes in RANDOM_TASK_SCRIPTS.items():
            if happens(self.rates.get(name, 0.0), self._seed, name, task_number):
                fields.update({key: value for key, value in changes.items() if key not in fields})
        return fields

    def _take_scripted(
        self, endpoint: str, moment: str, text: str, now: float, barred: Collection[str]
    ) -> Fault | None:
        rows = self._connection.execute(
            "SELECT * FROM faults WHERE moment = ? AND (remaining IS NULL OR remaining > 0) "
            "AND (ends_at IS NULL OR ends_at > ?) ORDER BY number",
            (moment, now),
        ).fetchall()
        for row in rows:
            if row["kind"] in barred or not _fits(row, endpoint, text):
                continue
            if row["skip"] > 0:
                self._connection.execute(
                    "UPDATE faults SET skip = skip - 1 WHERE number = ?", (row["number"],)
                )
                continue
            self._connection.execute(
                "UPDATE faults SET remaining = remaining - 1, hits = hits + 1 WHERE number = ?",
                (row["number"],),
            )
            options = json.loads(row["options"])
            return Fault(row["kind"], origin=f"script {row['number']}", **options)
        return None

    def _draw(self, endpoint: str, moment: str, call: int, barred: Collection[str]) -> Fault | None:
        if not self.rates:
            return None
        kinds = FILE_FAULTS if endpoint == FILE_ENDPOINT else CALL_FAULTS
        for kind in kinds:
            if kind in barred:
                continue
            rate = self._rate(kind, moment, endpoint)
            if happens(rate, self._seed, self._start, endpoint, call, moment, kind):
                seconds = 1.0 if kind == "delay" else 3.0
                # A 429 carries the header every other time.
                has_header = happens(0.5, self._seed, self._start, endpoint, call, "header")
                return Fault(kind, seconds, "1" if has_header else None, origin="chance")
        return None

    def _rate(self, kind: str, moment: str, endpoint: str) -> float:
        name = kind
        if kind in _ONLY_BEFORE:
            if moment == "after":
                return 0.0
        elif kind in CALL_FAULTS:
            name = f"{kind}_{moment}"
        if name in self.rates:
            return self.rates[name]
        for narrowed, rate in self.rates.items():
            where, _, which = narrowed.rpartition(":")
            if which == name and where and covers(where, endpoint):
                return rate
        return 0.0


def all_kinds() -> tuple[str, ...]:
    """Return every kind of fault that can be scripted for a call or a download."""
    return CALL_FAULTS + WORLD_CALL_FAULTS + FILE_FAULTS + WORLD_FILE_FAULTS


def _fits(row: sqlite3.Row, endpoint: str, text: str) -> bool:
    matching = row["matching"]
    return covers(row["endpoint"], endpoint) and (not matching or matching in text)


def covers(wanted: str, endpoint: str) -> bool:
    """Return whether a call of this endpoint is among the wanted ones."""
    if wanted == "*":
        return endpoint != FILE_ENDPOINT
    return endpoint == wanted or endpoint.startswith(f"{wanted}/")
