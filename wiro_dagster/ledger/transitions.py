"""The life of an order: every state, every named transition between states, and what each records.

This table is the single source of truth. The ledger guards its updates with it, the database gets
a CHECK from it, a test compares it with the diagram in the README, and a search explores it.

proposed     asked for, with its quote; it is not bought before it is approved
ordered      asked for; nothing sent to Wiro, nothing bought
submitting   the intent to buy is on record; the POST may be under way
unknown      the POST's answer was lost: a task may exist, so look before doing anything else
running      Wiro has the task
settling     the task has ended; read it again until outputs, exit code and cost stand still
finished     the task has files; they are still only on Wiro's CDN
stored       the files are in the video store
delivered    Dagster's event log has the materialization
failed       Wiro refused the order, or the task ended without a video
cancelled    cancelled at Wiro, or dropped before it was submitted
uncollected  paid for, but Wiro no longer has the files; `wiro-dagster orders recover` looks again
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

OrderState = Literal[
    "proposed",
    "ordered",
    "submitting",
    "unknown",
    "running",
    "settling",
    "finished",
    "stored",
    "delivered",
    "failed",
    "cancelled",
    "uncollected",
]

STATES: tuple[OrderState, ...] = get_args(OrderState)

UNSENT: tuple[OrderState, ...] = ("proposed", "ordered")
"""Nothing was sent to Wiro."""

UNDER_WAY: tuple[OrderState, ...] = ("submitting", "unknown", "running", "settling")
"""A task exists, or may exist, and its final cost is not known."""

FOLLOWED: tuple[OrderState, ...] = ("running", "settling")
"""The watch reads the order's task."""

OWNED: tuple[OrderState, ...] = ("stored", "delivered")
"""The files are in the video store."""

WITHOUT_VIDEO: tuple[OrderState, ...] = ("failed", "cancelled", "uncollected")
"""The order ended without a video."""

SETTLED: tuple[OrderState, ...] = (*OWNED, *WITHOUT_VIDEO)
"""Nothing is left to do at Wiro or in the store unless the user asks for it."""

_STEP = frozenset({"due_at", "hold", "attempts", "error"})
_APPROVAL = _STEP | {"approved_by", "approved_at", "approved_usd", "turn_at"}
_SEEN = _STEP | {
    "task_status",
    "progress_percent",
    "queue_seconds",
    "elapsed_seconds",
    "started_at",
    "ended_at",
    "lost_since",
    "outputs",
    "stop_state",
    "stop_reason",
}


@dataclass(frozen=True)
class Transition:
    """One named step of an order.

    Args:
        name: what messages and traces call it.
        sources: the states it starts from.
        target: the state it leads to; `None` keeps the present one.
        records: the columns it may write, beside state and lease.
        frees: the same video may be ordered again afterwards, if nothing was billed.
        needs_lease: only the process that claimed the order may take it.
        revives: the order is the live one for its video again.
    """

    name: str
    sources: frozenset[OrderState]
    target: OrderState | None
    records: frozenset[str] = _STEP
    frees: bool = False
    needs_lease: bool = True
    revives: bool = False


def _table(*transitions: Transition) -> dict[str, Transition]:
    return {transition.name: transition for transition in transitions}


def _from(*states: OrderState) -> frozenset[OrderState]:
    return frozenset(states)


TRANSITIONS = _table(
    # -- before anything is bought --
    Transition("quote", _from(*UNSENT), None, _STEP | {"quote_usd", "ceiling_usd", "quoted_at"}),
    Transition("approve", _from("proposed"), "ordered", _APPROVAL, needs_lease=False),
    # An approval holds for the price that was shown: a higher one is proposed again.
    Transition("propose", _from("ordered"), "proposed", _APPROVAL),
    Transition("claim", _from("ordered"), "submitting", _STEP | {"held_since", "posts", "marker"}),
    Transition(
        "refuse", _from("ordered", "submitting"), "failed", _STEP | {"ended_at"}, frees=True
    ),
    Transition("drop", _from(*UNSENT), "cancelled", _STEP | {"ended_at"}, True, needs_lease=False),
    # -- the POST --
    Transition("withdraw", _from("submitting", "unknown"), "ordered", _STEP | {"lost_since"}),
    Transition("lose", _from("submitting", "unknown"), "unknown", _STEP | {"lost_since", "looks"}),
    # An answer in our hands is noted whichever process holds the order, and in any state.
    Transition(
        "accept",
        _from(*UNSENT, "submitting", "unknown", "failed", "cancelled"),
        "running",
        _STEP | {"task_id", "lost_since", "submitted_at", "ended_at"},
        needs_lease=False,
        revives=True,
    ),
    Transition(
        "abandon",
        _from("unknown"),
        "cancelled",
        _STEP | {"ended_at"},
        frees=True,
        needs_lease=False,
    ),
    # -- the watch: one process holds the account's watch, so no order is claimed --
    Transition("observe", _from(*FOLLOWED), None, _SEEN, needs_lease=False),
    Transition("end", _from("running"), "settling", _SEEN, needs_lease=False),
    Transition("resume", _from("settling"), "running", _SEEN, needs_lease=False),
    Transition("succeed", _from(*FOLLOWED), "finished", _SEEN, needs_lease=False),
    Transition("fail", _from(*FOLLOWED), "failed", _SEEN, frees=True, needs_lease=False),
    Transition("cancel", _from(*FOLLOWED), "cancelled", _SEEN, frees=True, needs_lease=False),
    # -- files --
    Transition("store", _from("finished"), "stored", _STEP | {"files"}),
    Transition("lose_files", _from("finished"), "uncollected"),
    Transition("postpone", _from("ordered", "finished", *SETTLED), None),
    # -- reports --
    Transition("deliver", _from("stored"), "delivered"),
    Transition("show_again", _from("delivered"), "stored", needs_lease=False),
    Transition("rest", _from(*WITHOUT_VIDEO), None),
    # -- a second look, from every state that has a task id --
    Transition("fetch_again", _from(*OWNED), "finished", needs_lease=False),
    Transition(
        "follow_again",
        _from("finished", *WITHOUT_VIDEO),
        "settling",
        _SEEN,
        needs_lease=False,
        revives=True,
    ),
)
