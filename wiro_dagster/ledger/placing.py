"""Placing: from a request to the one live order for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.claims import Move, take_step
from wiro_dagster.ledger.order import (
    ORDER_COLUMNS,
    SELECT_ONE,
    SELECT_ORDERS,
    Order,
    OrderRequest,
    Placement,
    PlacementOutcome,
    live_key,
    order_from_row,
    turn_of,
)
from wiro_dagster.ledger.schema import orders
from wiro_dagster.ledger.transitions import FOLLOWED, OWNED, UNDER_WAY, UNSENT, OrderState

_INSERT = sa.insert(orders)
_LIVE = SELECT_ORDERS.where(orders.c.live_key == sa.bindparam("key"))
_SPARE = (
    SELECT_ORDERS.where(orders.c.collection == sa.bindparam("collection"))
    .where(orders.c.partition == sa.bindparam("partition"))
    .where(orders.c.fingerprint == sa.bindparam("fingerprint"), orders.c.live_key.is_(None))
    .where(orders.c.state.in_((*FOLLOWED, "finished", *OWNED)))
    .order_by(orders.c.id)
    .limit(1)
    .with_for_update()
)
_OTHERS = (
    SELECT_ORDERS.where(orders.c.collection == sa.bindparam("collection"))
    .where(orders.c.partition == sa.bindparam("partition"))
    .where(orders.c.id != sa.bindparam("not_id"), orders.c.superseded_by.is_(None))
    .order_by(orders.c.id)
    .with_for_update()
)
_SETTINGS = "the collection's settings, which no longer ask for approval"


def place_order(
    connection: Connection,
    request: OrderRequest,
    *,
    now: float,
    cancel_superseded: bool,
    needs_approval: bool,
) -> Placement:
    """Make an order, or find the live one for the same video.

    Args:
        connection: of a transaction that may write, whose turn it is for the partition.
        request: what is asked for.
        now: unix seconds.
        cancel_superseded: stop tasks that make a superseded video.
        needs_approval: a new order is proposed, and not bought before it is approved.
    """
    key = live_key(request.collection, request.partition, request.fingerprint)
    found = connection.execute(_LIVE, {"key": key}).one_or_none()
    spare = None if found is not None else take_spare(connection, request, key, now)
    outcome: PlacementOutcome
    if spare is not None:
        order_id, outcome = spare
    elif found is None:
        first = state_of_new(request, needs_approval=needs_approval)
        order_id = insert_order(connection, request, now=now, key=key, **first)
        outcome = "placed"
    else:
        order = order_from_row(found)
        version = request.prompt_version or request.fingerprint
        asked, order = order, _find_standing(connection, order, version)
        if order.id != asked.id and order.superseded_by is None:
            order_id, outcome = order.id, _describe_standing(order)
        else:
            order_id, outcome = order.id, _take_up(connection, order, request, now)
        if order.state == "proposed" and not needs_approval:
            approve_order(connection, order, by=_SETTINGS, now=now)
    _supersede_others(connection, request, order_id, now)
    if cancel_superseded:
        _stop_superseded(connection, order_id, now)
    order = _get(connection, order_id)
    return Placement(order, outcome)


def take_spare(
    connection: Connection, request: OrderRequest, key: str, now: float
) -> tuple[int, PlacementOutcome] | None:
    """Let a second task make the video, if the order that it was made for brought none.

    Wiro made two tasks, or the user named one more: it is paid for, so nothing is bought.

    Args:
        connection: of a transaction that may write.
        request: what is asked for.
        key: the live key of the video, which no order has.
        now: unix seconds.

    Returns:
        The id of the second task's order, and how it stands; `None` if there is none.
    """
    given = {name: getattr(request, name) for name in ("collection", "partition", "fingerprint")}
    row = connection.execute(_SPARE, given).one_or_none()
    if row is None:
        return None
    spare = order_from_row(row)
    connection.execute(sa.update(orders).where(orders.c.id == spare.id).values(live_key=key))
    return spare.id, _take_up(connection, spare, request, now)


def find_candidates(connection: Connection, order: Order) -> list[Order]:
    """Return the takes of an order's prompt that stand, or may come to stand, for its partition."""
    found = connection.execute(
        sa.select(*ORDER_COLUMNS)
        .where(orders.c.collection == order.collection, orders.c.partition == order.partition)
        .where(orders.c.prompt_version == order.prompt_version, orders.c.superseded_by.is_(None))
        .order_by(orders.c.id)
    )
    return [order_from_row(row) for row in found]


def _describe_standing(order: Order) -> PlacementOutcome:
    if order.is_owned:
        return "owned"
    return "billed_failure" if order.is_billed_failure else "under_way"


def approve_order(connection: Connection, order: Order, *, by: str, now: float) -> bool:
    """Let a proposed order be bought at the price that was shown. False if it has moved on."""
    approval = {"approved_by": by, "approved_at": now, "approved_usd": order.ceiling_usd}
    turn_at = turn_of(now, order.priority)
    changes = {"due_at": now, "attempts": 0, "hold": None, "turn_at": turn_at, **approval}
    return take_step(connection, Move(order, "approve", changes), now=now)


def state_of_new(request: OrderRequest, *, needs_approval: bool) -> dict[str, Any]:
    """Return the first state of an order, as columns."""
    if not needs_approval:
        return {"state": "ordered"}
    # A proposed order has a step to take only while it has no price.
    return {"state": "proposed"} | ({} if request.ceiling_usd is None else {"due_at": None})


