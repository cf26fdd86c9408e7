"""Orders that stand still: each state has a time by which an order should have left it."""

from __future__ import annotations

from collections.abc import Collection

from wiro_dagster.ledger import Order, OrderState
from wiro_dagster.orders.context import OrderContext

LIMIT_SECONDS: dict[OrderState, float] = {
    "ordered": 6 * 3600.0,
    "submitting": 900.0,
    "unknown": 1800.0,
    "running": 2 * 3600.0,
    "settling": 1800.0,
    "finished": 3600.0,
    "stored": 1800.0,
}
"""How long an order may stay in each state before `orders_moving` turns red."""

LISTED = 200


def list_standing(context: OrderContext, collections: Collection[str]) -> list[Order]:
    """Return orders of some collections that stood still for too long, the longest first."""
    now = context.now()
    moved_before = {state: now - seconds for state, seconds in LIMIT_SECONDS.items()}
    return context.ledger.list_standing(collections, moved_before, limit=LISTED)


def describe_standing(order: Order, now: float) -> str:
    """Say how long an order has stood still, why, and which command helps."""
    hours = (now - order.moved_at) / 3600
    reason = order.hold or order.error or "no reason is known"
    return f"{order.name} has been {order.state} for {hours:.1f} h: {reason} {_help(order)}"


def _help(order: Order) -> str:
    match order.state:
        case "ordered":
            return f"Remove what holds it back, or drop it: wiro-dagster orders abandon {order.id}"
        case "unknown":
            return (
                f"Decide: wiro-dagster orders adopt {order.id} TASK_ID, orders resend {order.id}, "
                f"or orders abandon {order.id}"
            )
        case "running" | "settling":
            return (
                f"Look at task {order.task_id} at Wiro, or stop it: "
                f"wiro-dagster orders abandon {order.id}"
            )
        case "finished":
            return (
                "It continues once the cause is fixed, as long as Wiro still has the files. "
                f"To try it now: wiro-dagster orders recover {order.id}"
            )
        case _:
            return "Check that the sensor is running: dagster sensor list"
