"""Problems of an account that only its owner can solve: Wiro refuses its key or its balance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.schema import accounts, submissions

ProblemKind = Literal[
    "balance", "credentials", "reads", "ledger", "clock", "evidence", "hosts", "store"
]
"""What stops the account.

balance      the balance does not cover a run
credentials  Wiro refuses the key or its signature for runs
reads        Wiro refuses the key or its signature for reads
ledger       the ledger is behind its witnesses
clock        our clock and Wiro's disagree by more than a minute
evidence     the video store does not take the ledger's witness
hosts        outputs lie on a host that downloads are not allowed from
store        the video store refuses files
"""


@dataclass(frozen=True)
class AccountProblem:
    """Why nothing can be submitted for an account.

    Args:
        kind: what is wrong.
        reason: in Wiro's words, or ours.
    """

    kind: ProblemKind
    reason: str


def find_problem(connection: Connection, account: str) -> AccountProblem | None:
    """Return what stops an account; `None` if nothing does, or it is over.

    A refused run is over when Wiro has accepted a submission that began after the refusal; what was
    under way at that moment proves nothing. Everything else is over when the call that failed
    succeeds (`Gate.end_problem`).
    """
    columns = (accounts.c.problem, accounts.c.problem_reason, accounts.c.problem_at)
    row = connection.execute(
        sa.select(*columns).where(accounts.c.account == account, accounts.c.problem.is_not(None))
    ).one_or_none()
    if row is None:
        return None
    if row.problem not in ("balance", "credentials"):
        return AccountProblem(row.problem, row.problem_reason or "")
    accepted = (
        sa.select(submissions.c.id)
        .where(submissions.c.account == account, submissions.c.claimed_at > row.problem_at)
        .where(submissions.c.task_id.is_not(None))
        .limit(1)
    )
    if connection.execute(accepted).first() is not None:
        return None
    return AccountProblem(row.problem, row.problem_reason or "")


def list_other_refused(connection: Connection, account: str) -> list[str]:
    """Return the other accounts of the ledger whose key is refused now."""
    others = connection.execute(_other_refused_query(), {"account": account}).scalars().all()
    return [other for other in others if find_problem(connection, other) is not None]


@cache
def _other_refused_query() -> sa.Select[Any]:
    """Build the query for other accounts whose key was refused, once for a process.

    Each tick asks it.
    """
    return sa.select(accounts.c.account).where(
        accounts.c.account != sa.bindparam("account"),
        accounts.c.problem.in_(("credentials", "reads")),
    )
