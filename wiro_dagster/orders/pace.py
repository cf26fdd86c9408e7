"""When a task is worth a first look: not before one of its model may be done."""

from __future__ import annotations

from wiro_dagster.orders.context import OrderContext

_SHARE_OF_USUAL = 0.9
_LONGEST_WAIT_SECONDS = 300.0


def first_look_at(context: OrderContext, model_slug: str) -> float:
    """Return when to look first at a task that was made now.

    The quickest of the model's recent tasks says how long one takes. A model that we know nothing
    of is looked at soon, and then less and less often.
    """
    usual = context.ledger.find_usual_seconds(model_slug)
    wait = context.policy.timing.first_look_seconds
    if usual is not None:
        wait = min(max(wait, usual * _SHARE_OF_USUAL), _LONGEST_WAIT_SECONDS)
    return context.now() + wait
