"""Permission to buy: evidence, clocks and account are asked before any money is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wiro_dagster.errors import ApiError, NotFound, StoreError
from wiro_dagster.ledger import Order
from wiro_dagster.ledger.account_state import find_clock_objection, is_clock_right
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.recent import is_recent
from wiro_dagster.orders.witness import find_contradiction, write_witness

_EVIDENCE_SECONDS = 60.0
"""How often the ledger's witness is read."""


class Permission:
    """Says whether a desk may buy now. Keep one for a desk."""

    def __init__(self) -> None:
        self._evidence_at: float | None = None
        self._database_offset: float | None = None

    def find_objection(self, context: OrderContext) -> str | None:
        """Return why nothing may be bought now; `None` if buying is allowed.

        This asks nothing of store or Wiro while no order waits and no witness has objected.
        """
        ledger, now = context.ledger, context.now()
        has_unsent = ledger.has_unsent(context.collection)
        if not has_unsent and ledger.identity().behind_by != "store":
            return None
        if not is_recent(self._evidence_at, now, _EVIDENCE_SECONDS):
            try:
                contradiction = find_contradiction(context)
            except StoreError as error:
                return f"The video store cannot be read: {error}"
            ledger.note_witness("store", contradiction)
            self._evidence_at, self._database_offset = now, ledger.measure_database_clock()
        if not has_unsent or not context.gate.may_submit():
            return None  # the gate says why, and Wiro is not asked for what may not be bought
        return measure_clocks(context, self._database_offset)


def measure_clocks(context: OrderContext, database_offset_seconds: float | None) -> str | None:
    """Return why nothing may be bought by this machine's clock; `None` if it is right.

    A clock that was wrong is measured again: when it has been set, buying resumes automatically.

    Args:
        context: of the account.
        database_offset_seconds: the database's clock minus ours; `None` if it has none of its own.
    """
    if not is_clock_right(context.client.clock_offset_seconds):
        try:
            context.client.list_tasks(limit=1)
        except NotFound:
            pass  # an account without any task; its answer still has a date
        except ApiError as error:
            reason = f"Nothing is bought before Wiro has answered: {error}"
            until = context.now() + context.policy.timing.pause_seconds
            context.gate.close(until=until, reason=reason)
            context.note_read_failure(error)
            return reason
    objection = find_clock_objection(
        {"Wiro's": context.client.clock_offset_seconds, "the database's": database_offset_seconds}
    )
    context.note_clock(objection)
    return objection


def record_purchase(context: OrderContext, orders: Sequence[Order]) -> str | None:
    """Record a purchase outside the ledger, before its first byte is sent.

    Args:
        context: of the collection.
        orders: claimed for submission.

    Returns:
        Why the orders must not be sent after all; they wait again. `None` if they may be.
    """
    if not orders:
        return None
    try:
        write_witness(context)
    except StoreError as error:
        reason = f"The video store cannot be written: {error}"
        now = context.now()
        until = now + context.policy.timing.pause_seconds
        context.gate.close(until=until, reason=reason, problem="evidence")
        for order in orders:
            context.ledger.note_unsent(order, due_at=now, hold=reason)
        return reason
    context.end_problem("evidence")
    return None


def use_known_account(context: OrderContext) -> OrderContext | None:
    """Return the context with the account that its key was seen to belong to, if it was."""
    found = context.ledger.find_account_of_key(context.account)
    return None if found is None else replace(context, account=found)


def learn_account(context: OrderContext) -> OrderContext | None:
    """Find out whether a new key belongs to an account on the books: then it sees its tasks.

    Returns:
        The context with the account's name; `None` if Wiro cannot say now.
    """
    account = context.account
    for candidate, task_id in context.ledger.list_recent_tasks(limit=5):
        try:
            context.client.get_task(task_id)
        except NotFound:
            continue
        except ApiError as error:
            context.note_read_failure(error)
            return None
        account = candidate
        break
    return replace(context, account=context.ledger.note_key(context.account, account))
