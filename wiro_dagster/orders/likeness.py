"""How alike an order and a task are: a hint for the user, never proof."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from wiro_dagster.api.types import Task
from wiro_dagster.ledger import Order


def count_surplus(order: Order, task: Task) -> int | None:
    """Return how many inputs a listed task has beyond those of an order; 0 = they are equal.

    Wiro may have added defaults, so a surplus does not rule a task out. Inputs that are files
    cannot be compared: Wiro shows their new addresses, not their bytes.

    Returns:
        `None` if the task has a different model, or a different value of one of the inputs.
    """
    if task.model_slug is not None and task.model_slug.lower() != order.model_slug.lower():
        return None
    files = [file for value in order.inputs.values() for file in _list_files(value)]
    # An uploaded file is under the name that takes its URL, among other URLs perhaps.
    url_inputs = {file.get("url_input") for file in files}
    for name, value in order.inputs.items():
        if _list_files(value) or name in url_inputs:
            continue
        if _as_sent(task.inputs.get(name)) != _as_sent(value):
            return None
    surplus = task.inputs.keys() - order.inputs.keys() - url_inputs
    return sum(1 for name in surplus if _as_sent(task.inputs[name]))


def _list_files(value: object) -> list[Mapping[str, Any]]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, Mapping)]


def _as_sent(value: object) -> str:
    """Return a value as text that is the same however Wiro spells it: 5 or "5.0"."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(_as_sent(item) for item in value)
    text = "" if value is None else " ".join(str(value).split())
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return str(number.normalize()) if number.is_finite() else text
