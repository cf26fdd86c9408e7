"""What shall happen to one task: chosen by script, by a marker in its prompt, or by chance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, get_args

from wiro_dagster.emulator.settings import Cdn
from wiro_dagster.emulator.worlds.overrides import Override, override_from_json
from wiro_dagster.emulator.worlds.tasks import TASK_WORLDS, marker_of, merge_scripts

Outcome = Literal[
    "succeed",
    "fail",
    "no_outputs",
    "failed_with_cost",
    "cancelled_with_cost",
    "stuck",
    "task_error",
    "task_error_recovers",
]
KillResult = Literal["stops", "loses", "bills", "refused"]
CallbackPlan = Literal[
    "once", "twice", "late", "early", "never", "forged", "malformed", "huge", "get"
]
Foreign = Literal["none", "plain", "with_callback"]
SocketPlan = Literal["whole", "early_close", "last_only", "refused"]


@dataclass(frozen=True)
class TaskScript:
    """The plan of one task. The default is an ordinary success.

    Args:
        outcome: how it ends, or that it does not.
        reason: the text in ``debugerror`` of a failure or a task_error.
        queue_seconds: additional time in the queue.
        run_seconds: from the end of that queue time to the task's end.
        stuck_at: the status a stuck task never leaves.
        unknown_status: a status that no document lists, shown for a while in mid-run.
        skip: statuses that the task passes over.
        outputs: the number of output files, if it differs from what was ordered.
        same_names: whether all outputs carry the same file name.
        cost_usd: what is billed, if it differs from the model's price.
        price_times: what the price is multiplied by.
        kill: whether a kill stops the task, loses the race to completion, stops it billed, or is
            refused; a refused task cannot be cancelled either.
        kill_seconds: how long an accepted kill takes.
        has_stderr: whether the WebSocket shows an interim task_error before the success.
        callback: when the callback comes, if it does, and whether something is wrong with it.
        callback_late_seconds: how late a late one is.
        socket: how the WebSocket treats a listener.
        listing_delay_seconds: how long the task is missing from Task/List.
        detail_delay_seconds: how long Task/Detail does not know it.
        url_seconds: how long its outputs' URLs work after they were shown; 0 if not signed.
        files_vanish_seconds: how long after the end its files are there.
        cdn: the CDN host of its outputs.
        twins: how many more tasks the same POST makes.
        foreign: whether a different user of the account runs the same inputs, "plain" or
            "with_callback".
        worlds: the names of the worlds that this script comes from.
        file_fault: a fault for the downloads of its outputs, one of the ``file_…`` kinds.
        file_fault_times: how many downloads it spoils; None for all.
        overrides: what the API shows of it in place of the truth.
    """

    outcome: Outcome = "succeed"
    reason: str = "The model could not make anything of this input."
    queue_seconds: float | None = None
    run_seconds: float | None = None
    stuck_at: str = "task_start"
    unknown_status: str | None = None
    skip: tuple[str, ...] = ()
    outputs: int | None = None
    same_names: bool = False
    cost_usd: str | None = None
    price_times: float = 1.0
    kill: KillResult = "stops"
    kill_seconds: float = 0.0
    has_stderr: bool = False
    callback: CallbackPlan = "once"
    callback_late_seconds: float = 30.0
    socket: SocketPlan = "whole"
    listing_delay_seconds: float | None = None
    detail_delay_seconds: float | None = None
    url_seconds: float | None = None
    files_vanish_seconds: float | None = None
    cdn: Cdn | None = None
    twins: int = 0
    foreign: Foreign = "none"
    worlds: tuple[str, ...] = ()
    file_fault: str | None = None
    file_fault_times: int | None = 1
    overrides: tuple[Override, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether it ends as a failure."""
        return self.outcome in ("fail", "failed_with_cost")

    def changed(self, changes: Mapping[str, Any]) -> TaskScript:
        """Return a copy with some fields replaced.

        Raises:
            ValueError: a field is unknown, or a value is not of its kind.
        """
        known = {field.name for field in dataclasses.fields(self)}
        for name in changes:
            if name not in known:
                raise ValueError(f"a task has no {name}; choose from {', '.join(sorted(known))}")
        plain = dict(changes)
        for name in ("skip", "worlds"):
            if name in plain:
                plain[name] = _texts(name, plain[name])
        if "overrides" in plain:
            plain["overrides"] = tuple(override_from_json(one) for one in plain["overrides"])
        script = dataclasses.replace(self, **plain)
        script.check()
        return script

    def check(self) -> None:
        """Raise ValueError if a value is not of its field's kind."""
        choices = {
            "outcome": get_args(Outcome),
            "kill": get_args(KillResult),
            "callback": get_args(CallbackPlan),
            "socket": get_args(SocketPlan),
            "foreign": get_args(Foreign),
            "cdn": (None, *get_args(Cdn)),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}")
        for name in _SECONDS:
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value >= 0):
                raise ValueError(f"{name} must be a number of seconds, zero or more")
        if self.outputs is not None and not (_is_number(self.outputs) and 0 <= self.outputs <= 50):
            raise ValueError("outputs must be a number from 0 to 50")
        if not (_is_number(self.twins) and 0 <= self.twins <= _MOST_TWINS):
            raise ValueError(f"twins must be a number from 0 to {_MOST_TWINS}")
        if not (_is_number(self.price_times) and 0 <= self.price_times <= 1000):
            raise ValueError("price_times must be a number from 0 to 1000")
        if self.cost_usd is not None:
            _check_money(self.cost_usd)

    def to_json(self) -> dict[str, Any]:
        """Return the fields that differ from an ordinary success."""
        if self == _ORDINARY:
            return {}
        changed = {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != getattr(_ORDINARY, field.name)
        }
        if self.overrides:
            changed["overrides"] = [one.to_json() for one in self.overrides]
        return changed


