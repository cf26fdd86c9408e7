"""What an account's list of tasks says, compared with the books: known tasks, strays, the watch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.claims import SOON_SECONDS, due_conditions
from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.hints import HINTED
from wiro_dagster.ledger.order import SELECT_ORDERS, Order, order_from_row
from wiro_dagster.ledger.schema import (
    HAS_PACE,
    Usd,
    account_keys,
    accounts,
    differences,
    orders,
    submissions,
)
from wiro_dagster.ledger.transitions import FOLLOWED, OWNED


@dataclass(frozen=True)
class Difference:
    """A cost that changed after Wiro had stated it; in USD."""

    order_id: int
    task_id: str
    was_usd: Decimal
    is_usd: Decimal


class Tasks(Database):
    """Reads and notes what the watch needs."""

    # ---- the watch ----

    def hold_watch(self, account: str, watcher: str, *, seconds: float) -> bool:
        """Become or stay the one process that reads the account's list. False if another is."""
        now = self.clock()
        given = {"name": account, "now": now, "new_watcher": watcher, "until": now + seconds}
        with self.writing() as connection:
            ensure_account(connection, account)
            return connection.execute(_HOLD_WATCH, given).rowcount == 1

    def release_watch(self, account: str, watcher: str) -> None:
        """Leave the watch to the next process at once, if this one has it."""
        with self.writing() as connection:
            connection.execute(
                sa.update(accounts)
                .where(accounts.c.account == account, accounts.c.watcher == watcher)
                .values(watcher=None, watcher_until=None)
            )

    def is_watch_due(self, account: str) -> bool:
        """Whether a task of the account, or a cost that was not stated, is due to be read."""
        given = {"account": account, "now": self.clock()}
        with self.reading() as connection:
            return any(connection.execute(query, given).first() is not None for query in _IS_DUE)

    def find_next_look(self, account: str) -> float | None:
        """Return when the next task of the account is due to be read; `None` if none is followed.

        A time in the past says that one is due, and `HINTED` that something hinted at its end.
        """
        with self.reading() as connection:
            found = [
                connection.execute(_NEXT_LOOK, {"account": account, "state": state}).scalar()
                for state in FOLLOWED
            ]
        return min((due_at for due_at in found if due_at is not None), default=None)

    def list_followed(self, account: str, *, limit: int, ahead_seconds: float = 0.0) -> list[Order]:
        """Return orders whose task is followed and due, the longest due first.

        Args:
            account: whose tasks.
            limit: how many at most.
            ahead_seconds: also those that fall due so soon.
        """
        found: list[Order] = []
        given = {"account": account, "now": self.clock() + ahead_seconds}
        with self.reading() as connection:
            for query in _FOLLOWED_AND_DUE:
                rows = connection.execute(query, {**given, "limit": limit - len(found)})
                found += [order_from_row(row) for row in rows]
        return found

    def list_hinted(self, account: str, *, limit: int) -> list[Order]:
        """Return running orders at whose task's end something has hinted, at most so many."""
        given = {"account": account, "limit": limit}
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(_HINTED_AT, given)]

    def find_orders_of_tasks(self, account: str, task_ids: Collection[str]) -> dict[str, Order]:
        """Return the orders that have these tasks, by task id."""
        given = {"account": account, "tasks": list(task_ids)}
        with self.reading() as connection:
            found = [order_from_row(row) for row in connection.execute(_ORDERS_OF_TASKS, given)]
        return {str(order.task_id): order for order in found}

    def find_unowned_of_tasks(self, account: str, task_ids: Collection[str]) -> dict[str, Order]:
        """Return those of them whose video is not owned: the others are done with."""
        if not task_ids:
            return {}
        given = {"account": account, "tasks": list(task_ids)}
        with self.reading() as connection:
            found = [order_from_row(row) for row in connection.execute(_UNOWNED_OF_TASKS, given)]
        return {str(order.task_id): order for order in found}

    def find_quickest_seconds(self, model_slug: str) -> float | None:
        """Return how long the quickest of a model's recent tasks took, from submission to end."""
        with self.reading() as connection:
            return connection.execute(_QUICKEST_SECONDS, {"slug": model_slug}).scalar()

    def put_off_looks(self, order_ids: Collection[int], *, due_at: float) -> None:
        """Move the next look at these tasks, in one statement."""
        if order_ids:
            with self.writing() as connection:
                connection.execute(
                    sa.update(orders)
                    .where(orders.c.id.in_(order_ids), orders.c.state.in_(FOLLOWED))
                    .values(due_at=due_at)
                )

    # ---- the audit ----

    def accept_costs(self, account: str, task_ids: Collection[str]) -> None:
        """Note that the user knows what these tasks cost now, or that Wiro does not state it.

        A later change is told again. A cost that is not stated counts at its ceiling all the same.
        """
        mine = sa.select(submissions.c.id).where(
            submissions.c.account == account, submissions.c.task_id.in_(task_ids)
        )
        with self.writing() as connection:
            connection.execute(
                sa.update(differences)
                .where(differences.c.submission_id.in_(mine))
                .values(was_usd=differences.c.is_usd)
            )
            ceiling = sa.func.coalesce(submissions.c.ceiling_usd, sa.literal(Decimal(0), Usd))
            unstated = sa.select(
                submissions.c.id, ceiling, ceiling, sa.literal(self.clock())
            ).where(
                submissions.c.id.in_(mine),
                submissions.c.has_ended & submissions.c.cost_usd.is_(None),
                submissions.c.id.not_in(sa.select(differences.c.submission_id)),
            )
            connection.execute(
                sa.insert(differences).from_select(
                    ["submission_id", "was_usd", "is_usd", "seen_at"], unstated
                )
            )

    def list_differences(self, account: str) -> list[Difference]:
        """Return costs that changed after Wiro had stated them."""
        changed = sa.select(differences).where(differences.c.was_usd != differences.c.is_usd)
        with self.reading() as connection:
            # They are few, and a join would read all submissions of the account.
            found = {row.submission_id: row for row in connection.execute(changed)}
            if not found:
                return []
            query = (
                sa.select(submissions.c.id, submissions.c.order_id, submissions.c.task_id)
                .where(submissions.c.id.in_(found), submissions.c.account == account)
                .order_by(submissions.c.id)
            )
            return [
                Difference(row.order_id, row.task_id, found[row.id].was_usd, found[row.id].is_usd)
                for row in connection.execute(query)
            ]

    # ---- accounts and keys ----

    def find_account_of_key(self, key_hash: str) -> str | None:
        """Return the account that a key was seen to belong to; `None` for a new key."""
        query = sa.select(account_keys.c.account).where(account_keys.c.key_hash == key_hash)
        with self.reading() as connection:
            return connection.execute(query).scalar()

    def note_key(self, key_hash: str, account: str) -> str:
        """Note which account a key belongs to. Return the account that is on record."""
        with self.writing() as connection:
            found = connection.execute(
                sa.select(account_keys.c.account).where(account_keys.c.key_hash == key_hash)
            ).scalar()
            if found is None:
                connection.execute(
                    sa.insert(account_keys).values(key_hash=key_hash, account=account)
                )
        return found or account

    def list_recent_tasks(self, *, limit: int) -> list[tuple[str, str]]:
        """Return the newest task of each account, as (account, task id), to try a new key on."""
        newest = (
            sa.select(sa.func.max(submissions.c.id).label("id"))
            .where(submissions.c.task_id.is_not(None))
            .group_by(submissions.c.account)
            .order_by(sa.desc("id"))
            .limit(limit)
            .subquery()
        )
        query = sa.select(submissions.c.account, submissions.c.task_id).join(
            newest, newest.c.id == submissions.c.id
        )
        with self.reading() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]


