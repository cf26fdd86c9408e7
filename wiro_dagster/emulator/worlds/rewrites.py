"""Changes of a shown task that depend on the task: inputs cut, times in milliseconds and the like.

Each takes the task as the API shows it, and returns the fields that it changes.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wiro_dagster.emulator.catalogue import Model
from wiro_dagster.emulator.task_times import STATUS_OF_TIME
from wiro_dagster.emulator.validation import effective_inputs

TIME_FIELDS = ("createtime", *STATUS_OF_TIME)
_CUT_CHARACTERS = 20
_WRONG_BY_BYTES = 1000
_FIFTY_YEARS_SECONDS = 50 * 365 * 86_400
_NEWER_SUFFIX = "-v2"


@dataclass(frozen=True)
class Truth:
    """What a rewrite may need to know beside the shown task.

    Args:
        model: the task's model.
        find_price: returns what the model's price list asks for the task, in USD.
    """

    model: Model
    find_price: Callable[[], Decimal]


Shown = Mapping[str, Any]
Rewrite = Callable[[Shown, Truth], dict[str, Any]]


def _inputs(change: Callable[[dict[str, Any], Truth], Any]) -> Rewrite:
    def rewrite(shown: Shown, truth: Truth) -> dict[str, Any]:
        inputs = shown.get("parameters")
        plain = _decoded(inputs)
        # An override may have put anything there.
        if not isinstance(plain, dict):
            return {}
        changed = change(plain, truth)
        return {"parameters": json.dumps(changed) if isinstance(inputs, str) else changed}

    return rewrite


def _decoded(inputs: Any) -> Any:
    """Return the inputs, which one dialect shows as JSON text."""
    if not isinstance(inputs, str):
        return inputs
    try:
        return json.loads(inputs)
    except ValueError:
        return None


def _texts(change: Callable[[str], str]) -> Rewrite:
    return _inputs(
        lambda inputs, _truth: {
            name: change(value) if isinstance(value, str) else value
            for name, value in inputs.items()
        }
    )


def _callback(change: Callable[[str], str]) -> Rewrite:
    return lambda shown, _truth: {"callbackurl": change(str(shown.get("callbackurl") or ""))}


def _times(change: Callable[[int], int]) -> Rewrite:
    def rewrite(shown: Shown, _truth: Truth) -> dict[str, Any]:
        return {
            name: type(shown[name])(change(int(shown[name])))
            for name in TIME_FIELDS
            # "0" says that the task has not come so far.
            if _is_number(shown.get(name)) and int(shown[name])
        }

    return rewrite


def _is_number(value: Any) -> bool:
    is_digits = isinstance(value, str) and value.isascii() and value.isdecimal()
    return is_digits or (isinstance(value, int) and not isinstance(value, bool))


def _rehost(text: str) -> str:
    is_url = text.startswith(("http://", "https://"))
    return f"https://api.wiro.ai/v1/File/{len(text):032x}/0.jpg" if is_url else text


def _with_defaults(inputs: dict[str, Any], truth: Truth) -> dict[str, Any]:
    return {**effective_inputs(truth.model, inputs)}


def _newer_slug(shown: Shown, _truth: Truth) -> dict[str, Any]:
    return {"modelslugproject": f"{shown.get('modelslugproject')}{_NEWER_SUFFIX}"}


def _cost_as_listed(shown: Shown, truth: Truth) -> dict[str, Any]:
    is_number = isinstance(shown.get("totalcost"), float)
    price_usd = truth.find_price()
    return {"totalcost": float(price_usd) if is_number else str(price_usd)}


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sizes_wrong(shown: Shown, _truth: Truth) -> dict[str, Any]:
    outputs = [
        {**output, "size": type(output["size"])(int(output["size"]) + _WRONG_BY_BYTES)}
        if isinstance(output, dict) and _is_number(output.get("size"))
        else output
        for output in _entries(shown.get("outputs"))
    ]
    return {"outputs": outputs}


REWRITES: Mapping[str, Rewrite] = {
    "inputs_null": lambda _shown, _truth: {"parameters": None},
    "inputs_cut": _texts(lambda text: text[:_CUT_CHARACTERS]),
    "inputs_escaped": _texts(html.escape),
    "inputs_upper_case": _texts(str.upper),
    "inputs_with_defaults": _inputs(_with_defaults),
    "inputs_rehosted": _texts(_rehost),
    "slug_newer": _newer_slug,
    "callback_cut": _callback(lambda url: url[:_CUT_CHARACTERS]),
    "callback_escaped": _callback(html.escape),
    "times_in_milliseconds": _times(lambda at: at * 1000),
    "times_far_future": _times(lambda at: at + _FIFTY_YEARS_SECONDS),
    "times_negative": _times(lambda at: -at),
    "sizes_wrong": _sizes_wrong,
    "cost_as_listed": _cost_as_listed,
}
