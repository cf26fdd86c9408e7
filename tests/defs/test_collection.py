"""A collection's arguments, how its assets look, and what it keeps between ticks."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from tests.support.project import Project
from wiro_dagster import (
    FilePrompts,
    OrderPolicy,
    VideoAssetProps,
    VideoCollection,
    VideoTranslator,
    build_video_definitions,
)
from wiro_dagster.defs.desks import open_desk
from wiro_dagster.defs.process_cache import ProcessCache
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.errors import ConfigurationError

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}


def assets_of(collection: VideoCollection) -> list[dg.AssetsDefinition]:
    assets = build_video_definitions(collection).assets or ()
    return [asset for asset in assets if isinstance(asset, dg.AssetsDefinition)]


def specs_of(collection: VideoCollection) -> list[dg.AssetSpec]:
    return [spec for asset in assets_of(collection) for spec in asset.specs]


def test_arguments_take_what_dagsters_do() -> None:
    """Paths may be text, several values lists, tags a dict, seconds whole numbers."""
    collection = VideoCollection(
        prompt_file="prompts.yaml",
        model_folder="models",
        owners=["team:media"],
        tags={"campaign": "spring"},
        input_assets=["portraits", dg.AssetKey(["a", "b"]), dg.AssetDep("c")],
        wait_deadline_seconds=60,
        op_tags={"team": "media"},
        retry_policy=dg.RetryPolicy(max_retries=2),
    )
    assert collection.source == FilePrompts(Path("prompts.yaml"))
    video = next(spec for spec in specs_of(collection) if spec.key == collection.video_key)
    assert (video.owners, video.tags["campaign"]) == (["team:media"], "spring")


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt_file": 3},
        {"name": "no blanks"},
        {"owners": "team:media"},
        {"tags": {"campaign": 1}},
        {"auto_order": "manual"},
        {"on_terminate": "stop"},
        {"collect": "workers"},
        {"collect_batch": 0},
        {"collect_runs": 0},
        {"wait_deadline_seconds": "60"},
        {"wait_deadline_seconds": 0},
        {"minimum_interval_seconds": -1},
        {"input_assets": [3]},
        {"checks": "off"},
        {"policy": {}},
        {"retry_policy": 3},
        {"default_status": "RUNNING"},
        {"translator": "spring"},
        {"prompt_file": None, "prompt_source": 3},
    ],
)
def test_a_wrong_argument_is_refused_at_definition(wrong: dict[str, Any]) -> None:
    """It never waits for a tick, and the message names the argument."""
    with pytest.raises(ConfigurationError) as caught:
        VideoCollection(**{"prompt_file": "prompts.yaml", **wrong})
    assert list(wrong)[-1] in str(caught.value)


def test_a_wrong_setting_of_the_policy_is_refused_at_definition() -> None:
    """The message names the setting."""
    policy = OrderPolicy(superseded="stop")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="superseded is 'stop'"):
        VideoCollection(prompt_file="prompts.yaml", policy=policy)


class MediaTranslator(VideoTranslator):
    def get_asset_spec(self, props: VideoAssetProps) -> dg.AssetSpec:
        spec = super().get_asset_spec(props)
        return spec.replace_attributes(
            key=spec.key.with_prefix("media"), description=f"Our {props.asset}", kinds={"film"}
        )


def test_a_translator_changes_keys_and_looks_but_nothing_is_ordered_again(project: Project) -> None:
    """The ledger knows a collection by its name, so a renamed asset owns the same videos."""
    project.write_prompts(CAT)
    assert project.materialize(project.collection.video_key, partitions=["cat"]).success
    project.collection_options = {"translator": MediaTranslator()}
    video_key = dg.AssetKey(["media", "video"])
    assert project.collection.video_key == video_key
    assert project.materialize(video_key, partitions=["cat"]).success
    assert project.emulator.billable_tasks() == 1
    assert len(project.videos("cat")) == 1
    node = project.definitions.resolve_asset_graph().get(video_key)
    assert (node.description, node.kinds) == ("Our video", {"film"})


def test_sensors_and_steps_take_dagsters_own_settings() -> None:
    """Status and interval of sensors, tags and retries of steps."""
    collection = VideoCollection(
        prompt_file="prompts.yaml",
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=60,
        op_tags={"team": "media"},
        retry_policy=dg.RetryPolicy(max_retries=2),
    )
    defs = build_video_definitions(collection)
    sensors = {sensor.name: sensor for sensor in defs.sensors or ()}
    assert {sensor.default_status.value for sensor in sensors.values()} == {"STOPPED"}
    assert sensors["video_order_sensor"].minimum_interval_seconds == 60
    assert sensors["prompt_file_sensor"].minimum_interval_seconds == 60
    for asset in assets_of(collection):
        if asset.key in (collection.order_key, collection.video_key):
            assert asset.op.tags["team"] == "media"
            assert asset.op.retry_policy == dg.RetryPolicy(max_retries=2)


def test_a_waiting_run_sleeps_by_the_injected_clock(project: Project) -> None:
    """No test waits for the pauses of a real run."""
    naps: list[float] = []
    pause = threading.Event()

    def nap(seconds: float) -> None:
        if not naps:
            project.emulator.advance(45)
        naps.append(seconds)
        pause.wait(0.05)

    project.collection_options = {"timing": WaitTiming(pause_seconds=7.0, sleep=nap)}
    project.emulator.script_task(run_seconds=40.0)  # a tick does not wait for it
    project.write_prompts(CAT)
    assert project.materialize(project.collection.video_key, partitions=["cat"]).success
    assert set(naps) == {7.0}


def test_what_a_tick_opens_is_kept_for_the_next(project: Project) -> None:
    """Each tick gets new resources; connections and downloads outlive it."""
    collection = project.collection
    desk, next_desk = (
        open_desk(collection, SimpleNamespace(**project.resources)) for _ in range(2)
    )
    assert desk is next_desk
    project.budget = "3"
    assert open_desk(collection, SimpleNamespace(**project.resources)) is not desk


def test_a_cache_makes_a_value_once_and_closes_it() -> None:
    """Two threads that ask at once get the same value."""

    class Pool:
        closed = False

        def close(self) -> None:
            self.closed = True

    cache, made = ProcessCache(), []

    def make() -> Pool:
        made.append(Pool())
        return made[-1]

    threads = [threading.Thread(target=cache.get, args=("pool", make)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    cache.close()
    assert made[0].closed