def insert_order(
    connection: Connection,
    request: OrderRequest,
    *,
    now: float,
    key: str | None,
    state: OrderState,
    **more: Any,
) -> int:
    """Insert an order. Return its id.

    Args:
        connection: of a transaction that may write.
        request: what it asks for.
        now: unix seconds.
        key: the live key of the video, `None` for an order that is not shown.
        state: the order's first.
        **more: other columns.
    """
    values = {
        **{name: getattr(request, name) for name in OrderRequest.__dataclass_fields__},
        "prompt_version": request.prompt_version or request.fingerprint,
        "live_key": key,
        "state": state,
        "created_at": now,
        "moved_at": now,
        "due_at": now,
        "turn_at": turn_of(now, request.priority),
        "outputs": [],
        "files": [],
        **more,
    }
    inserted = connection.execute(_INSERT, values).inserted_primary_key
    assert inserted is not None  # both databases return the new row's id
    return int(inserted[0])


def take_turns(connection: Connection, things: Iterable[tuple[str, str]]) -> None:
    """Let one transaction at a time decide about things.

    Two at once would not see each other's order: neither of them would be superseded, and a task
    would get two. SQLite has one writer at a time anyway.

    Args:
        connection: of a transaction that may write.
        things: partitions with their collection, or tasks with their account.
    """
    if connection.dialect.name == "postgresql":
        # Always in the same order: no deadlock is possible.
        for number in sorted({int(live_key(*thing, "")[:15], 16) for thing in things}):
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


def _take_up(
    connection: Connection, order: Order, request: OrderRequest, now: float
) -> PlacementOutcome:
    version = request.prompt_version or request.fingerprint
    is_of_other = order.prompt_version != version
    is_taken_up = order.superseded_by is not None
    changes: dict[str, Any] = {"prompt_version": version} if is_of_other else {}
    if is_taken_up:
        changes["superseded_by"] = None
        if order.stop_reason == _why_superseded(order.superseded_by):
            changes |= {"stop_state": None, "stop_reason": None}
    if changes:
        connection.execute(sa.update(orders).where(orders.c.id == order.id).values(changes))
    if order.is_billed_failure and order.state != "uncollected":
        return "billed_failure"
    if order.state == "uncollected":
        # What was paid for is looked for once more; nothing is bought.
        return _resume(connection, order, "follow_again", now)
    if is_taken_up:
        if order.state == "delivered":  # another video was shown since: report this one again
            return _resume(connection, order, "show_again", now)
        return "taken_up"
    # Nothing was sent yet: the account that asks now pays, and what it asks with is the newest. A
    # signed URL ends after a while, and a new one is the same input.
    connection.execute(
        sa.update(orders)
        .where(orders.c.id == order.id, orders.c.state.in_(UNSENT), orders.c.posts == 0)
        .values(
            account=request.account,
            inputs=dict(request.inputs),
            limit_usd=request.limit_usd,
            priority=request.priority,
            turn_at=turn_of(order.approved_at or order.created_at, request.priority),
        )
    )
    return "owned" if order.is_owned else "under_way"


def _find_standing(connection: Connection, order: Order, version: str) -> Order:
    """Return the take that stands instead of an order, or did until the prompt was changed."""
    while order.superseded_by is not None and order.prompt_version == version:
        other = _get(connection, order.superseded_by)
        if other.prompt_version != version:
            break
        order = other
    return order


def _get(connection: Connection, order_id: int) -> Order:
    return order_from_row(connection.execute(SELECT_ONE, {"one_id": order_id}).one())


def _resume(connection: Connection, order: Order, step: str, now: float) -> PlacementOutcome:
    take_step(connection, Move(order, step, {"due_at": now, "attempts": 0}), now=now)
    return "taken_up"


def _supersede_others(
    connection: Connection, request: OrderRequest, order_id: int, now: float
) -> None:
    given = {"collection": request.collection, "partition": request.partition, "not_id": order_id}
    found = connection.execute(_OTHERS, given).all()
    version = request.prompt_version or request.fingerprint
    others = [
        other
        for other in map(order_from_row, found)
        # Takes of one prompt stand beside each other; a new one takes the place of a failed one.
        if other.prompt_version != version or (other.is_failure and other.id < order_id)
    ]
    if not others:
        return
    for other in others:
        if other.state in UNSENT:
            reason = f"{_why_superseded(order_id)} Nothing had been sent."
            ended = {"due_at": None, "ended_at": now, "error": reason}
            take_step(connection, Move(other, "drop", ended), now=now)
    if others:
        connection.execute(
            sa.update(orders)
            .where(orders.c.id.in_([other.id for other in others]))
            .values(superseded_by=order_id)
        )


def _stop_superseded(connection: Connection, order_id: int, now: float) -> None:
    """Ask for the tasks of superseded orders to be stopped; one that completes is kept."""
    version = sa.select(orders.c.prompt_version).where(orders.c.id == order_id)
    mine = (orders.c.superseded_by == order_id) & orders.c.stop_reason.is_(None)
    mine &= orders.c.prompt_version != version.scalar_subquery()
    connection.execute(
        sa.update(orders)
        .where(mine, orders.c.state.in_(UNDER_WAY))
        .values(
            stop_state="cancelled",
            stop_reason=_why_superseded(order_id),
            due_at=sa.case((orders.c.state == "running", now), else_=orders.c.due_at),
        )
    )


def _why_superseded(order_id: int | None) -> str:
    return f"Superseded by order {order_id}."
