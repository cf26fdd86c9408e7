"""The state of one Wiro account: its pauses, and the problems that only the user can solve."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.account_problem import AccountProblem, ProblemKind, find_problem
from wiro_dagster.ledger.ledger import Ledger
from wiro_dagster.ledger.schema import accounts, identity
from wiro_dagster.ledger.tasks import ensure_account

MAXIMUM_CLOCK_OFFSET_SECONDS = 60.0
"""Beyond this, our clock and Wiro's disagree too much to buy anything."""

_SILENT_SECONDS = 600.0
"""After this long without a word, a machine whose clock was wrong is presumed gone."""

_NAMES_US = f"The clock of {platform.node() or 'this machine'}"

_IS_MINE = accounts.c.account == sa.bindparam("name")
_PAUSES = {
    column.name: sa.select(column).where(_IS_MINE)
    for column in (accounts.c.closed_until, accounts.c.reads_paused_until)
}
_PROBLEM = sa.select(accounts.c.account).where(
    _IS_MINE, accounts.c.problem == sa.bindparam("problem")
)
_UNMARKED = sa.select(accounts.c.unmarked).where(_IS_MINE)
_ACCOUNT = sa.select(accounts).where(_IS_MINE)
_TAKE_TURN = sa.update(accounts).where(_IS_MINE).values(turn=accounts.c.turn + 1)


class AccountState:
    """Pauses and problems of an account, shared through the ledger by every process that uses it.

    Args:
        ledger: has the account.
        account: its name.
    """

    def __init__(self, ledger: Ledger, account: str) -> None:
        self._ledger = ledger
        self._account = account

    def close(self, *, until: float, reason: str, problem: ProblemKind | None = None) -> None:
        """Stop submitting for the account until that time.

        Args:
            until: when one order tries again.
            reason: shown to users.
            problem: given if this does not pass without the user.
        """
        with self._ledger.writing() as connection:
            gate = self._lock(connection)
            if problem is not None:
                self._set(
                    connection,
                    problem=problem,
                    problem_reason=reason,
                    problem_at=self._ledger.clock(),
                )
            self._close(connection, gate, until, reason)

    def slow_down(self, *, until: float, reason: str) -> None:
        """Stop submitting and reading for the account until that time: Wiro asked for it."""
        with self._ledger.writing() as connection:
            gate = self._lock(connection)
            self._close(connection, gate, until, reason)
            if gate.reads_paused_until is None or gate.reads_paused_until < until:
                self._set(connection, reads_paused_until=until)

    def may_submit(self) -> bool:
        """Whether the gate is open, budget and slots aside."""
        return self._is_over(accounts.c.closed_until)

    def may_read(self) -> bool:
        """Whether tasks may be looked at now. Downloads from the CDN always may."""
        return self._is_over(accounts.c.reads_paused_until)

    def _is_over(self, column: sa.Column[float | None]) -> bool:
        with self._ledger.reading() as connection:
            until = connection.execute(_PAUSES[column.name], {"name": self._account}).scalar()
        return until is None or until <= self._ledger.clock()

    def find_problem(self) -> AccountProblem | None:
        """Return why nothing can be submitted until the user acts; `None` if all is well."""
        with self._ledger.reading() as connection:
            behind = connection.execute(sa.select(identity.c.behind)).scalar()
            if behind is not None:
                return AccountProblem("ledger", behind)
            return find_problem(connection, self._account)

    def end_problem(self, kind: ProblemKind) -> None:
        """Note that a problem of this kind is over: what it would have stopped succeeded."""
        with self._ledger.reading() as connection:
            given = {"name": self._account, "problem": kind}
            if connection.execute(_PROBLEM, given).first() is None:
                return
        mine = (accounts.c.account == self._account) & (accounts.c.problem == kind)
        with self._ledger.writing() as connection:
            connection.execute(
                sa.update(accounts).where(mine).values(problem=None, closed_until=None)
            )

    def note_clock(self, objection: str | None) -> None:
        """Note why this machine must not buy by its clock; `None` if its clock is right.

        It makes no pause: other machines, whose clocks are right, go on. So only the machine that
        objected takes it back, or any other one if it has been silent for long.
        """
        if objection is not None:
            now = self._ledger.clock()
            with self._ledger.writing() as connection:
                self._lock(connection)
                self._set(connection, problem="clock", problem_reason=objection, problem_at=now)
            return
        mine = (accounts.c.account == self._account) & (accounts.c.problem == "clock")
        columns = sa.select(accounts.c.problem_reason, accounts.c.problem_at).where(mine)
        with self._ledger.reading() as connection:
            row = connection.execute(columns).one_or_none()
        if row is None:
            return
        is_silent = abs(self._ledger.clock() - (row.problem_at or 0.0)) > _SILENT_SECONDS
        if is_silent or _NAMES_US in str(row.problem_reason):
            self.end_problem("clock")

    def find_unmarked_reason(self) -> str | None:
        """Return why runs go without a marker; `None` if they carry one."""
        with self._ledger.reading() as connection:
            return connection.execute(_UNMARKED, {"name": self._account}).scalar()

    def stop_marking(self, reason: str) -> None:
        """Send runs without a marker from now on, because Wiro refuses it."""
        with self._ledger.writing() as connection:
            self._lock(connection)
            self._set(connection, unmarked=reason)

    def _lock(self, connection: Connection) -> sa.engine.Row[Any]:
        given = {"name": self._account}
        if connection.execute(_TAKE_TURN, given).rowcount == 0:
            ensure_account(connection, self._account)
            connection.execute(_TAKE_TURN, given)
        return connection.execute(_ACCOUNT, given).one()

    def _close(
        self, connection: Connection, gate: sa.engine.Row[Any], until: float, reason: str
    ) -> None:
        if gate.closed_until is None or gate.closed_until < until:
            self._set(connection, closed_until=until, reason=reason)

    def _set(self, connection: Connection, **values: object) -> None:
        connection.execute(
            sa.update(accounts).where(accounts.c.account == self._account).values(values)
        )


def is_clock_right(offset_seconds: float | None) -> bool:
    """Whether a clock was measured, and is close enough to this machine's."""
    return offset_seconds is not None and abs(offset_seconds) <= MAXIMUM_CLOCK_OFFSET_SECONDS


def find_clock_objection(offsets_seconds: Mapping[str, float | None]) -> str | None:
    """Say why nothing is bought while clocks disagree; `None` if they agree.

    Args:
        offsets_seconds: how far each clock, by its name, is ahead of this machine's; `None` if it
            is not known.
    """
    for whose, offset_seconds in offsets_seconds.items():
        if offset_seconds is not None and not is_clock_right(offset_seconds):
            way = "behind" if offset_seconds > 0 else "ahead of"
            return (
                f"{_NAMES_US} is {abs(offset_seconds):.0f} s {way} {whose}. Nothing is bought from "
                "there while they differ by more than a minute. Set the clocks (NTP)."
            )
    return None
