"""The main job as a user runs it: emulator, webserver, daemon, code server, backfills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.dagster_dev import DagsterDev, dagster_dev
from wiro_dagster.cli.project import emulator_environment
from wiro_dagster.emulator import Emulator

PROMPTS = {
    "defaults": {"model": "minimax/hailuo-2-3"},
    "prompts": [
        {"id": "lighthouse", "prompt": "A lighthouse in a storm"},
        {"id": "market", "prompt": "A market at dawn"},
        {"id": "harbour", "prompt": "A harbour at night"},
        {"id": "broken", "prompt": "A broken thing [fail]"},
        {"id": "patience", "prompt": "A snail crosses a road [slow]"},
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
    """A backfill of `video_order` does not wait, one of `video` does, and both tell the truth.

    The sensor delivers what nobody waits for, also where a waiting run was terminated.
    """
    keys = dev.wait_for(lambda: dev.partition_keys("video"), seconds=90, what="partitions")
    assert sorted(keys) == ["broken", "harbour", "lighthouse", "market", "patience"]
    # At once: Dagster looks at its backfills every 30 s only.
    ordered = dev.launch_backfill("video_order", ["lighthouse", "market"])
    waited = dev.launch_backfill("video", ["harbour", "broken"])
    terminated = dev.launch_backfill("video", ["patience"])

    run_id = dev.wait_for(
        lambda: emulator_has(emulator, "snail") and dev.started_run(terminated),
        seconds=120,
        what="the run that waits",
    )
    dev.terminate_run(run_id)
    dev.wait_for(
        lambda: dev.backfill_runs(terminated) == ["CANCELED"], seconds=60, what="its termination"
    )
    # Most of the minute that a slow task takes. A whole one would set the clocks too far apart.
    emulator.advance(50)
    ended = {
        backfill: dev.wait_for(
            lambda backfill=backfill: dev.ended_status(backfill), seconds=150, what="its end"
        )
        for backfill in (ordered, waited)
    }
    assert ended == {ordered: "COMPLETED_SUCCESS", waited: "COMPLETED_FAILED"}
    assert dev.backfill_runs(ordered) == ["SUCCESS"]
    assert dev.backfill_runs(waited) == ["FAILURE"]

    videos = dev.wait_for(
        lambda: len(found := dev.materializations("video")) == 4 and found,
        seconds=60,
        what="the videos",
    )
    runs = {event["partition"]: event["runId"] for event in videos}
    assert {partition for partition, run in runs.items() if not run} == {
        "lighthouse",
        "market",
        "patience",
    }
    assert runs["harbour"]
    for event in videos:
        entries = {entry["label"]: entry for entry in event["metadataEntries"]}
        assert entries["wiro/cost_usd"]["floatValue"] == pytest.approx(0.28)
        assert entries["wiro/output_urls"]["url"].startswith("http")
        assert "data:image/webp" in entries["wiro/preview"]["mdStr"]
    assert emulator.billable_tasks() == 5


def emulator_has(emulator: Emulator, words: str) -> bool:
    return any(words in str(task["parameters"]) for task in emulator.tasks())
