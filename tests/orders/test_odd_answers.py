"""One bad item harms no other: each field of a task, with each kind of odd value.

The suite tries every field with some of the values, and every value with some of the fields, on
PostgreSQL, which refuses more than SQLite does.
`WIRO_ODD_ANSWERS=all pytest tests/orders/test_odd_answers.py` tries all of them, on both databases.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import COLLECTION, tick
from wiro_dagster.cli import main
from wiro_dagster.defs.metadata import failure_metadata, progress_metadata, video_metadata
from wiro_dagster.emulator import Emulator
from wiro_dagster.gallery.cards import list_cards
from wiro_dagster.gallery.page import render_page
from wiro_dagster.ledger import Order
from wiro_dagster.ledger.costs import COST_GROUPINGS, add_up_costs
from wiro_dagster.orders.audit import audit
from wiro_dagster.orders.describe import describe_state
from wiro_dagster.orders.verdicts import VideoChecks

FIELDS = (
    "status",
    "pexit",
    "totalcost",
    "outputs",
    "outputs.0.url",
    "outputs.0.size",
    "outputs.0.name",
    "outputs.0.contenttype",
    "outputs.0.id",
    "createtime",
    "starttime",
    "endtime",
    "elapsedseconds",
    "debugoutput",
    "debugerror",
    "callbackurl",
    "modelslugowner",
    "modelslugproject",
    "parameters",
    "socketaccesstoken",
    "uuid",
    "cps",
    "categories",
    "size",
)

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    -0.28,
    1e11,
    1e308,
    2**63,
    2**64,
    -(2**63),
    1_700_000_000_000,
    "",
    " ",
    "0",
    "-1",
    "NaN",
    "Infinity",
    "1e400",
    "99999999999999999999",
    "1700000000000",
    "null",
    "no number",
    "\x00",
    "\x1b[31mred\x07",
    "\ud83d",
    "ünï\u202ecödé",
    "x" * 100_000,
    [],
    [None, 1, "a", {}],
    {},
    {"a": {"b": [1, None]}},
)

SOUND = "sound"
SHARE = 6
PARTS = 8
TRIES_ALL = os.environ.get("WIRO_ODD_ANSWERS") == "all"
DATABASES = ["sqlite", "postgresql"] if TRIES_ALL else ["postgresql"]


def list_odd_values(part: int) -> dict[str, tuple[str, Any]]:
    """Return fields and their values, by the name of the order whose task shows them."""
    chosen: dict[str, tuple[str, Any]] = {}
    for index in range(part, len(FIELDS), PARTS):
        numbers = range(
            0 if TRIES_ALL else index % SHARE, len(ODD_VALUES), 1 if TRIES_ALL else SHARE
        )
        chosen |= {f"{FIELDS[index]}-{n}": (FIELDS[index], ODD_VALUES[n]) for n in numbers}
    return chosen


def show_odd_values(
    emulator: Emulator, orders: list[Order], chosen: dict[str, tuple[str, Any]]
) -> None:
    for order in orders:
        if order.partition != SOUND:
            field, value = chosen[order.partition]
            emulator.override_task(str(order.task_id), {field: value})


def check_everything_reads(bench: Bench, ledger_url: str) -> None:
    """Books, audit, words, events, gallery and command line go on with all orders."""
    for grouping in COST_GROUPINGS:
        assert add_up_costs(bench.ledger, grouping)
    audit(bench.desk.context)
    for order in bench.ledger.list_orders(collection=COLLECTION):
        assert describe_state(order)
        show = video_metadata if order.is_owned else failure_metadata
        assert show(order)
        assert progress_metadata(order, now=bench.now)
    cards = list_cards(bench.ledger, COLLECTION, bench.desk.context.store, VideoChecks())
    page = render_page("Videos", cards, made_at=bench.now, missing="")
    assert f'data-name="{SOUND}"' in page
    assert "\x1b" not in page
    shown = CliRunner().invoke(main, ["orders", "--ledger", ledger_url, "--json"])
    assert shown.exit_code == 0, shown.output


def test_there_are_enough_fields_and_values() -> None:
    """At least 24 fields, each with 34 values."""
    assert len(FIELDS) >= 24
    assert len(ODD_VALUES) >= 34


def submit_all(bench: Bench) -> list[Order]:
    """Ticks until Wiro has a task for every order: a tick submits as many as it has time for."""
    for _ in range(20):
        tick(bench.desk)
        orders = bench.ledger.list_orders(collection=COLLECTION)
        if all(order.task_id for order in orders):
            return orders
    raise AssertionError([order.state for order in orders])


@pytest.mark.parametrize("ledger_url", DATABASES, indirect=True)
@pytest.mark.parametrize("part", range(PARTS))
def test_an_odd_answer_harms_no_other_order(
    part: int, emulator: Emulator, ledger_url: str, tmp_path: Path
) -> None:
    """An odd value in any field of a task's answers leaves the other orders as they are."""
    chosen = list_odd_values(part)
    bench = Bench(emulator, ledger_url, tmp_path / "videos", policy=replace(STEADY, verify="bytes"))
    for name in chosen:
        bench.place(name)
    bench.place(SOUND)
    orders = submit_all(bench)
    show_odd_values(emulator, orders, chosen)
    bench.run(90, step=15.0)
    assert bench.state(SOUND) == "delivered"
    check_everything_reads(bench, ledger_url)
