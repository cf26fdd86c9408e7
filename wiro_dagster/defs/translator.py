"""How a collection's assets look in Dagster: keys, groups, descriptions, owners, tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import dagster as dg

AssetName = Literal["prompt", "video_order", "video", "video_gallery", "video_costs"]
"""The assets of a collection, by the names that they have unless a translator changes them."""

_KIND_TAG = "dagster/kind/"


@dataclass(frozen=True)
class VideoAssetProps:
    """One asset of a collection, as a translator sees it.

    Args:
        asset: which of the collection's assets.
        collection: the collection's name; empty for the default collection.
        spec: how the asset looks by default.
    """

    asset: AssetName
    collection: str
    spec: dg.AssetSpec


class VideoTranslator:
    """Decides how the assets of a collection look. Subclass it to change them.

    A collection uses key, group, description, owners, tags, kinds, metadata, automation condition
    and freshness policy of the returned spec. The ledger knows the collection by its name, so a
    changed key neither orders anything again nor loses an order.

    Example:
        class MediaTranslator(VideoTranslator):
            def get_asset_spec(self, props: VideoAssetProps) -> dg.AssetSpec:
                spec = super().get_asset_spec(props)
                return spec.replace_attributes(
                    key=spec.key.with_prefix("media"), owners=["team:media"]
                )
    """

    def get_asset_spec(self, props: VideoAssetProps) -> dg.AssetSpec:
        """Return how an asset looks in Dagster.

        Args:
            props: which asset, and its default.
        """
        return props.spec


class AssetArguments(TypedDict):
    """Arguments of `@dg.asset`."""

    key: dg.AssetKey
    group_name: str | None
    description: str | None
    owners: Sequence[str]
    tags: Mapping[str, str]
    kinds: set[str]
    metadata: Mapping[str, Any]
    automation_condition: dg.AutomationCondition[Any] | None
    freshness_policy: dg.FreshnessPolicy | None


def asset_arguments(spec: dg.AssetSpec) -> AssetArguments:
    """Return the arguments of `@dg.asset` that make an asset look like a spec."""
    tags = {name: value for name, value in spec.tags.items() if not name.startswith(_KIND_TAG)}
    return {
        "key": spec.key,
        "group_name": spec.group_name,
        "description": spec.description,
        "owners": list(spec.owners),
        "tags": tags,
        "kinds": set(spec.kinds),
        "metadata": dict(spec.metadata),
        "automation_condition": spec.automation_condition,
        "freshness_policy": spec.freshness_policy,
    }
