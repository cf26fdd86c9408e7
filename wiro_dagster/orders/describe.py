"""Say in words how an order, a task or an account stands. Pure functions, for logs and screens."""

from __future__ import annotations

from wiro_dagster.ledger import AccountProblem, Order, Placement, ProblemKind


def describe_progress(order: Order) -> str:
    """Return the last status of a running task: `task_output, 40 %`."""
    percent = "" if order.progress_percent is None else f", {order.progress_percent:.0f} %"
    return f"{order.task_status or 'new'}{percent}"


def describe_quote(order: Order) -> str:
    """Return what an order is expected to cost: `quote 0.28 USD`."""
    return "unknown price" if order.quote_usd is None else f"quote {order.quote_usd:f} USD"


def describe_state(order: Order) -> str:
    """Return how an order stands, and what to do about it if anything can be done."""
    cost = "" if order.cost_usd is None else f" Wiro charged {order.cost_usd:f} USD."
    reason = order.error or "no reason given."
    match order.state:
        case "proposed" | "ordered":
            return _describe_unsent(order)
        case "submitting":
            return "Being submitted."
        case "unknown":
            return "The answer to the submission was lost; looking for its task at Wiro."
        case "running":
            return f"Task {order.task_id} is running at Wiro ({describe_progress(order)})."
        case "settling":
            return f"Task {order.task_id} has ended; Wiro is still completing its answer."
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
        case "cancelled" | "failed":
            how = "Cancelled" if order.state == "cancelled" else "Failed"
            return f"{how}: {reason}{cost} {_what_follows(order)}"


def _what_follows(order: Order) -> str:
    if order.awaits_next_try:
        return "Whether another try follows is decided next."
    if order.superseded_by is not None:
        return f"Order {order.superseded_by} came after it."
    return _how_to_order_again(order)


def describe_take(order: Order) -> str:
    """Return which take an owned order is, and how to show it."""
    return (
        f"Take {order.take} is in the video store. To show it instead: wiro-dagster takes choose "
        f'"{order.partition}" {order.take}'
    )


def _describe_unsent(order: Order) -> str:
    if order.state == "ordered":
        return f"Waiting: {order.hold}" if order.hold else "Ordered; not submitted yet."
    again = f" {order.hold}" if order.hold else ""
    return (
        f"Waits for approval ({describe_quote(order)}).{again} Approve it: wiro-dagster orders "
        f"approve {order.id}, or materialize video_order with approve: true. Decline it: "
        f"wiro-dagster orders abandon {order.id}"
    )


def _how_to_order_again(order: Order) -> str:
    if not order.is_billed_failure:
        return "Materialize video_order to order it again."
    billed = order.cost_usd if order.cost_usd is not None else order.ceiling_usd
    amount = "an unknown amount" if billed is None else f"{billed:f} USD"
    return (
        f"It was billed, or may have been ({amount}), so it is not ordered again without you. "
        f"Look again: wiro-dagster orders recover {order.id}. "
        f"Pay once more: wiro-dagster orders reorder {order.id}"
    )


def describe_placement(placement: Placement) -> str:
    """Return what placing an order did."""
    order = placement.order
    match placement.outcome:
        case "placed":
            if order.state == "proposed":
                return f"Proposed {order.name}: {order.model_slug}. {describe_state(order)}"
            return f"Placed {order.name}: {order.model_slug}, {describe_quote(order)}."
        case "under_way":
            return f"{order.name} already exists ({order.state}); nothing new is bought."
        case "owned":
            return f"{order.name} is already owned (task {order.task_id}); nothing new is bought."
        case "taken_up":
            return f"{order.name} is resumed ({order.state}); nothing new is bought."
        case "billed_failure":
            return f"{order.name} is not ordered again. {describe_state(order)}"


def describe_problem(problem: AccountProblem) -> str:
    """Return why the account cannot submit, and what fixes it."""
    remedies: dict[ProblemKind, str] = {
        "balance": "once the balance is topped up",
        "credentials": "once key and secret match the project at Wiro",
        "reads": "once key and secret match the project at Wiro",
        "evidence": "once the video store can be written",
        "ledger": "once the ledger is rebuilt",
        "clock": "once this machine's clock is right",
        "hosts": "once the host is allowed (cdn_hosts, WIRO_CDN_HOSTS)",
        "store": "once the video store accepts files",
    }
    return (
        f"Nothing is submitted. {problem.reason} Submitting resumes {remedies[problem.kind]}; "
        "until then orders wait, and running tasks continue."
    )
