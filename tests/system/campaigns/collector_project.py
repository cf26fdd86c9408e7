"""Two code locations, `ads` and `clips`, whose videos are fetched by runs: patience is short."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from tests.support.project import FAST
from wiro_dagster import (
    FolderVideoStore,
    LedgerResource,
    VideoCollection,
    WiroResource,
    build_prompt_file_sensor,
    build_prompt_spec,
    build_video_asset,
    build_video_io_manager,
    build_video_order_asset,
    build_video_order_sensor,
)
from wiro_dagster.defs.timing import WaitTiming

HEARTBEAT_SECONDS = 4.0
FOLDER = Path(os.environ["WIRO_CAMPAIGN_FOLDER"])


def build_location(name: str) -> dg.Definitions:
    """What one code location loads; both share account, ledger and store."""
    collection = VideoCollection(
        name=name,
        prompt_file=FOLDER / f"{name}.yaml",
        auto_order="new",
        collect="runs",
        collect_batch=2,
        policy=FAST,
        timing=WaitTiming(heartbeat_seconds=HEARTBEAT_SECONDS),
    )
    resources = {
        "wiro": WiroResource(
            api_key=dg.EnvVar("WIRO_API_KEY"),
            api_secret=dg.EnvVar("WIRO_API_SECRET"),
            base_url=os.environ["WIRO_BASE_URL"],
            cdn_hosts=os.environ["WIRO_CDN_HOSTS"].split(","),
        ),
        "wiro_ledger": LedgerResource(url=dg.EnvVar("WIRO_LEDGER_URL"), daily_budget_usd="1000"),
        "video_store": FolderVideoStore(path=str(FOLDER / "videos")),
    }
    # Without the gallery, which would be renewed by runs of its own all the time.
    return dg.Definitions(
        assets=[
            build_prompt_spec(collection),
            build_video_order_asset(collection),
            build_video_asset(collection),
        ],
        sensors=[build_prompt_file_sensor(collection), build_video_order_sensor(collection)],
        resources={**resources, collection.io_manager: build_video_io_manager(collection.store)},
        executor=dg.in_process_executor,
    )


ads = build_location("ads")
clips = build_location("clips")
