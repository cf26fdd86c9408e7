"""The account's balance, and how many tasks it allows at once."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from wiro_dagster.emulator.settings import MAIN_ACCOUNT
from wiro_dagster.emulator.state import State

# Below this, no run is accepted whatever its price.
MINIMUM_BALANCE_USD = Decimal("0.50")
_LIMITED_UP_TO_USD = Decimal(250)
_TASKS_A_DOLLAR = Decimal("0.10")


class Account:
    """The balance, kept in the state.

    Args:
        state: keeps it.
        opening_balance_usd: the balance of a fresh state.
        name: whose balance it is.
    """

    def __init__(
        self, state: State, opening_balance_usd: Decimal, name: str = MAIN_ACCOUNT
    ) -> None:
        self._state = state
        self._place = "balance_usd" if name == MAIN_ACCOUNT else f"balance_usd:{name}"
        self._opening_balance_usd = opening_balance_usd

    @property
    def balance_usd(self) -> Decimal:
        """What is left."""
        return Decimal(self._state.get(self._place, str(self._opening_balance_usd)))

    def set_balance(self, balance_usd: Decimal) -> None:
        """Add or take funds."""
        self._state.keep(self._place, str(balance_usd))

    def charge(self, cost_usd: Decimal) -> None:
        """Bill one task; the balance may fall below zero, as tasks end after they are allowed."""
        if cost_usd:
            self.set_balance(self.balance_usd - cost_usd)


def concurrency_limit(balance_usd: Decimal) -> int | None:
    """Return how many tasks may be under way with this balance; None for any number."""
    if balance_usd > _LIMITED_UP_TO_USD:
        return None
    allowed = (balance_usd * _TASKS_A_DOLLAR).to_integral_value(ROUND_FLOOR)
    return max(1, int(allowed))
