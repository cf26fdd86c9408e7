"""What a code location keeps between ticks: Dagster's instance and the desk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.support.project import Project
from wiro_dagster.defs.ticks import find_desk, find_instance, open_resources
from wiro_dagster.defs.timing import WaitTiming


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield instance


def tick_context(
    home: dg.DagsterInstance, resources: dict[str, Any] | None = None
) -> dg.SensorEvaluationContext:
    """The context of a tick as the daemon has it: with what opens the instance."""
    return dg.build_sensor_context(instance_ref=home.get_ref(), resources=resources)


def test_the_instance_is_opened_once(project: Project, home: dg.DagsterInstance) -> None:
    """Ticks share an instance, and it works after the tick that opened it."""
    with tick_context(home) as first:
        kept = find_instance(first, project.collection)
    with tick_context(home) as second:
        assert find_instance(second, project.collection) is kept
    kept.report_runless_asset_event(dg.AssetMaterialization("kept"))
    assert home.fetch_materializations(dg.AssetKey("kept"), limit=1).records


def test_the_daemons_tick_takes_the_resources_of_the_code_location(
    project: Project, home: dg.DagsterInstance
) -> None:
    """Sensors declare no resources; they build those of their collection, and no others."""
    others = {"database": dg.ResourceDefinition(lambda _: pytest.fail("It is not ours."))}
    defs = dg.Definitions.merge(project.load(), dg.Definitions(resources=others))
    repository = defs.get_repository_def()
    with (
        dg.build_sensor_context(instance_ref=home.get_ref(), repository_def=repository) as context,
        open_resources(context, project.collection) as resources,
    ):
        assert resources.wiro_ledger.daily_budget_usd == project.budget
        assert find_desk(context, project.collection).ledger is project.ledger
    sensor = repository.get_sensor_def("video_order_sensor")
    assert sensor.required_resource_keys == set()


def test_the_desk_is_kept_while_the_resources_are_the_same(
    project: Project, home: dg.DagsterInstance
) -> None:
    """Ticks share a desk, for which no resources are built; changed settings open another."""
    now = 0.0
    project.collection_options = {"timing": WaitTiming(monotonic=lambda: now)}
    resources = project.load().resources or {}
    with tick_context(home, resources) as first:
        desk = find_desk(first, project.collection)
    built: list[str] = []
    watched = dict(first.resource_defs or {})
    with tick_context(home, watched) as second:
        assert find_desk(second, project.collection) is desk
    now = 1_000.0
    watched["wiro_ledger"] = dg.ResourceDefinition(
        lambda _: built.append("ledger") or project.resources["wiro_ledger"]
    )
    with tick_context(home, watched) as third:
        assert find_desk(third, project.collection) is desk
    assert built == ["ledger"]
    project.budget = "0.10"
    with tick_context(home, project.load().resources or {}) as fourth:
        assert find_desk(fourth, project.collection) is not desk
