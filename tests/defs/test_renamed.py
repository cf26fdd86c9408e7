"""A collection that was renamed: what was ordered under its old name comes home under that name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import dagster as dg
import sqlalchemy as sa

from tests.support.project import SETTLE_SECONDS, Project
from wiro_dagster.defs.ended import report_orphans
from wiro_dagster.defs.report import Reporter
from wiro_dagster.ledger.schema import collections


def let_sensors_fall_silent(project: Project) -> None:
    """As after ten minutes without a tick of any sensor."""
    with project.ledger.writing() as connection:
        connection.execute(sa.update(collections).values(ticked_at=0.0))


@contextmanager
def open_reporter(project: Project) -> Iterator[Reporter]:
    """As the order sensor has it."""
    with dg.build_sensor_context(instance=project.instance, resources=project.resources) as context:
        yield Reporter.in_sensor(context, project.collection, context.resources)


def test_the_video_is_shown_under_the_name_it_was_ordered_by(project: Project) -> None:
    """The new collection's sensor fetches it, reports it once, and says whose it is."""
    project.write_prompts({"id": "a", "prompt": "A fox"})
    project.order("a")
    let_sensors_fall_silent(project)
    renamed = replace(project, name="ads", loaded=None)
    deadline = time.monotonic() + SETTLE_SECONDS
    while project.ledger.list_orders()[0].state == "ordered":
        project.tick()  # it is submitted, and then the collection is renamed
    let_sensors_fall_silent(project)
    while project.ledger.list_orders()[0].state != "delivered":
        assert time.monotonic() < deadline
        renamed.tick()
        time.sleep(0.1)
    renamed.tick()
    (shown,) = project.materializations(dg.AssetKey("video"), "a")
    assert shown.metadata["wiro/prompt"].value == "A fox"
    assert renamed.videos("a") == []


def test_a_failure_of_a_renamed_collection_is_told(project: Project) -> None:
    """In the tick's log and on the old asset's partition."""
    project.emulator.script_task(outcome="fail", reason="No.")
    project.write_prompts({"id": "a", "prompt": "A fox"})
    project.order("a")
    with open_reporter(project) as reporter:  # the process ends before it reports the failure
        while project.ledger.list_orders()[0].state != "failed":
            reporter.desk.tick(time.monotonic() + 5)
            time.sleep(0.1)
    let_sensors_fall_silent(project)
    with open_reporter(replace(project, name="ads", loaded=None)) as reporter:
        reporter.desk.tick(time.monotonic() + 5)
        (notice,) = report_orphans(reporter)
    assert 'order 1 (video, partition "a")' in notice
    assert "No." in notice
