"""A model that Wiro changes under a project's feet: told and refused before money is spent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.support.project import FAST, Project
from wiro_dagster import AssetPrompts, VideoCollection
from wiro_dagster.emulator import Emulator

MODEL = "acme/slow-pan"
CATALOGUE: list[dict[str, Any]] = [
    {
        "slug": MODEL,
        "categories": ["text-to-video"],
        "parameters": [
            {
                "title": "",
                "items": [
                    {"id": "scenePrompt", "type": "textarea", "required": True},
                    {
                        "id": "duration",
                        "type": "select",
                        "default": "6",
                        "options": [{"label": n, "value": n} for n in ("6", "10")],
                    },
                ],
            }
        ],
        "dynamicprice": [{"inputs": {}, "price": 0.2, "priceMethod": "cpr"}],
        "output": {"kind": "video", "text": "scenePrompt", "seconds": {"default": 6}},
    }
]
ROWS = [
    {"id": "long", "prompt": "A long pan", "model": MODEL, "duration": "10"},
    {"id": "short", "prompt": "A short pan", "model": MODEL, "duration": "6"},
]


# What is known of a model is asked for again almost at once.
ALERT = replace(FAST, model_max_age_seconds=0.2)


class TableProject(Project):
    """A project whose prompts are a table that an asset makes."""

    @property
    def collection(self) -> VideoCollection:
        source = AssetPrompts(dg.AssetKey("texts"))
        return VideoCollection(
            prompt_source=source, policy=self.policy, cache=self.cache, **self.collection_options
        )

    @property
    def definitions(self) -> dg.Definitions:
        @dg.asset
        def texts() -> list[dict[str, str]]:
            return ROWS

        return dg.Definitions.merge(super().definitions, dg.Definitions(assets=[texts]))

    def look(self) -> dg.AssetCheckEvaluation:
        """One tick of the prompt sensor; gives what the check says of the prompts."""
        defs = self.definitions
        with dg.build_sensor_context(
            instance=self.instance, definitions=defs, resources=self.resources
        ) as context:
            result = defs.resolve_sensor_def("prompt_file_sensor").evaluate_tick(context)
        (check,) = result.asset_events
        assert isinstance(check, dg.AssetCheckEvaluation)
        return check


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "models.json"
    path.write_text(json.dumps(CATALOGUE))
    return path


@pytest.fixture
def changing(models: Path) -> Iterator[Emulator]:
    """An emulator whose models a test may change, by a new file and a restart."""
    with Emulator.start(
        task_seconds=0.5, tiny_videos=True, options=["--models", str(models)]
    ) as started:
        yield started


def test_a_change_that_breaks_prompts_is_told_and_refused(
    changing: Emulator, models: Path, tmp_path: Path
) -> None:
    """Whatever the source: the check and the order's run name what Wiro changed, and buy the rest.

    The model's prompt has a name of its own, which is told of all the same.
    """
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        table = TableProject(tmp_path, changing, instance, policy=ALERT)
        job = table.definitions.resolve_implicit_global_asset_job_def()
        texts = [dg.AssetKey("texts")]
        assert job.execute_in_process(asset_selection=texts, instance=instance).success
        filed = Project(tmp_path, changing, instance, name="filed", policy=ALERT)
        filed.write_prompts(
            *({"inputs": {"duration": row.pop("duration")}, **row} for row in map(dict, ROWS))
        )
        assert table.look().passed

        changed = json.loads(models.read_text())
        duration = changed[0]["parameters"][0]["items"][1]
        duration["options"] = duration["options"][:1]
        models.write_text(json.dumps(changed))
        changing.restart()

        table.collection_options = {"auto_order": "new"}
        check = table.look()
        assert not check.passed
        told = str(check.metadata["wiro/model_changes"].value)
        assert "- duration: '10' can no longer be chosen." in told
        assert "- breaks long: duration: '10' is not allowed. Allowed: '6'." in told
        (order,) = table.settle()
        assert (order.partition, order.state, order.prompt) == ("short", "delivered", "A short pan")
        assert table.videos("short")[0].metadata["wiro/prompt"].value == "A short pan"

        run = filed.order("long", "short")
        assert not run.success
        failure = str(run.all_events)
        assert "Wiro has changed this model's inputs" in failure
        assert [order.partition for order in filed.settle()] == ["short"]
        assert changing.billable_tasks() == 2


def test_another_default_of_wiro_orders_nothing_again(
    changing: Emulator, models: Path, tmp_path: Path
) -> None:
    """Nothing was changed in the project, so nothing is paid again; the check says what changed."""
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        options = {"auto_order": "new_and_changed"}
        project = Project(tmp_path, changing, instance, policy=ALERT, collection_options=options)
        project.write_prompts({"id": "a", "prompt": "A pan"}, defaults={"model": MODEL})
        project.bring_prompts_in()
        assert len(project.ledger.list_orders()) == 1

        changed = json.loads(models.read_text())
        changed[0]["parameters"][0]["items"][1]["default"] = "10"
        models.write_text(json.dumps(changed))
        changing.restart()

        result = project.bring_prompts_in()
        (order,) = project.ledger.list_orders()
        assert order.inputs["duration"] == "6"
        (check,) = result.asset_events
        assert check.passed
        told = str(check.metadata["wiro/model_changes"].value)
        assert "its default was '6' and is '10'." in told
        assert "gives 'a' other inputs when they are ordered next" in told

        project.write_prompts({"id": "a", "prompt": "A slow pan"}, defaults={"model": MODEL})
        orders = project.ledger.list_orders()
        assert [order.inputs["duration"] for order in orders] == ["6", "10"]
