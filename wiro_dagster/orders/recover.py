"""Recovering: finding out what became of a submission whose answer was lost.

Wiro has no idempotency key, so the only way to know is its list of tasks. A task is ours if it
carries the marker of the lost POST. Its absence alone proves nothing: the order is sent again
only if the list has proved itself complete, explains every task of that time, and has done so in
several looks apart. Otherwise the user decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wiro_dagster.api.types import Task
from wiro_dagster.errors import ApiError
from wiro_dagster.ledger import MAXIMUM_POSTS, Order, Stray
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.likeness import count_surplus
from wiro_dagster.orders.strays import Origin, adopt_marked, find_origin
from wiro_dagster.orders.task_list import Listing, list_tasks_since

_CLOCK_MARGIN_SECONDS = 120.0
"""How much earlier than its POST a task may seem to have been made, clocks being as measured."""

_CLOCK_PRECISION_SECONDS = 2.0
"""How exactly two times by Wiro's clock can be compared: its `Date` has whole seconds."""

LOOKS_NEEDED = 3
_ORIGINS_AT_ONCE = 50


@dataclass(frozen=True)
class Search:
    """What Wiro's list says about lost submissions.

    Args:
        listing: the list, back to before the first of them.
        unexplained: its tasks that neither a submission nor a marker explains, or that could not
            be looked at closely.
        with_markers: whether lost runs carried a marker.
        listing_seconds: how long to wait for a task to be listed.
    """

    listing: Listing
    unexplained: tuple[Task, ...]
    with_markers: bool
    listing_seconds: float


def recover_orders(context: OrderContext, claimed: Sequence[Order]) -> list[str]:
    """Look up what became of lost submissions. Return notices.

    Args:
        context: of the account.
        claimed: in state `submitting` with an expired lease, or `unknown`.
    """
    lost = [order for order in claimed if order.account == context.account]
    notices = [_wait_for_account(context, order) for order in claimed if order not in lost]
    if not lost:
        return notices
    try:
        search = _search(context, lost, notices)
    except ApiError as error:
        context.note_read_failure(error)
        for order in lost:
            _look_later(context, order, f"Wiro's list of tasks could not be read: {error}", looks=0)
        return [*notices, f"Lost answers could not be looked up: {error}"]
    for order in lost:
        if context.ledger.get(order.id).state not in ("submitting", "unknown"):
            continue  # adopted by its marker
        notice, found = _decide(context, order, search), context.ledger.get(order.id)
        if (found.state, found.error) != (order.state, order.error):
            notices.append(notice)  # the same words again are no news
    return notices


def _search(context: OrderContext, lost: Sequence[Order], notices: list[str]) -> Search:
    return search_list(
        context,
        sent_at=min(order.claimed_at or order.created_at for order in lost),
        given_up_at=max(order.moved_at for order in lost),
        notices=notices,
    )


def search_list(
    context: OrderContext, *, sent_at: float, given_up_at: float, notices: list[str]
) -> Search:
    """Search Wiro's list for what lost submissions may have bought; adopt what carries a marker.

    Args:
        context: of the account.
        sent_at: when the first of them was claimed.
        given_up_at: when we stopped waiting for the last answer.
        notices: gets a line for each task that is adopted.

    Raises:
        ApiError: the list cannot be read now.
    """
    ledger, offset = context.ledger, context.client.clock_offset_seconds or 0.0
    known = ledger.list_known_tasks(context.account, claimed_after=sent_at - _CLOCK_MARGIN_SECONDS)
    listing = list_tasks_since(
        context,
        sent_at + offset - _CLOCK_MARGIN_SECONDS,
        expected=[task_id for task_id, is_listed in known.items() if is_listed] or list(known),
        # Wiro may have made the task at any time until we stopped waiting for the answer, so a
        # younger one must have been made after that.
        younger_than=given_up_at + offset + _CLOCK_PRECISION_SECONDS,
    )
    listed = {task.id for task in listing.tasks}
    late = [task for task, was_listed in known.items() if not was_listed and task not in listed]
    ledger.note_missed(context.account, late)
    explained = ledger.find_known_tasks(context.account, [task.id for task in listing.tasks])
    accepted = {stray.task_id for stray in ledger.list_strays(context.account, accepted=True)}
    others = [task for task in listing.tasks if task.id not in explained | accepted]
    with_markers = context.identify_runs and context.gate.find_unmarked_reason() is None
    unexplained = []
    for position, task in enumerate(others):
        if (task.created_at or sent_at + offset) < sent_at + offset - _CLOCK_MARGIN_SECONDS:
            continue  # older than anything that was lost
        origin = _find_origin(context, task, closer=with_markers and position < _ORIGINS_AT_ONCE)
        if origin is None:
            unexplained.append(task)
        elif origin.is_ours and origin.marker is not None:
            notices += adopt_marked(context, task, origin.marker)
        elif not origin.is_foreign:
            unexplained.append(task)
    seconds = context.listing_seconds()
    listing = _doubt_hiding(context, listing, made_before=context.now() - seconds)
    return Search(listing, tuple(unexplained), with_markers, seconds)


