"""Worlds of the whole service: for a period, all calls of a kind are answered otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wiro_dagster.emulator.worlds.world import ASSUMED, PROXIES, SEARCH_INDEX

CLOCK_APART_SECONDS = 3600.0


@dataclass(frozen=True)
class PeriodWorld:
    """Something that the service does for a while.

    Args:
        name: what it is begun by, and the name of its rate.
        what: what it changes, in one sentence.
        seconds: the length of a period when chance begins it.
        source: the evidence that the service does this.
        fault: the fault that spoils the calls, if that is what it does.
        endpoint: the calls that it spoils.
        moment: whether they have an effect first.
    """

    name: str
    what: str
    seconds: float
    source: str = ASSUMED
    fault: str | None = None
    endpoint: str = "*"
    moment: str = "before"


_GATEWAY = (
    PeriodWorld(
        "gateway_accepts",
        "Every Run is accepted and answered with 504.",
        300.0,
        PROXIES,
        fault="http_504",
        endpoint="Run",
        moment="after",
    ),
    PeriodWorld(
        "gateway_accepts_502",
        "Every Run is accepted and answered with 502.",
        300.0,
        PROXIES,
        fault="http_502",
        endpoint="Run",
        moment="after",
    ),
    PeriodWorld(
        "gateway_refuses",
        "Every Run is answered with 504, and none is accepted.",
        300.0,
        PROXIES,
        fault="http_504",
        endpoint="Run",
    ),
    PeriodWorld(
        "list_down", "Task/List answers 503.", 300.0, fault="http_503", endpoint="Task/List"
    ),
    PeriodWorld(
        "detail_down", "Task/Detail answers 500.", 120.0, fault="http_500", endpoint="Task/Detail"
    ),
    PeriodWorld(
        "detail_unauthorized",
        "Task/Detail answers 401.",
        120.0,
        fault="http_401",
        endpoint="Task/Detail",
    ),
    PeriodWorld(
        "detail_forgets",
        "Task/Detail answers code 1 for every task.",
        60.0,
        fault="not_found",
        endpoint="Task/Detail",
    ),
    PeriodWorld("key_revoked", "Every call answers 401.", 300.0, fault="http_401"),
)

_LIST = (
    PeriodWorld(
        "list_empty",
        "Task/List has no tasks while its index is down; `total` is right.",
        120.0,
        SEARCH_INDEX,
    ),
    PeriodWorld(
        "list_ascending",
        "Task/List ignores `order` and begins with the oldest.",
        300.0,
        SEARCH_INDEX,
    ),
    PeriodWorld(
        "list_ignores_limit", "Task/List ignores `limit` and shows 20 tasks.", 300.0, SEARCH_INDEX
    ),
    PeriodWorld(
        "list_ignores_start",
        "Task/List ignores `start` and always shows the first page.",
        300.0,
        SEARCH_INDEX,
    ),
    PeriodWorld("list_total_wrong", 'Task/List says `total` "1".', 300.0, SEARCH_INDEX),
    PeriodWorld(
        "list_leaves_out",
        "Task/List leaves every third task out, others from one second to the next.",
        300.0,
        SEARCH_INDEX,
    ),
)

_SERVICE = (
    PeriodWorld(
        "clock_ahead", "The service's clock is an hour ahead, in times and in `Date`.", 600.0
    ),
    PeriodWorld(
        "clock_behind", "The service's clock is an hour behind, in times and in `Date`.", 600.0
    ),
    PeriodWorld(
        "defaults_changed", "The default of every model's first select is its last option.", 600.0
    ),
    PeriodWorld("models_renamed", "Every slug has a newer one in its place, ending in -v2.", 600.0),
    PeriodWorld("price_doubled", "All prices are twice as high, stated and billed.", 600.0),
)

PERIOD_WORLDS: Mapping[str, PeriodWorld] = {
    world.name: world for world in (*_GATEWAY, *_LIST, *_SERVICE)
}
