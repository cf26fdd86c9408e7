"""The identity of the ledger: its id and sequence for witnesses, and the markers of its runs.

A marker goes out with each run as its callback URL, and Wiro shows it with the task. It says which
ledger made it, for which video, and is signed: no one else can make one that we would adopt.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.schema import identity

Witness = Literal["store", "events", "task"]
"""What can know more than the ledger does: its notes in the video store, Dagster's event log, or a
task at Wiro that carries a marker of the ledger and is not on its books."""

_MARKER = re.compile(r"wd1-([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{12})-([0-9a-f]{16})")


@dataclass(frozen=True)
class Identity:
    """What witnesses outside the ledger record of it.

    Args:
        ledger_id: 16 hex digits, random.
        sequence: grows with every purchase, so a restored backup is recognized.
        created_at: unix seconds.
        behind: why the ledger must not buy until it is rebuilt; `None` if it may.
        behind_by: the witness that says so.
        absorbed: ids of other ledgers whose orders this one has taken over.
    """

    ledger_id: str
    sequence: int
    created_at: float
    behind: str | None
    behind_by: Witness | None
    absorbed: tuple[str, ...]


@dataclass(frozen=True)
class Marker:
    """A marker taken apart.

    Args:
        text: all of it.
        ledger_id: of the ledger that made it.
        wish: the first 16 hex digits of the order's live key.
    """

    text: str
    ledger_id: str
    wish: str


@dataclass(frozen=True)
class MarkerCheck:
    """Tells a ledger's own markers from all others, without asking the database.

    Args:
        ledger_id: of the ledger.
        secret: which it signs its markers with.
    """

    ledger_id: str
    secret: str = field(repr=False)

    def is_own(self, marker: Marker) -> bool:
        """Whether the ledger made the marker. It takes equally long for every wrong signature."""
        body, _, signature = marker.text.rpartition("-")
        is_signed = hmac.compare_digest(signature, _sign(body, self.secret))
        return marker.ledger_id == self.ledger_id and is_signed


def find_marker(text: str | None) -> Marker | None:
    """Find a marker of any ledger in a callback URL, also if it was escaped or upper-cased."""
    found = _MARKER.search((text or "").lower())
    return None if found is None else Marker(found[0], found[1], found[2])


def make_marker(ledger_id: str, secret: str, live_key: str) -> str:
    """Make a marker for one POST of the order with that live key."""
    body = f"wd1-{ledger_id}-{live_key[:16]}-{secrets.token_hex(6)}"
    return f"{body}-{_sign(body, secret)}"


def _sign(body: str, secret: str) -> str:
    return hmac.new(bytes.fromhex(secret), body.encode(), hashlib.sha256).hexdigest()[:16]


_IDENTITY = sa.select(identity)
_COUNT_ON = sa.update(identity).values(
    sequence=identity.c.sequence + sa.bindparam("more", type_=identity.c.sequence.type)
)


class Identities(Database):
    """Reads and changes the ledger's identity."""

    def identity(self) -> Identity:
        """Return the ledger's identity as it is now."""
        with self.reading() as connection:
            row = connection.execute(_IDENTITY).one()
        return Identity(
            row.ledger_id,
            row.sequence,
            row.created_at,
            row.behind,
            row.behind_by,
            tuple(row.absorbed),
        )

    def load_marker_check(self) -> MarkerCheck:
        """Return what tells the ledger's own markers from others."""
        with self.reading() as connection:
            row = connection.execute(_IDENTITY).one()
        return MarkerCheck(row.ledger_id, row.secret)

    def is_own_marker(self, marker: Marker) -> bool:
        """Whether this ledger made the marker."""
        return self.load_marker_check().is_own(marker)

    def note_witness(self, witness: Witness, reason: str | None) -> None:
        """Note what a witness says of the ledger, if that is news.

        Args:
            witness: which.
            reason: why the ledger must not buy: the witness knows more than it does. `None` = they
                agree. Then buying starts again, unless another witness objected: the reason may
                have been a wrong setting, or a backup that is complete again.
        """
        now = self.identity()
        is_known = now.behind == reason if reason else now.behind_by != witness
        if is_known:
            return
        with self.writing() as connection:
            change = sa.update(identity).values(behind=reason, behind_by=reason and witness)
            if reason is None:
                change = change.where(identity.c.behind_by == witness)
            connection.execute(change)

    def absorb(self, ledger_id: str, *, sequence: int) -> None:
        """Note that a different ledger's orders, or those of our own lost past, are taken over.

        Args:
            ledger_id: of the ledger whose evidence was used; our own after a restored backup.
            sequence: as its witness says; ours never falls behind it again.
        """
        with self.writing() as connection:
            row = connection.execute(_IDENTITY).one()
            absorbed = sorted({*row.absorbed, ledger_id} - {row.ledger_id})
            connection.execute(
                sa.update(identity).values(
                    absorbed=absorbed,
                    sequence=max(row.sequence, sequence),
                    behind=None,
                    behind_by=None,
                )
            )


def next_sequence(connection: Connection, count: int = 1) -> tuple[str, str, int]:
    """Count more purchases. Return the ledger's id, its secret and the new sequence."""
    connection.execute(_COUNT_ON, {"more": count})
    row = connection.execute(_IDENTITY).one()
    return row.ledger_id, row.secret, row.sequence
