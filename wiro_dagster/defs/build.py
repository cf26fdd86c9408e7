"""Everything Dagster needs for one collection, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from wiro_dagster.defs.assets import (
    build_prompt_spec,
    build_video_asset,
    build_video_order_asset,
)
from wiro_dagster.defs.automation import build_missing_videos_job
from wiro_dagster.defs.checks import build_order_checks
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.cost_asset import build_cost_asset
from wiro_dagster.defs.gallery import build_gallery_asset
from wiro_dagster.defs.gallery_sensor import build_gallery_sensor
from wiro_dagster.defs.io_manager import build_video_io_manager
from wiro_dagster.defs.order_sensor import build_video_order_sensor
from wiro_dagster.defs.prompt_sensor import build_prompt_file_sensor
from wiro_dagster.defs.validation import refuse_wrong_prompts
from wiro_dagster.defs.video_checks import build_video_checks


def build_video_definitions(
    collection: VideoCollection, resources: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Build the assets, checks, sensors and job of a collection.

    Give the resources that the collection names here: then its sensors open them only if there is
    something to do, and an idle project costs less. Without them they come from elsewhere: merge
    with `dg.Definitions.merge`. Several collections can share them in both ways.

    Args:
        collection: what to build.
        resources: by key; they become part of the definitions.

    Raises:
        InputError: `dg check defs` found mistakes in the prompt file.

    Example:
        defs = build_video_definitions(
            VideoCollection(prompt_file=HERE / "prompts.yaml"),
            resources={
                "wiro": WiroResource(api_key=dg.EnvVar("WIRO_API_KEY")),
                "wiro_ledger": LedgerResource(url=HERE / "ledger.db"),
                "video_store": FolderVideoStore(path=HERE / "videos"),
            },
        )
    """
    refuse_wrong_prompts(collection)
    with warnings.catch_warnings():
        # Backfill policies are marked as beta in Dagster; using them is our choice, not our users'.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.Definitions(
            assets=[
                build_prompt_spec(collection),
                build_video_order_asset(collection),
                build_video_asset(collection),
                build_gallery_asset(collection),
                _build_collection_costs(collection),
            ],
            asset_checks=[*build_order_checks(collection), *build_video_checks(collection)],
            resources={
                **(resources or {}),
                collection.io_manager: build_video_io_manager(collection.store),
            },
            jobs=[build_missing_videos_job(collection)],
            sensors=[
                build_prompt_file_sensor(collection, resources),
                build_video_order_sensor(collection, resources),
                build_gallery_sensor(collection, resources),
            ],
        )


def _build_collection_costs(collection: VideoCollection) -> dg.AssetsDefinition:
    return build_cost_asset(
        ledger=collection.ledger,
        collection=collection.ledger_name,
        deps=[collection.video_key],
        translate=lambda spec: collection.translate("video_costs", spec),
    )
