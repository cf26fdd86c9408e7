"""Leases: claims on orders that last as long as the process that holds them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Ledger, Order

_RENEWALS_A_LEASE = 4


class LeaseKeeper:
    """Renews the claims on orders that are being worked on, from a thread of its own.

    So a lease can be short and the work of a dead process is soon taken over, while a POST or a
    download may take as long as it needs.

    Args:
        ledger: has the orders.
        lease_seconds: how long a claim lasts if it is not renewed.
    """

    def __init__(self, ledger: Ledger, lease_seconds: float) -> None:
        self._ledger = ledger
        self._lease_seconds = lease_seconds
        self._held: dict[str, Order] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, orders: Iterable[Order]) -> None:
        """Keep these claims until they are released."""
        with self._lock:
            self._held |= {_key(order): order for order in orders}
            if self._thread is None and self._held:
                self._thread = threading.Thread(
                    target=self._keep_renewing, name="wiro-leases", daemon=True
                )
                self._thread.start()

    def release(self, order: Order) -> None:
        """Let a claim end when its lease does."""
        with self._lock:
            self._held.pop(_key(order), None)

    def is_held(self, order: Order) -> bool:
        """Whether the claim is still ours, to our knowledge."""
        with self._lock:
            return _key(order) in self._held

    def confirm(self, order: Order) -> bool:
        """Return whether a claim is known to be ours, and to stay so for a while.

        The ledger is asked in any case. It is written to only if the lease is about to end.
        """
        until = self._ledger.clock() + self._lease_seconds / 2
        try:
            is_ours = self._ledger.is_claimed(order, until=until) or all(
                self._ledger.renew_all([order], self._lease_seconds)
            )
        except LedgerError:
            is_ours = False  # without the ledger we cannot know, so nothing is sent
        if not is_ours:
            self.release(order)
        return is_ours

    def close(self) -> None:
        """Stop renewing."""
        self._closed.set()

    def _keep_renewing(self) -> None:
        while not self._closed.wait(self._lease_seconds / _RENEWALS_A_LEASE):
            # An unreachable ledger may be back before the leases end; if not, they end.
            with suppress(LedgerError):
                self._renew()

    def _renew(self) -> None:
        with self._lock:
            held = list(self._held.values())
        if not held:
            return
        renewed = self._ledger.renew_all(held, self._lease_seconds)
        for order, is_ours in zip(sorted(held, key=lambda order: order.id), renewed, strict=True):
            if not is_ours:
                self.release(order)


def _key(order: Order) -> str:
    return f"{order.id} {order.lease}"
