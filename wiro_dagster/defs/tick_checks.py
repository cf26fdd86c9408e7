"""The checks that a tick of the order sensor evaluates: those whose result has changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import dagster as dg

from wiro_dagster.defs.between_ticks import take_shown
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.order_checks import (
    LISTED_ORDERS,
    account_check,
    books_check,
    budget_check,
    list_approval_checks,
    list_budget_uses,
    moving_check,
)
from wiro_dagster.defs.order_cursor import OrderCursor
from wiro_dagster.defs.report import Reporter
from wiro_dagster.defs.video_checks import build_evaluations, judge_videos_until
from wiro_dagster.ledger import OrderState
from wiro_dagster.orders import OrderDesk

_HELD_PAUSE_SECONDS = 300.0
"""How often a changed number of held orders leads to an evaluation of `within_budget`."""

_JUDGED_PAUSE_SECONDS = 30.0
_JUDGING_SECONDS = 5.0
_ARRIVING: frozenset[OrderState] = frozenset({"settling", "finished", "stored"})
"""While orders are in these states, the checks on the videos are evaluated once a pause."""

_NAMED_IN_CURSOR = 20


def add_shown_elsewhere(
    reporter: Reporter, before: OrderCursor, delivered: Collection[int]
) -> tuple[list[int], OrderCursor]:
    """Add the orders whose videos were shown since the last tick: between ticks, or by runs.

    Args:
        reporter: of the tick.
        before: what has been reported so far.
        delivered: ids of orders whose videos were reported in this tick.

    Returns:
        The ids of all of them, and what has been reported once their checks are evaluated.
    """
    collection, ledger = reporter.collection, reporter.desk.ledger
    now, since = reporter.desk.context.now(), before.collected_at
    shown = {*delivered, *take_shown(collection)}
    if collection.collect == "runs":
        found = {} if since is None else ledger.list_delivered_since(collection.ledger_name, since)
        seen_to = max(found.values(), default=now if since is None else since)
        return sorted(shown.union(found)), replace(before, collected_at=seen_to)
    # What an earlier process has shown after its last tick, only the ledger knows.
    is_first = collection.cache.find(_key_of_first(reporter), bool) is None
    collection.cache.put(_key_of_first(reporter), value=True)
    if is_first and since is not None:
        shown.update(ledger.list_delivered_since(collection.ledger_name, since))
    return sorted(shown), replace(before, collected_at=now) if shown else before


def _key_of_first(reporter: Reporter) -> tuple[str, ...]:
    return "has ticked", reporter.collection.ledger_name, str(reporter.desk.ledger.engine.url)


def judge_videos(
    reporter: Reporter, before: OrderCursor, delivered: Collection[int]
) -> tuple[list[dg.AssetCheckEvaluation], OrderCursor]:
    """Evaluate the checks on the videos after a delivery; while many arrive, only now and then.

    Each evaluation is over all videos, and one of each check costs as much as some deliveries.

    Args:
        reporter: of the tick.
        before: what has been reported so far.
        delivered: ids of orders whose videos were reported in this tick.

    Returns:
        The evaluations, and what has been reported once they are written.
    """
    collection, context = reporter.collection, reporter.desk.context
    now, unjudged = context.now(), before.unjudged + len(delivered)
    if not unjudged:
        return [], before
    key = ("unjudged", collection.ledger_name, context.ledger.engine.url)
    changed = frozenset({*collection.cache.get(key, frozenset[int]), *delivered})
    is_late = not 0 <= now - before.judged_at < _JUDGED_PAUSE_SECONDS
    if not is_late and not _ARRIVING.isdisjoint(context.ledger.count_unsettled(context.collection)):
        collection.cache.put(key, changed)
        return [], replace(before, unjudged=unjudged)
    collection.cache.drop(key)
    # After a start all videos are judged once more, which many ticks share if there are very many.
    deadline = collection.timing.monotonic() + _JUDGING_SECONDS
    ledger = context.ledger
    if not judge_videos_until(collection, ledger, changed=changed, deadline=deadline):
        return [], replace(before, unjudged=unjudged)
    evaluations = build_evaluations(collection, ledger)
    return evaluations, replace(before, judged_at=now, unjudged=0)


def find_news(
    desk: OrderDesk, collection: VideoCollection, before: OrderCursor, *, has_bought: bool
) -> tuple[list[dg.AssetCheckEvaluation], OrderCursor]:
    """Evaluate the checks on account and budget whose result has changed.

    Args:
        desk: of the collection.
        collection: whose orders.
        before: what the last tick reported.
        has_bought: whether the tick has committed more of the budget.

    Returns:
        The evaluations, and what has been reported once they are written.
    """
    ledger, now = desk.ledger, desk.context.now()
    checks: list[dg.AssetCheckEvaluation] = []
    after = before
    problem = desk.find_problem()
    kind = "" if problem is None else problem.kind
    # The wording varies between attempts; only a change of kind matters.
    if kind != before.account:
        checks.append(account_check(problem, collection.order_key))
        after = replace(after, account=kind)
    count = ledger.count_held(collection.ledger_name)
    is_turn = before.held is None or (count > 0) != (before.held > 0)
    is_late = now - before.held_told_at >= _HELD_PAUSE_SECONDS
    # Adding up the books reads a day's submissions: only if they have grown, or to see them free.
    looks = is_turn or has_bought or (is_late and (before.low or count != before.held))
    uses = list_budget_uses(desk) if looks else []
    if looks:
        after = replace(after, low=any(use.is_low for use in uses))
    if looks and is_late:
        after = replace(after, held_told_at=now)
    if is_turn or after.low != before.low or (count != before.held and is_late):
        held = ledger.list_held(collection.ledger_name, limit=LISTED_ORDERS)
        checks.append(budget_check(held, count, uses, collection.order_key))
        after = replace(after, held=count, held_told_at=now)
    standing = desk.list_standing()
    ids = tuple(order.id for order in standing[:_NAMED_IN_CURSOR])
    if ids != before.standing:
        checks.append(moving_check(standing, now, collection.order_key))
        after = replace(after, standing=ids)
    books = books_check(desk.context, collection.order_key)
    if books.description != before.books:
        checks.append(books)
        after = replace(after, books=books.description)
    for approvals in list_approval_checks(desk.context, collection.order_key):
        if approvals.description != before.approvals:
            checks.append(approvals)
            after = replace(after, approvals=approvals.description)
    return checks, after
