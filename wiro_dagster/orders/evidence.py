"""Evidence outside the ledger: the ledger is never the only witness of what was bought.

An order's note in the video store says what was bought and which files it became, so that an owned
video is never bought again, whatever became of the ledger. Dagster's event log says the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import Any

from wiro_dagster.errors import StoreError
from wiro_dagster.ledger import Cost, Order, OrderRequest, Stray
from wiro_dagster.ledger.order import live_key
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.strays import find_origin
from wiro_dagster.orders.task_list import list_tasks_since
from wiro_dagster.orders.witness import list_fresh_witnesses, list_witnesses

_log = logging.getLogger("wiro_dagster")

_LONG_AGO_SECONDS = 30 * 86_400.0
"""How far back a rebuild reads Wiro's list. Wiro keeps no files for longer than that."""

_DETAILS = 100
"""How many tasks without a marker in the list a rebuild reads by Task/Detail."""

_SAVED = (
    "collection",
    "partition",
    "account",
    "model_slug",
    "inputs",
    "fingerprint",
    "take",
    "prompt_version",
    "prompt_input",
    "task_id",
    "claimed_at",
    "submitted_at",
    "ended_at",
    "queue_seconds",
    "elapsed_seconds",
    "outputs",
    "files",
)
_MONEY = ("quote_usd", "ceiling_usd", "cost_usd")


@dataclass
class Rebuild:
    """What a rebuild found.

    Args:
        owned: orders put back on the books whose files are in the store.
        followed: orders put back whose task is still at Wiro.
        unexplained: tasks that carry a ledger's marker, but belong to no present prompt.
        doubts: why the account of what was bought may be incomplete; empty if it is complete.
    """

    owned: list[Order] = field(default_factory=list)
    followed: list[Order] = field(default_factory=list)
    unexplained: list[Stray] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """Say what was found, and why nothing is bought yet."""
        doubts = "; ".join(self.doubts)
        return (
            f"The ledger was filled from the evidence: {len(self.owned)} videos in the store, "
            f"{len(self.followed)} tasks at Wiro."
            + (f" It does not buy yet: {doubts}." if doubts else "")
        )


@dataclass(frozen=True)
class EventLog:
    """What Dagster's event log says of a collection.

    Args:
        videos: one note for each video that it shows, like those in the store.
        witnesses: the ledger that wrote its newest event, as a store's witness has it.
    """

    videos: tuple[Mapping[str, Any], ...] = ()
    witnesses: tuple[Mapping[str, Any], ...] = ()


# ---- the notes of orders ----


def write_order_note(
    context: OrderContext, order: Order, files: Iterable[Mapping[str, Any]]
) -> None:
    """Record beside the files what they are, and what they cost."""
    note: dict[str, Any] = {name: getattr(order, name) for name in _SAVED}
    note |= {name: _text(getattr(order, name)) for name in _MONEY}
    note["files"] = list(files)
    note["outputs"] = list(order.outputs)
    key = live_key(order.collection, order.partition, order.fingerprint)
    context.store.write_note(_note_name(key), note)


def restore_owned(context: OrderContext, request: OrderRequest) -> Order | None:
    """Put a video back on the books that is in the store, though the ledger does not know of it.

    Returns:
        Its order, delivered; `None` if the store has no such video.

    Raises:
        StoreError: the store cannot be read: then nothing is known, and nothing may be bought.
    """
    note = context.store.read_note(
        _note_name(live_key(request.collection, request.partition, request.fingerprint))
    )
    return None if note is None else _restore(context, note)


def _restore(context: OrderContext, note: Mapping[str, Any]) -> Order | None:
    try:
        files = list(note["files"])
        money = {name: _decimal(note.get(name)) for name in _MONEY}
        request = OrderRequest(
            collection=str(note["collection"]),
            partition=str(note["partition"]),
            account=str(note["account"]),
            model_slug=str(note["model_slug"]),
            inputs=dict(note["inputs"]),
            fingerprint=str(note["fingerprint"]),
            take=int(note["take"]),
            prompt_version=str(note.get("prompt_version", "")),
            prompt_input=note.get("prompt_input"),
            quote_usd=money["quote_usd"],
            ceiling_usd=money["ceiling_usd"],
        )
        sizes = [(file["key"], file["size_bytes"]) for file in files]
        task_id = str(note["task_id"])
    except (KeyError, TypeError, ValueError) as error:
        _log.warning(
            "A note in the video store cannot be used: %s: %s", type(error).__name__, error
        )
        return None
    if not files or any(context.store.find_size(key) != size for key, size in sizes):
        return None
    times = ("claimed_at", "submitted_at", "ended_at", "queue_seconds", "elapsed_seconds")
    known = {name: note.get(name) for name in times}
    # Wiro may have stated the cost after the note was written.
    recheck_at = context.now() if money["cost_usd"] is None else None
    # Reported once more: the event log may be as new as the ledger.
    return context.ledger.restore(
        request,
        task_id=task_id,
        known={**known, "files": files, "outputs": list(note.get("outputs", ()))},
        cost=Cost(money["cost_usd"], has_ended=True, recheck_at=recheck_at),
    )


