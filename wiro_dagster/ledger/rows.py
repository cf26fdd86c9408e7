"""Rows of the orders table as `Order` values."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Row

from wiro_dagster.ledger.order import Order
from wiro_dagster.ledger.schema import orders

ORDER_COLUMNS = [orders.c[name] for name in Order.__dataclass_fields__]
"""The columns that `order_from_row` reads."""


def order_from_row(row: Row[Any]) -> Order:
    """An order from a row of `ORDER_COLUMNS`."""
    values = dict(row._mapping)  # noqa: SLF001, public in spite of its name
    values["outputs"] = tuple(values["outputs"])
    values["files"] = tuple(values["files"])
    return Order(**values)