_ORDINARY = TaskScript()
_SECONDS = (
    "queue_seconds",
    "run_seconds",
    "kill_seconds",
    "callback_late_seconds",
    "listing_delay_seconds",
    "detail_delay_seconds",
    "url_seconds",
    "files_vanish_seconds",
)
_MOST_TWINS = 10
# The state keeps costs as whole numbers of 64 bits; an override can show more.
_HIGHEST_COST_USD = 1_000_000

# To try things by hand, write one of these into a prompt.
PROMPT_MARKERS: Mapping[str, Mapping[str, Any]] = {
    "[fail]": {"outcome": "fail"},
    "[model-fault]": {"outcome": "fail", "reason": "CUDA error: out of memory"},
    "[moderated-output]": {
        "outcome": "fail",
        "reason": "Content moderation: the generated video was flagged as sensitive.",
    },
    "[moderated-input]": {
        "outcome": "fail",
        "reason": "Content moderation: the input prompt was flagged as sensitive.",
    },
    "[empty]": {"outcome": "no_outputs"},
    "[cancelled]": {"outcome": "cancelled_with_cost"},
    "[stuck]": {"outcome": "stuck"},
    "[task-error]": {"outcome": "task_error"},
    "[task-error-recovers]": {"outcome": "task_error_recovers"},
    "[unknown-status]": {"unknown_status": "task_upscale_start"},
    "[slow]": {"run_seconds": 60.0},
    "[long-queue]": {"queue_seconds": 60.0},
    "[skips]": {"skip": ("task_accept", "task_preprocess_start", "task_preprocess_end")},
    "[two-outputs]": {"outputs": 2},
    "[same-name]": {"outputs": 2, "same_names": True},
    "[kill-loses]": {"kill": "loses"},
    "[stderr]": {"has_stderr": True},
    "[cut-file]": {"file_fault": "file_cut"},
    "[expired-file]": {"file_fault": "file_forbidden", "file_fault_times": None},
    "[callback-twice]": {"callback": "twice"},
    "[no-callback]": {"callback": "never"},
}

ONCE_MARKER = "[once]"
"""Beside other markers: they are for the first Run with this text."""

# What seeded chance may do to a task; the key is the name of its rate.
RANDOM_TASK_SCRIPTS: Mapping[str, Mapping[str, Any]] = {
    "task_fail": {"outcome": "fail"},
    "task_no_outputs": {"outcome": "no_outputs"},
    "task_cancelled_with_cost": {"outcome": "cancelled_with_cost"},
    "task_stuck": {"outcome": "stuck"},
    "task_error": {"outcome": "task_error"},
    "task_error_recovers": {"outcome": "task_error_recovers"},
    "task_unknown_status": {"unknown_status": "task_upscale_start"},
    "task_long_queue": {"queue_seconds": 30.0},
    "task_skips_phases": {
        "skip": ("task_accept", "task_preprocess_start", "task_output", "task_end")
    },
    "task_two_outputs": {"outputs": 2},
    "task_same_names": {"outputs": 2, "same_names": True},
    "task_stderr": {"has_stderr": True},
    "kill_loses": {"kill": "loses"},
    "kill_bills": {"kill": "bills"},
    "listing_delay": {"listing_delay_seconds": 5.0},
    "detail_delay": {"detail_delay_seconds": 2.0},
    "callback_twice": {"callback": "twice"},
    "callback_late": {"callback": "late"},
    "callback_early": {"callback": "early"},
    "callback_never": {"callback": "never"},
    "callback_forged": {"callback": "forged"},
    "socket_early_close": {"socket": "early_close"},
    "socket_last_only": {"socket": "last_only"},
    "socket_refused": {"socket": "refused"},
}


def script_from_json(fields: Mapping[str, Any]) -> TaskScript:
    """Return the script that these fields describe.

    Raises:
        ValueError: a field is unknown, or a value is not of its kind.
    """
    return _ORDINARY.changed(fields) if fields else _ORDINARY


def find_markers(text: str) -> dict[str, Any]:
    """Return the fields asked for by the markers in a prompt; empty without any."""
    fields: dict[str, Any] = {}
    lowered = text.lower()
    if "[" in lowered:
        for marker, wanted in PROMPT_MARKERS.items():
            if marker in lowered:
                fields.update(wanted)
        for world in TASK_WORLDS.values():
            if marker_of(world) in lowered:
                fields = merge_scripts(fields, world.fields())
    return fields


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"{name} must be a list of texts")
    return tuple(str(item) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_money(text: str) -> None:
    try:
        is_valid = 0 <= Decimal(text) <= _HIGHEST_COST_USD
    except (InvalidOperation, TypeError):
        is_valid = False
    if not is_valid:
        raise ValueError("cost_usd must be an amount such as '0.28', at most a million")
