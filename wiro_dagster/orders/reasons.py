"""Why an order failed, and whether the reason may pass: may the same wish succeed if tried again?

Wiro documents no texts for failed tasks, so words decide. A reason that names the inputs, or
moderation that does not say it was of the output, would only be met again: it never leads to a
second try. Everything else that ends a task is a fault of the model.
"""

from __future__ import annotations

import re
from typing import Literal

from wiro_dagster.ledger import Order

FailureKind = Literal["refused", "input_moderated", "bad_input", "output_moderated", "model_fault"]

_MODERATED = re.compile(
    r"moderat|nsfw|sensitive|safety|unsafe|flagged|prohibited|inappropriate|(content|usage) policy"
    r"|violat|copyright|censor|explicit|\bpolicy\b",
    re.IGNORECASE,
)
_OUTPUT = re.compile(
    r"\boutput|\bgenerated\b|\bgeneration\b|\bresult(s|ing)?\b|\bproduced\b|\brendered\b",
    re.IGNORECASE,
)
_INPUT = re.compile(
    r"\binputs?\b|\bprompt|\bparameters?\b|\brequired\b|\binvalid\b|\bnot valid\b|\bunsupported\b"
    r"|\bmust (not )?be\b|\btoo (long|short|large|small|big|many|few)\b|\bbad request\b"
    r"|\b(your|first|last|source|reference|uploaded) (image|picture|video|audio|file)",
    re.IGNORECASE,
)


def find_failure_kind(order: Order) -> FailureKind:
    """Return what kind of failure an order's reason describes.

    Args:
        order: in state `failed`.
    """
    reason = order.error or ""
    if order.task_id is None:
        return "refused"  # before there was a task: the run itself was wrong, or not allowed
    if _MODERATED.search(reason):
        is_output = _OUTPUT.search(reason) and not _INPUT.search(reason)
        return "output_moderated" if is_output else "input_moderated"
    return "bad_input" if _INPUT.search(reason) else "model_fault"


def may_pass(kind: FailureKind) -> bool:
    """Return whether the same wish may succeed if it is tried again."""
    return kind in ("output_moderated", "model_fault")
