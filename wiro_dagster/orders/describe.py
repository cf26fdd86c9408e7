"""Say in words how an order, a task or an account stands. Pure functions, for logs and screens."""

from __future__ import annotations

from wiro_dagster.ledger import AccountTrouble, Order, Placement

_ORDER_AGAIN = "Materialize video_order to order it again."


def describe_progress(order: Order) -> str:
    """Return the last status of a running task: `task_output, 40 %`."""
    percent = "" if order.progress_percent is None else f", {order.progress_percent:.0f} %"
    return f"{order.task_status or 'new'}{percent}"


def describe_state(order: Order) -> str:
    """Return how an order stands, and what to do about it if anything can be done."""
    cost = "" if order.cost_usd is None else f" Wiro charged {order.cost_usd:f} USD."
    reason = order.error or "no reason given."
    match order.state:
        case "ordered":
            return f"Waiting: {order.hold}" if order.hold else "Ordered; not submitted yet."
        case "submitting":
            return "Being submitted."
        case "unknown":
            return "The answer to the submission was lost; looking for its task at Wiro."
        case "running":
            return f"Task {order.task_id} is running at Wiro ({describe_progress(order)})."
        case "finished":
            last = f" Last attempt: {order.error}" if order.error else ""
            return f"Task {order.task_id} is done; its files are being downloaded.{last}"
        case "stored" | "delivered":
            return f"Owned: the files of task {order.task_id} are in the video store.{cost}"
        case "uncollected":
            return (
                f"Paid for, but the files of task {order.task_id} could not be downloaded: "
                f"{reason}{cost} Try again with: wiro-dagster orders recover {order.id}"
            )
        case "cancelled":
            return f"Cancelled: {reason}{cost} {_ORDER_AGAIN}"
        case "failed":
            return f"Failed: {reason}{cost} {_ORDER_AGAIN}"


def describe_placement(placement: Placement) -> str:
    """Return what placing an order did."""
    order = placement.order
    match placement.outcome:
        case "placed":
            price = "unknown price" if order.quote_usd is None else f"quote {order.quote_usd:f} USD"
            return f"Placed {order.name}: {order.model_slug}, {price}."
        case "under_way":
            return f"{order.name} already exists ({order.state}); nothing new is bought."
        case "owned":
            return f"{order.name} is already owned (task {order.task_id}); nothing new is bought."
        case "taken_up":
            return f"{order.name} is resumed ({order.state}); nothing new is bought."


def describe_trouble(trouble: AccountTrouble) -> str:
    """Return why the account cannot submit, and what fixes it."""
    remedy = {
        "balance": "once the balance is topped up",
        "credentials": "once key and secret match the project at Wiro",
    }[trouble.kind]
    return (
        f"Nothing is submitted. {trouble.reason} Submitting resumes {remedy}; until then orders "
        "wait, and running tasks continue."
    )
