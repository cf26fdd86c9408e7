"""Orders: the tick that moves them, under a deadline, whoever calls it."""

from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.desk import OrderDesk
from wiro_dagster.orders.policy import OrderPolicy
from wiro_dagster.orders.tick_report import TickReport

__all__ = ["OrderContext", "OrderDesk", "OrderPolicy", "TickReport"]
