"""Steps of claimed orders, taken in a pool of threads: one order's failure stops no other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Order, OrderState
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.lease import LeaseKeeper
from wiro_dagster.orders.worker_pool import WorkerPool


class Steps:
    """Claims orders, takes their steps, and releases them afterwards.

    Args:
        context: the collection's orders.
        leases: holds the claims for as long as the steps take.
    """

    def __init__(self, context: OrderContext, leases: LeaseKeeper) -> None:
        self.context = context
        self.leases = leases

    def claim(
        self, collections: Sequence[str], states: Collection[OrderState], limit: int, **options: Any
    ) -> list[Order]:
        """Claim orders of several collections; see `Ledger.claim`."""
        claimed: list[Order] = []
        for collection in collections:
            if len(claimed) < limit:
                claimed += self.context.ledger.claim(
                    collection,
                    states,
                    limit=limit - len(claimed),
                    lease_seconds=self.context.policy.timing.lease_seconds,
                    **options,
                )
        self.leases.hold(claimed)
        return claimed

    def start(
        self, pool: WorkerPool, orders: Sequence[Order], step: Callable[[], list[str]]
    ) -> Future[None]:
        """Start a step of claimed orders; it returns notices."""
        return pool.start(partial(self._take, orders, step))

    def _take(self, orders: Sequence[Order], step: Callable[[], list[str]]) -> list[str]:
        try:
            return step()
        except LedgerError:
            raise  # the claims end with their leases
        except Exception as error:  # what goes wrong with one must not stop the others
            reason = f"{type(error).__name__}: {error}"
            for order in orders:
                self._postpone(order, f"Stopped unexpectedly: {reason}")
            names = ", ".join(order.name for order in orders)
            return [f"{names}: stopped unexpectedly and tried again later: {reason}"]
        finally:
            for order in orders:
                self.leases.release(order)

    def _postpone(self, order: Order, reason: str) -> None:
        # A submission may have got through: it is left to its lease, and then looked up.
        if order.state == "finished":
            self.context.postpone(order, hold=reason)


def take_safely(step: Callable[[], list[str]]) -> list[str]:
    """Take a step that claims nothing. What goes wrong with it must not stop the others."""
    try:
        return step()
    except LedgerError:
        raise
    except Exception as error:  # one task's odd answer
        return [f"A task could not be looked at: {type(error).__name__}: {error}"]


def notices_of(step: Callable[[], str | None]) -> list[str]:
    """Return the notice of a step as a list."""
    notice = step()
    return [] if notice is None else [notice]
