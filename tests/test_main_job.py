"""The main job as a user runs it: emulator, webserver, daemon, code server, backfills from the UI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.dagster_dev import DagsterDev, dagster_dev
from wiro_dagster.cli.project import emulator_environment
from wiro_dagster.emulator import Emulator

PROMPTS = {
    "defaults": {"model": "minimax/hailuo-2-3"},
    "prompts": [
        {"id": "lighthouse", "prompt": "A lighthouse in a storm"},
        {"id": "market", "prompt": "A market at dawn"},
        {"id": "broken", "prompt": "A broken thing [fail]"},
    ],
}


@pytest.fixture
def dev(tmp_path: Path, emulator: Emulator) -> Iterator[DagsterDev]:
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text(yaml.safe_dump(PROMPTS))
    settings = {
        **emulator_environment(emulator),
        "WIRO_PROMPT_FILE": str(prompts),
        "WIRO_VIDEO_STORE": str(tmp_path / "videos"),
    }
    with dagster_dev(tmp_path, settings) as started:
        yield started


def test_the_main_job_with_a_real_daemon(dev: DagsterDev, emulator: Emulator) -> None:
    """A backfill of `video_order` ends in seconds, the sensor delivers; one of `video` waits."""
    keys = dev.wait_for(lambda: dev.partition_keys("video"), seconds=60, what="partitions")
    assert sorted(keys) == ["broken", "lighthouse", "market"]

    ordered = dev.launch_backfill("video_order", ["lighthouse", "market"])
    status = dev.wait_for(
        lambda: (found := dev.backfill_status(ordered)).startswith("COMPLETED") and found,
        seconds=60,
        what="the end of the backfill of video_order",
    )
    assert status == "COMPLETED_SUCCESS"
    assert dev.backfill_runs(ordered) == ["SUCCESS"]
    reported = dev.wait_for(
        lambda: len(found := dev.materializations("video")) == 2 and found,
        seconds=60,
        what="the videos",
    )
    assert {event["partition"] for event in reported} == {"lighthouse", "market"}
    assert {event["runId"] for event in reported} == {""}
    for event in reported:
        entries = {entry["label"]: entry for entry in event["metadataEntries"]}
        assert entries["wiro/cost_usd"]["floatValue"] == pytest.approx(0.28)
        assert entries["wiro/output_urls"]["url"].startswith("http")
        assert "data:image/webp" in entries["wiro/preview"]["mdStr"]
    assert emulator.billable_tasks() == 2

    waited = dev.launch_backfill("video", ["lighthouse", "market", "broken"])
    status = dev.wait_for(
        lambda: (found := dev.backfill_status(waited)).startswith("COMPLETED") and found,
        seconds=90,
        what="the end of the backfill of video",
    )
    assert status == "COMPLETED_FAILED"
    assert dev.backfill_runs(waited) == ["FAILURE"]
    partitions = [event["partition"] for event in dev.materializations("video")]
    assert sorted(partitions) == ["lighthouse", "lighthouse", "market", "market"]
    assert emulator.billable_tasks() == 3
