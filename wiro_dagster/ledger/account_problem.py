"""Trouble of an account: Wiro refuses its key or its balance, until a person does something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.schema import gates, orders

TroubleKind = Literal["balance", "credentials"]
"""What Wiro refused: the balance does not cover the run, or the key or its signature is wrong."""


@dataclass(frozen=True)
class AccountTrouble:
    """Why nothing can be submitted for an account.

    Args:
        kind: what was refused.
        reason: in Wiro's words.
    """

    kind: TroubleKind
    reason: str


def find_trouble(connection: Connection, account: str) -> AccountTrouble | None:
    """The trouble of an account; `None` where there is none, or it is over.

    It is over when Wiro has accepted a submission that began after the refusal. What was under way
    at that moment proves nothing.
    """
    columns = (gates.c.trouble, gates.c.trouble_reason, gates.c.trouble_at)
    row = connection.execute(
        sa.select(*columns).where(gates.c.account == account, gates.c.trouble.is_not(None))
    ).one_or_none()
    if row is None:
        return None
    accepted = (
        sa.select(orders.c.id)
        .where(orders.c.account == account, orders.c.claimed_at > row.trouble_at)
        .where(orders.c.task_id.is_not(None))
        .limit(1)
    )
    if connection.execute(accepted).first() is not None:
        return None
    return AccountTrouble(row.trouble, row.trouble_reason or "")


def list_other_troubled(connection: Connection, account: str) -> list[str]:
    """Other accounts of the ledger that are in trouble now."""
    query = sa.select(gates.c.account).where(
        gates.c.account != account, gates.c.trouble.is_not(None)
    )
    others = connection.execute(query).scalars().all()
    return [other for other in others if find_trouble(connection, other) is not None]