def _note_name(key: str) -> str:
    return f"orders/{key[:2]}/{key}"


# ---- rebuilding ----


def rebuild(
    context: OrderContext,
    requests: Iterable[OrderRequest],
    *,
    events: EventLog | None = None,
    force: bool = False,
) -> Rebuild:
    """Fill the ledger from the evidence: the store's notes, the event log, Wiro's list of tasks.

    Args:
        context: of the collection.
        requests: what the present prompts ask for.
        events: what Dagster's event log says, if it is at hand.
        force: the user says that the evidence is complete, whatever is in doubt.

    Raises:
        StoreError: the store cannot be read.
        ApiError: Wiro's list cannot be read.
    """
    found = Rebuild()
    stored = map(context.store.read_note, context.store.list_notes("orders/"))
    for note in chain(stored, () if events is None else events.videos):
        if note is not None and note.get("collection") == context.collection:
            order = _restore(context, note)
            found.owned += [] if order is None else [order]
    listing = list_tasks_since(context, context.wiro_now() - _LONG_AGO_SECONDS)
    # With nothing on the books, no task can prove the list; its own order and total can.
    found.doubts += [doubt for doubt in listing.doubts if "that we know" not in doubt]
    _follow_marked(context, requests, listing.tasks, found)
    found.doubts += list_fresh_witnesses(context)
    if force or not found.doubts:
        own = context.ledger.identity().ledger_id
        context.ledger.absorb(own, sequence=0)
        told = () if events is None else events.witnesses
        for witness in (*list_witnesses(context), *told):
            sequence = int(witness.get("sequence", 0)) if witness.get("ledger_id") == own else 0
            context.ledger.absorb(str(witness.get("ledger_id")), sequence=sequence)
    return found


def _follow_marked(
    context: OrderContext, requests: Iterable[OrderRequest], tasks: Iterable[Any], found: Rebuild
) -> None:
    wanted = {
        live_key(request.collection, request.partition, request.fingerprint)[:16]: request
        for request in requests
    }
    listed = {task.id: task for task in tasks}
    records = context.ledger.find_submissions(context.account, task_ids=list(listed))
    for record in records:
        listed.pop(str(record.task_id), None)
    witnesses = {str(witness.get("ledger_id")) for witness in list_witnesses(context)}
    witnesses.add(context.ledger.identity().ledger_id)
    accepted = {
        stray.task_id for stray in context.ledger.list_strays(context.account, accepted=True)
    }
    unmarked: list[str] = []
    for position, task in enumerate(listed.values()):
        origin = find_origin(context, task, closer=position < _DETAILS)
        marker = origin.marker
        if task.id in accepted or (
            origin.is_foreign and (marker is None or marker.ledger_id not in witnesses)
        ):
            continue  # it belongs to others
        request = None if marker is None else wanted.get(marker.wish)
        unmarked += [task.id] if marker is None else []
        order = None
        if request is not None:
            # While a task runs, its cost says nothing: the ceiling counts.
            cost = Cost(task.cost_usd if task.is_ended and task.cost_usd else None)
            order = context.ledger.restore(request, task_id=task.id, known={}, cost=cost)
        if order is not None:
            found.followed.append(order)
        else:
            found.unexplained.append(
                Stray(task.id, task.model_slug, task.cost_usd, task.created_at)
            )
    context.ledger.note_strays(context.account, found.unexplained)
    if unmarked:
        # Without a marker, any of them may be what the lost ledger bought.
        found.doubts.append(
            f"{len(unmarked)} tasks carry no marker, the first of them {unmarked[0]}; accept those "
            "of others with wiro-dagster audit --accept"
        )


def note_or_warn(context: OrderContext, order: Order, files: Iterable[Mapping[str, Any]]) -> None:
    """Write an order's note; a store that refuses it harms nothing that is owned already."""
    try:
        write_order_note(context, order, files)
    except StoreError as error:
        _log.warning("%s: its note could not be written: %s", order.name, error)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


def _decimal(text: object) -> Decimal | None:
    return None if text is None else Decimal(str(text))
