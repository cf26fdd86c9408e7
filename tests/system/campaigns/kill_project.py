"""The project that the kill campaign runs: the product's own definitions, with shorter patience."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import dagster as dg

from tests.system.campaigns.timing import CAMPAIGN_TIMING
from wiro_dagster import (
    FolderVideoStore,
    LedgerResource,
    OrderPolicy,
    VideoCollection,
    WiroResource,
    build_video_definitions,
)

TIMING = replace(
    CAMPAIGN_TIMING,
    sweep_pause_seconds=1.0,
    look_maximum_seconds=3.0,
    lease_seconds=10.0,
    recover_pause_seconds=2.0,
    settle_missing_seconds=5.0,
    pause_seconds=1.0,
    retry_maximum_seconds=5.0,
)
POLICY = OrderPolicy(resubmit_after_seconds=12.0, timing=TIMING)

collection = VideoCollection(prompt_file=Path(os.environ["WIRO_PROMPT_FILE"]), policy=POLICY)

defs = dg.Definitions.merge(
    build_video_definitions(collection),
    dg.Definitions(
        resources={
            "wiro": WiroResource(
                api_key=dg.EnvVar("WIRO_API_KEY"),
                api_secret=dg.EnvVar("WIRO_API_SECRET"),
                base_url=os.environ["WIRO_BASE_URL"],
                cdn_hosts=os.environ["WIRO_CDN_HOSTS"].split(","),
            ),
            "wiro_ledger": LedgerResource(
                url=os.environ["WIRO_LEDGER_URL"], daily_budget_usd="1000"
            ),
            "video_store": FolderVideoStore(path=os.environ["WIRO_VIDEO_STORE"]),
        }
    ),
)
