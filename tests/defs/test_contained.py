"""One order that cannot be reported holds up no other."""

from __future__ import annotations

import time
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from tests.support.project import Project
from wiro_dagster.defs.contained import deliver_videos
from wiro_dagster.defs.report import Reporter
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger.schema import orders


def damage(project: Project, partition: str) -> None:
    """Leave nothing of an order's file but an empty object, as a damaged row would."""
    with project.ledger.writing() as connection:
        connection.execute(
            sa.update(orders).where(orders.c.partition == partition).values(files=[{}])
        )


def test_an_order_that_cannot_be_reported_harms_no_other(
    project: Project, emulator: Emulator, tmp_path: Path
) -> None:
    """The others come, the tick goes on, and the order says why it waits."""
    project.write_prompts(*({"id": name, "prompt": name} for name in ("a", "odd", "z")))
    project.order("a", "z")
    project.settle()
    damage(project, "odd")
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        again = Project(project.folder, emulator, instance, ledger_url=project.ledger_url)
        again.bring_prompts_in()
        again.tick()
        assert {name: len(again.videos(name)) for name in ("a", "odd", "z")} == {
            "a": 1,
            "odd": 0,
            "z": 1,
        }
        (order,) = again.ledger.list_orders(partitions=["odd"])
        assert order.state == "stored"
        assert "could not be reported in Dagster: KeyError" in str(order.hold)
        assert order.due_at is not None


def test_the_last_reports_of_a_tick_are_few(project: Project) -> None:
    """What has begun goes on when the tick's time is over, and an event may take long."""
    names = [f"film-{number}" for number in range(8)]
    project.write_prompts(*({"id": name, "prompt": name} for name in names))
    project.order(names[0], names[-1])
    resources = project.load().resources
    with dg.build_sensor_context(instance=project.instance, resources=resources) as context:
        reporter = Reporter.in_sensor(context, project.collection, context.resources)
        while {order.state for order in project.ledger.list_orders()} != {"stored"}:
            reporter.desk.tick(time.monotonic() + 5.0)
        assert len(deliver_videos(reporter, deadline=time.monotonic() + 1.0)) < 8
        assert deliver_videos(reporter, deadline=time.monotonic())
        deliver_videos(reporter)
    assert {order.state for order in project.ledger.list_orders()} == {"delivered"}
