"""The sensor that renews gallery and costs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from tests.defs.test_automation import stale_reasons
from tests.support.project import QUICK, Project
from wiro_dagster.defs import gallery_sensor
from wiro_dagster.defs.asset_files import find_asset_version
from wiro_dagster.defs.desks import open_desk

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
NOTHING = "No new videos."
FAILING = {"id": "broken", "prompt": "A broken thing [fail]"}


def tick(project: Project, cursor: str | None = None) -> Any:
    """One tick of the sensor, with what the daemon does of its result."""
    result = project.tick_sensor(project.collection.prefixed("video_gallery_sensor"), cursor)
    for event in getattr(result, "asset_events", None) or []:
        project.instance.report_runless_asset_event(event)
    return result


def test_gallery_and_costs_are_renewed_when_a_video_has_come(project: Project) -> None:
    """Though other partitions have no video, and no more often than videos come."""
    project.write_prompts(CAT, FAILING)
    assert tick(project).skip_message == NOTHING
    project.order("cat", "broken")
    project.settle()
    renewed = tick(project)
    keys = [project.collection.gallery_key, project.collection.cost_key]
    assert [event.asset_key for event in renewed.asset_events] == keys
    gallery, costs = renewed.asset_events
    assert gallery.metadata["wiro/videos"].value == 1
    assert gallery.metadata["wiro/failed"].value == 1
    assert costs.metadata["wiro/spent_usd"].value == float(project.emulator.spent_usd())
    assert tick(project, renewed.cursor).skip_message == NOTHING
    assert stale_reasons(project, keys[0], None) == stale_reasons(project, keys[1], None) == []


def test_at_rest_the_event_log_is_looked_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can have come, until something is written to the ledger.

    That the order sensor notes now and then that it works is no news. But what others report to
    Dagster is seen after five minutes.
    """
    looks: list[int] = []
    ahead = 0.0
    timing = replace(QUICK, monotonic=lambda: time.monotonic() + ahead)
    project.collection_options = {"timing": timing}

    def look(*given: Any) -> str:
        looks.append(1)
        return find_asset_version(*given)

    monkeypatch.setattr(gallery_sensor, "find_asset_version", look)
    project.write_prompts(CAT)
    for _ in range(3):
        project.tick()
    assert [tick(project).skip_message for _ in range(3)] == [NOTHING] * 3
    assert len(looks) == 1
    ahead += 90.0
    with dg.build_sensor_context(resources=project.load().resources) as context:
        open_desk(project.collection, context.resources)._held._held_at = None
    project.tick()
    assert tick(project).skip_message == NOTHING
    assert len(looks) == 1
    ahead += 200.0
    project.tick()
    assert tick(project).skip_message == NOTHING
    assert len(looks) == 2
    project.order("cat")
    project.settle()
    assert tick(project).asset_events


def test_a_large_gallery_is_left_to_a_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick must be short: it shares its thread with the sensors of others."""
    monkeypatch.setattr(gallery_sensor, "_MOST_VIDEOS", 0)
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    result = tick(project)
    keys = [project.collection.gallery_key, project.collection.cost_key]
    assert [request.asset_selection for request in result.run_requests] == [keys]
    assert tick(project, result.cursor).skip_message == NOTHING