def ensure_account(connection: Connection, account: str) -> None:
    """Make the account's row if it is missing."""
    if connection.execute(_ACCOUNT_ROW, {"name": account}).first() is not None:
        return
    with connection.begin_nested() as savepoint:
        try:
            connection.execute(sa.insert(accounts).values(account=account))
        except sa.exc.IntegrityError:
            savepoint.rollback()  # another process came first; its row is ours too


_OF_ACCOUNT = orders.c.account == sa.bindparam("account")
_NOW = sa.bindparam("now", type_=orders.c.due_at.type)
_NEXT_LOOK = sa.select(sa.func.min(orders.c.due_at)).where(
    _OF_ACCOUNT, orders.c.state == sa.bindparam("state")
)
_IS_NAMED = accounts.c.account == sa.bindparam("name")
_ACCOUNT_ROW = sa.select(accounts.c.account).where(_IS_NAMED)
_NEW_WATCHER = sa.bindparam("new_watcher", type_=accounts.c.watcher.type)
_HOLD_WATCH = (
    sa.update(accounts)
    .where(
        _IS_NAMED,
        accounts.c.watcher_until.is_(None)
        | (accounts.c.watcher_until <= _NOW)
        | (accounts.c.watcher == _NEW_WATCHER),
    )
    .values(
        watcher=_NEW_WATCHER,
        watcher_until=sa.bindparam("until", type_=accounts.c.watcher_until.type),
    )
)
# Asked one by one, so that an index answers each: very many tasks may be in flight.
_ARE_DUE = [
    _OF_ACCOUNT & orders.c.state.in_(FOLLOWED) & condition
    for condition in due_conditions(orders.c.due_at, _NOW, far_seconds=SOON_SECONDS)
]
_COST_IS_DUE = sa.select(submissions.c.id).where(
    submissions.c.account == sa.bindparam("account"), submissions.c.recheck_at <= _NOW
)
_IS_DUE = [
    *(sa.select(orders.c.id).where(are_due).limit(1) for are_due in _ARE_DUE),
    _COST_IS_DUE.limit(1),
]
_FOLLOWED_AND_DUE = [
    SELECT_ORDERS.where(are_due)
    .order_by(orders.c.due_at, orders.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer()))
    for are_due in _ARE_DUE
]
_HINTED_AT = (
    SELECT_ORDERS.where(_OF_ACCOUNT, orders.c.state == "running", orders.c.due_at <= HINTED)
    .order_by(orders.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer()))
)
_RECENT = (
    sa.select((orders.c.ended_at - orders.c.submitted_at).label("seconds"))
    .where(orders.c.model_slug == sa.bindparam("slug"))
    .where(HAS_PACE)
    .order_by(orders.c.id.desc())
    .limit(20)
    .subquery()
)
_QUICKEST_SECONDS = sa.select(sa.func.min(_RECENT.c.seconds))
_ORDERS_OF_TASKS = SELECT_ORDERS.where(
    _OF_ACCOUNT, orders.c.task_id.in_(sa.bindparam("tasks", expanding=True))
)
_UNOWNED_OF_TASKS = _ORDERS_OF_TASKS.where(orders.c.state.not_in(OWNED))
