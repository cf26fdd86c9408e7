"""The ledger of orders, in SQL."""

from wiro_dagster.ledger.account_problem import AccountTrouble, TroubleKind
from wiro_dagster.ledger.gate import Admission, Gate
from wiro_dagster.ledger.ledger import Ledger
from wiro_dagster.ledger.order import (
    FREE_TO_REPEAT,
    SETTLED,
    UNDER_WAY,
    Order,
    OrderRequest,
    OrderState,
    Placement,
    PlacementOutcome,
)

__all__ = [
    "FREE_TO_REPEAT",
    "SETTLED",
    "UNDER_WAY",
    "AccountTrouble",
    "Admission",
    "Gate",
    "Ledger",
    "Order",
    "OrderRequest",
    "OrderState",
    "Placement",
    "PlacementOutcome",
    "TroubleKind",
]
