"""The transition table, held against itself, the database, the README and every step taken."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.conftest import Clock
from tests.support.ledger_orders import (
    failed,
    finished,
    lost,
    place_proposed,
    request,
    running,
    stored,
    submitting,
    uncollected,
)
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.ledger.claims import Move, take_step
from wiro_dagster.ledger.schema import orders
from wiro_dagster.ledger.transitions import (
    FOLLOWED,
    OWNED,
    SETTLED,
    STATES,
    TRANSITIONS,
    UNDER_WAY,
    UNSENT,
    WITHOUT_VIDEO,
    OrderState,
)

README = Path(__file__).parents[2] / "README.md"
NAMES = sorted(TRANSITIONS)
USUAL_WAY: tuple[OrderState, ...] = (
    "ordered",
    "submitting",
    "running",
    "settling",
    "finished",
    "stored",
    "delivered",
)


def draw_line(state: OrderState) -> str:
    """One state: where its steps lead, and those that keep it."""
    steps = [step for step in TRANSITIONS.values() if state in step.sources]
    leads = [
        f"{target} ({', '.join(step.name for step in steps if step.target == target)})"
        for target in STATES
        if target != state and any(step.target == target for step in steps)
    ]
    stays = [step.name for step in steps if step.target in (None, state)]
    line = f"{state:<11} ─▶ {', '.join(leads)}"
    return f"{line}; stays: {', '.join(stays)}" if stays else line


def draw_diagram() -> str:
    """The diagram as the README has it; `python -m tests.ledger.test_transitions` renews it."""
    return "\n".join([" ─▶ ".join(USUAL_WAY), "", *map(draw_line, STATES)])


def read_diagram() -> str:
    blocks = README.read_text(encoding="utf-8").split("```")
    (block,) = [block for block in blocks if "─▶" in block]
    return block.removeprefix("text\n").rstrip()


def place(ledger: Ledger) -> Order:
    return ledger.place(request()).order


def settle(ledger: Ledger) -> Order:
    order = running(ledger)
    ledger.apply(order, "end", due_at=ledger.clock())
    return ledger.get(order.id)


def deliver(ledger: Ledger) -> Order:
    order = stored(ledger)
    ledger.mark_reported([order.id])
    return ledger.get(order.id)


def cancel(ledger: Ledger) -> Order:
    order = place(ledger)
    ledger.request_stop(order.id, state="cancelled", reason="enough")
    return ledger.get(order.id)


MAKERS: dict[OrderState, Any] = {
    "proposed": place_proposed,
    "ordered": place,
    "submitting": submitting,
    "unknown": lost,
    "running": running,
    "settling": settle,
    "finished": finished,
    "stored": stored,
    "delivered": deliver,
    "failed": failed,
    "cancelled": cancel,
    "uncollected": uncollected,
}


def test_the_readme_shows_every_state_and_every_named_step() -> None:
    """What the README draws is the table, step by step."""
    assert read_diagram() == draw_diagram()
    for source, target in pairwise(USUAL_WAY):
        assert any(s.target == target and source in s.sources for s in TRANSITIONS.values())


def test_every_state_can_be_reached_and_left() -> None:
    """From an order that was placed, every state can come; none is a dead end."""
    reached: set[str] = {"ordered"}
    for _ in STATES:
        reached |= {
            step.target
            for step in TRANSITIONS.values()
            if step.target is not None and reached & step.sources
        }
    assert reached == set(STATES)
    assert all(any(state in step.sources for step in TRANSITIONS.values()) for state in STATES)


def test_the_named_groups_are_states_and_do_not_overlap() -> None:
    """Under way, owned and without a video exclude each other."""
    assert {*UNSENT, *UNDER_WAY, *OWNED, *WITHOUT_VIDEO, "finished"} == set(STATES)
    assert len(UNSENT) + len(UNDER_WAY) + len(OWNED) + len(WITHOUT_VIDEO) + 1 == len(STATES)
    assert set(FOLLOWED) < set(UNDER_WAY)
    assert set(SETTLED) == {*OWNED, *WITHOUT_VIDEO}


def test_steps_record_only_columns_of_an_order() -> None:
    """And never its state, lease, money or live key: those belong to the step itself."""
    own = {"id", "state", "lease", "live_key", "cost_usd", "moved_at", "deaths", "created_at"}
    for step in TRANSITIONS.values():
        assert step.records <= set(orders.c.keys()), step.name
        assert not step.records & own, step.name


def test_only_the_end_of_an_order_frees_its_video() -> None:
    """A video may be ordered again only when its order has ended without one."""
    freeing = {step.target for step in TRANSITIONS.values() if step.frees}
    assert freeing == {"failed", "cancelled"}
    assert not any(step.frees and step.revives for step in TRANSITIONS.values())


def test_the_database_takes_the_states_of_the_table_and_no_other(ledger: Ledger) -> None:
    """Whatever writes to the database, an unknown state is refused."""
    order = place(ledger)
    mine = orders.c.id == order.id
    for state in STATES:
        with ledger.writing() as connection:
            connection.execute(sa.update(orders).where(mine).values(state=state))
    with pytest.raises(LedgerError), ledger.writing() as connection:
        connection.execute(sa.update(orders).where(mine).values(state="bought"))
    assert ledger.get(order.id).state == STATES[-1]


@pytest.mark.parametrize("state", STATES)
def test_a_step_starts_from_its_sources_and_leads_to_its_target(
    ledger: Ledger, state: OrderState
) -> None:
    """Every step of the table, tried from every state."""
    order = MAKERS[state](ledger)
    assert order.state == state
    for name in NAMES:
        step = TRANSITIONS[name]
        with ledger.writing() as connection:
            savepoint = connection.begin_nested()
            move = Move(order, name, {})
            if state not in step.sources:
                with pytest.raises(LedgerError, match=f'the step "{name}" starts from'):
                    take_step(connection, move, now=ledger.clock())
            else:
                assert take_step(connection, move, now=ledger.clock()), name
                found = connection.execute(
                    sa.select(orders.c.state, orders.c.lease).where(orders.c.id == order.id)
                ).one()
                assert found == (step.target or state, None), name
            savepoint.rollback()


def test_a_column_that_a_step_does_not_record_is_refused(ledger: Ledger) -> None:
    """There is no way to set any column from outside."""
    order = running(ledger)
    for column in ("cost_usd", "state", "live_key", "files", "nonsense"):
        with pytest.raises(LedgerError, match=column):
            ledger.apply(order, "observe", **{column: None})


def test_a_step_that_does_not_exist_is_refused(ledger: Ledger) -> None:
    """A misspelt name is a fault of the program, and changes nothing."""
    order = running(ledger)
    with pytest.raises(KeyError):
        ledger.apply(order, "finish")
    assert ledger.get(order.id) == order


@pytest.mark.parametrize("name", [name for name in NAMES if TRANSITIONS[name].needs_lease])
def test_a_step_that_needs_the_lease_is_not_taken_without_it(ledger: Ledger, name: str) -> None:
    """Another process has claimed the order meanwhile."""
    step = TRANSITIONS[name]
    order = MAKERS[min(step.sources)](ledger)
    ledger_clock = ledger.clock()
    with ledger.writing() as connection:
        others = {"lease": "another", "due_at": ledger_clock + 60}
        connection.execute(sa.update(orders).where(orders.c.id == order.id).values(others))
    assert not ledger.apply(order, name)
    assert ledger.get(order.id).state == order.state


def test_what_stands_still_is_measured_from_its_last_change(ledger: Ledger, clock: Clock) -> None:
    """A look that changes nothing does not make an order look as if it moved."""
    order = running(ledger)
    clock.advance(100)
    assert ledger.apply(order, "observe", due_at=clock())
    assert ledger.get(order.id).moved_at == order.moved_at
    assert ledger.apply(ledger.get(order.id), "end", due_at=clock())
    assert ledger.get(order.id).moved_at == clock()


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(text.replace(read_diagram(), draw_diagram()), encoding="utf-8")