def _doubt_hiding(context: OrderContext, listing: Listing, *, made_before: float) -> Listing:
    """A list that hides one task may hide another: what it does not show proves nothing."""
    hidden = context.ledger.find_hidden_task(context.account, claimed_before=made_before)
    if hidden is None:
        return listing
    doubt = f"it has never shown task {hidden}, which exists"
    return replace(listing, doubts=(*listing.doubts, doubt))


def _find_origin(context: OrderContext, task: Task, *, closer: bool) -> Origin | None:
    try:
        return find_origin(context, task, closer=closer)
    except ApiError:
        return None


def _decide(context: OrderContext, order: Order, search: Search) -> str:
    """Decide about an order that no task could be given to by its marker."""
    sent_at = (order.claimed_at or order.created_at) + (context.client.clock_offset_seconds or 0.0)
    candidates = [
        task
        for task in search.unexplained
        if (task.created_at or sent_at) >= sent_at - _CLOCK_MARGIN_SECONDS
    ]
    if candidates:
        return _ask_user(context, order, candidates, search)
    if search.listing.doubts:
        doubts = "; ".join(search.listing.doubts)
        reason = f"Its answer was lost, and Wiro's list proves nothing yet: {doubts}."
        _look_later(context, order, reason, looks=0)
        return f"{order.name}: {reason} {_how_to_decide(order)}"
    looks = order.looks + 1
    waited = context.now() - (order.lost_since or context.now())
    if looks < LOOKS_NEEDED or waited < search.listing_seconds:
        reason = f"Its answer was lost, and Wiro lists no task of it ({looks} complete looks)."
        _look_later(context, order, reason, looks=looks, seconds=search.listing_seconds)
        return f"{order.name}: {reason}"
    if order.posts >= MAXIMUM_POSTS:
        reason = f"It was sent {order.posts} times, and both answers were lost."
        _look_later(context, order, reason, looks=looks, seconds=search.listing_seconds)
        return f"{order.name}: {reason} {_how_to_decide(order)}"
    state = context.ledger.note_unsent(order, due_at=context.now(), nothing_bought=False)
    return (
        f"{order.name}: in {looks} complete looks over {waited:.0f} s, Wiro listed no task of it. "
        f"It is {'submitted once more' if state == 'ordered' else state}; the lost POST stays "
        "committed in the budget."
    )


def _ask_user(
    context: OrderContext, order: Order, candidates: Sequence[Task], search: Search
) -> str:
    """An unexplained task goes to the user, never to another POST."""
    alike = [task for task in candidates if count_surplus(order, task) is not None]
    if (
        not search.with_markers
        and len(alike) == len(candidates) == 1
        and not _rivals(context, order, alike[0])
    ):
        # Without markers, equal inputs are all there is to go by.
        task = alike[0]
        outcome = context.ledger.note_task(order, task.id, due_at=context.now())
        if outcome == "noted":
            # No certainty: the user is told, and the task is not stopped before they accept it.
            likely = Stray(task.id, task.model_slug, task.cost_usd, task.created_at)
            context.ledger.note_strays(context.account, [likely])
            return f"{order.name}: its lost answer was task {task.id}, which is adopted."
    ids = ", ".join(task.id for task in (alike or candidates)[:10])
    hint = "with the same inputs" if alike else "of that time"
    reason = f"Its answer was lost, and Wiro lists tasks {hint} that no order explains: {ids}."
    _look_later(context, order, reason, looks=0)
    return f"{order.name}: {reason} {_how_to_decide(order)}"


def _rivals(context: OrderContext, order: Order, task: Task) -> bool:
    """Whether the task may as well belong to some other lost order."""
    return any(
        rival.id != order.id and count_surplus(rival, task) is not None
        for rival in context.ledger.list_unanswered(context.account)
    )


def _how_to_decide(order: Order) -> str:
    return (
        f"Decide: wiro-dagster orders adopt {order.id} TASK_ID, orders resend {order.id}, or "
        f"orders abandon {order.id}."
    )


def _wait_for_account(context: OrderContext, order: Order) -> str:
    """A key of a different account does not see the task: its absence says nothing."""
    reason = f"Its answer was lost, and only account {order.account} can look it up."
    _look_later(context, order, reason, looks=0)
    return f"{order.name}: {reason}"


def _look_later(
    context: OrderContext, order: Order, reason: str, *, looks: int, seconds: float = 0.0
) -> None:
    """Note a look that decided nothing; the wait of so many seconds counts from a complete look."""
    now = context.now()
    lost_since = order.lost_since if looks and order.looks else now
    pause = max(
        context.policy.timing.recover_pause_seconds,
        min((now - (order.claimed_at or now)) * 0.1, 3600.0),
        seconds / LOOKS_NEEDED,
    )
    context.ledger.apply(
        order, "lose", lost_since=lost_since, looks=looks, error=reason, due_at=now + pause
    )
