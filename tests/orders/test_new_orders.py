"""Prompts that the ledger knows nothing of are placed together; all others one by one."""

from __future__ import annotations

from dataclasses import replace

from tests.orders.conftest import OpenBench
from tests.system.campaigns.workshop import make_prompt
from wiro_dagster.orders.place import place_new


def test_only_what_is_new_is_placed_together(open_bench: OpenBench) -> None:
    """What is known, owned under another id, or to be made several times is left out."""
    bench = open_bench()
    cat, dog, fox = (make_prompt(name) for name in ("cat", "dog", "fox"))
    bench.place("cat")
    bench.settle()
    renamed = replace(cat, id="tomcat")
    several = replace(fox, takes=2)
    context = bench.desk.context
    placed = place_new(context, [cat, renamed, dog, several])
    assert list(placed) == ["dog"]
    assert placed["dog"].outcome == "placed"
    assert placed["dog"].order.state == "ordered"
    assert place_new(context, [dog]) == {}


def test_the_order_of_the_prompts_is_kept(open_bench: OpenBench) -> None:
    """They are submitted as they stand in the file."""
    names = [f"p{number}" for number in range(5)]
    placed = place_new(open_bench().desk.context, map(make_prompt, names))
    ids = [placement.order.id for placement in placed.values()]
    assert (list(placed), ids) == (names, sorted(ids))


def test_the_evidence_is_asked_first(open_bench: OpenBench) -> None:
    """A video that is in the store is owned, whatever the ledger knows."""
    bench = open_bench("first")
    bench.place("cat")
    bench.settle()
    other = open_bench("second").desk.context
    assert place_new(replace(other, store=bench.desk.context.store), [make_prompt("cat")]) == {}
