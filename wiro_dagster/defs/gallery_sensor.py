"""The sensor that renews gallery and costs when videos have come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from wiro_dagster.defs.asset_files import find_asset_version
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.cost_asset import cost_metadata
from wiro_dagster.defs.desks import open_desk
from wiro_dagster.defs.gallery import write_gallery
from wiro_dagster.defs.lineage import newest_tags
from wiro_dagster.defs.metadata import version_tags
from wiro_dagster.defs.rest import find_standing_rest
from wiro_dagster.defs.tick_resources import TickResources
from wiro_dagster.orders import OrderDesk

_REFRESH_SECONDS = 59
"""A sensor is looked at every five seconds: a minute would often become 65 of them."""

_MOST_VIDEOS = 1_000
"""More of them are shown by a run: all sensors of an instance share a thread by default."""


def build_gallery_sensor(
    collection: VideoCollection, resources: Mapping[str, Any] | None = None
) -> dg.SensorDefinition:
    """Build the sensor that renews gallery and costs when videos have come, once a minute.

    It writes both itself: the page takes a tenth of a second, a run for it takes seconds of CPU.

    Args:
        collection: whose videos.
        resources: of the collection, by key; `None` leaves them to Dagster.
    """
    opener = TickResources(collection, resources)
    target = dg.AssetSelection.assets(collection.gallery_key, collection.cost_key)

    @dg.sensor(
        name=collection.prefixed("video_gallery_sensor"),
        target=target.without_checks(),
        minimum_interval_seconds=_REFRESH_SECONDS,
        default_status=collection.default_status,
        required_resource_keys=opener.declared,
        tags={"wiro/collection": collection.ledger_name},
        description="Renews gallery and costs when videos have come.",
    )
    def video_gallery_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        # To open the instance costs more than the look, and at rest hardly anything can have come.
        rest, key = find_standing_rest(collection), ("gallery", collection.ledger_name)
        seen = (rest and rest.until, context.cursor)
        if rest is not None and collection.cache.find(key, tuple) == seen:
            return dg.SkipReason("No new videos.")
        instance = context.instance
        newest = find_asset_version(instance, _list_inputs(collection))
        if newest == (context.cursor or _NOTHING):
            collection.cache.put(key, seen)
            return dg.SkipReason("No new videos.")
        if len(instance.get_materialized_partitions(collection.video_key)) > _MOST_VIDEOS:
            keys = [collection.gallery_key, collection.cost_key]
            return dg.SensorResult(
                run_requests=[dg.RunRequest(run_key=newest, asset_selection=keys)], cursor=newest
            )
        with opener.open(context) as opened:
            events = _renew(instance, collection, open_desk(collection, opened), newest)
        return dg.SensorResult(
            asset_events=events, cursor=newest, skip_reason="Gallery and costs are renewed."
        )

    return video_gallery_sensor


_NOTHING = "- -"
"""The newest events of two assets that have none."""


def _renew(
    instance: dg.DagsterInstance, collection: VideoCollection, desk: OrderDesk, newest: str
) -> list[dg.AssetMaterialization]:
    # Read before the page is written: a video that arrives later makes the page out of date.
    videos, orders = (newest_tags(instance, key) for key in _list_inputs(collection))
    page = write_gallery(collection, desk)
    return [
        dg.AssetMaterialization(
            asset_key=collection.gallery_key,
            metadata=page.metadata,
            tags={**version_tags(page.sha256), **videos, **orders},
        ),
        dg.AssetMaterialization(
            asset_key=collection.cost_key,
            metadata=cost_metadata(desk.ledger, collection.ledger_name),
            tags={**version_tags(newest), **videos},
        ),
    ]


def _list_inputs(collection: VideoCollection) -> list[dg.AssetKey]:
    return [collection.video_key, collection.order_key]
