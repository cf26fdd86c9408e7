"""Rest: ticks of the order sensor that have nothing to do are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest
import sqlalchemy as sa

from tests.support.postgres import ReusedDatabase
from tests.support.project import QUICK, Project
from wiro_dagster import LedgerResource, build_video_definitions
from wiro_dagster.defs.desks import open_desk
from wiro_dagster.defs.order_cursor import OrderCursor
from wiro_dagster.defs.rest import find_rest
from wiro_dagster.ledger.schema import strays
from wiro_dagster.orders import OrderDesk

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}


@pytest.fixture(params=["sqlite", "postgresql"])
def on_each(project: Project, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project whose ledger is on each kind of database in turn."""
    if request.param == "postgresql":
        reused: ReusedDatabase = request.getfixturevalue("reused_database")
        project.ledger_url = reused.forget()
    yield project
    project.cache.close()


def is_resting(project: Project) -> bool:
    """Whether the next tick is skipped."""
    collection, resources = project.collection, project.load().resources
    with dg.build_sensor_context(instance=project.instance, resources=resources) as context:
        desk = open_desk(collection, context.resources)
        return find_rest(collection, OrderCursor.from_text(project.cursor), desk) is not None


def tick_until_rest(project: Project) -> None:
    for _ in range(5):
        if is_resting(project):
            return
        project.tick()
    pytest.fail("It does not come to rest.")


def test_an_idle_collection_rests_until_something_is_written(on_each: Project) -> None:
    """A new order ends the rest at once, whichever process places it."""
    project = on_each
    project.write_prompts(CAT)
    tick_until_rest(project)
    assert project.tick().skip_message == "No orders are under way."
    project.order("cat")
    assert not is_resting(project)
    project.settle()
    assert len(project.videos("cat")) == 1
    tick_until_rest(project)


def test_a_write_that_is_under_way_ends_a_rest(
    project: Project, reused_database: ReusedDatabase
) -> None:
    """PostgreSQL shows it once it has ended; until then, and then, a tick looks for itself."""
    project.ledger_url = reused_database.forget()
    tick_until_rest(project)
    with project.ledger.writing() as other:
        other.execute(sa.insert(strays).values(account="another", task_id="1", seen_at=1.0))
        assert not is_resting(project)
        project.tick()
        assert not is_resting(project)
    assert not is_resting(project)


def test_a_rest_ends_if_the_database_was_away(
    project: Project, reused_database: ReusedDatabase
) -> None:
    """It may be another one by now, or an older copy."""
    project.ledger_url = reused_database.forget()
    tick_until_rest(project)
    reused_database.end_connections()
    assert not is_resting(project)
    tick_until_rest(project)


def test_what_a_tick_notes_about_itself_ends_no_rest(on_each: Project) -> None:
    """Now and then it writes that it works for its collection."""
    project = on_each
    tick_until_rest(project)
    project.collection.cache.drop(("rest", project.collection.ledger_name))
    with dg.build_sensor_context(resources=project.load().resources) as context:
        open_desk(project.collection, context.resources)._held._held_at = None
    project.tick()
    assert is_resting(project)


def test_a_rest_ends_after_a_while(project: Project) -> None:
    """Some things become due by time alone."""
    now = 1_000.0
    project.collection_options = {"timing": replace(QUICK, monotonic=lambda: now)}
    tick_until_rest(project)
    now += 290.0
    assert not is_resting(project)


def test_a_tick_at_rest_opens_no_resources(on_each: Project) -> None:
    """Given to the definitions, they are opened once there is something to do."""
    project = on_each
    opened: list[str] = []

    def open_ledger() -> LedgerResource:
        opened.append("ledger")
        return project.resources["wiro_ledger"]

    resources = {
        **project.load_resources(),
        "wiro_ledger": dg.ResourceDefinition(lambda _: open_ledger()),
    }
    defs = build_video_definitions(project.collection, resources)
    names = ("prompt_file_sensor", "video_order_sensor")
    sensors = [defs.resolve_sensor_def(name) for name in names]
    assert [sensor.required_resource_keys for sensor in sensors] == [set(), set()]
    cursors: dict[str, str | None] = {}

    def tick(sensor: dg.SensorDefinition) -> None:
        before = cursors.get(sensor.name)
        with dg.build_sensor_context(instance=project.instance, cursor=before) as context:
            cursors[sensor.name] = sensor.evaluate_tick(context).cursor

    project.write_prompts(CAT)
    for sensor in sensors:
        for _ in range(3):
            tick(sensor)
        opened.clear()
        tick(sensor)
        assert opened == []
    project.order("cat")
    tick(sensors[1])
    assert opened == ["ledger"]
    assert project.ledger.list_orders()[0].state != "new"


def test_nobody_rests_while_an_order_is_under_way(project: Project) -> None:
    """Its steps become due by time."""
    project.emulator.change_settings(task_seconds=1_000.0)
    project.write_prompts(CAT)
    project.order("cat")
    for _ in range(3):
        project.tick()
    assert not is_resting(project)


def test_that_a_tick_at_rest_says_it_works_hides_no_order(
    on_each: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes that every half a minute: an order that comes at that moment ends the rest."""
    project = on_each
    project.write_prompts(CAT)
    tick_until_rest(project)
    with dg.build_sensor_context(resources=project.load().resources) as context:
        desk = open_desk(project.collection, context.resources)
    hold = type(desk).hold

    def hold_while_another_process_orders(self: OrderDesk) -> None:
        hold(self)
        project.order("cat")

    desk._held._held_at = None
    assert is_resting(project)
    desk._held._held_at = None
    monkeypatch.setattr(type(desk), "hold", hold_while_another_process_orders)
    assert not is_resting(project)
