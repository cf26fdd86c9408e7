"""Assets for costs: the ledger's totals as tables in Dagster."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

import dagster as dg

from wiro_dagster.defs.translator import asset_arguments
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.costs import COST_GROUPINGS, CostGrouping, CostRow, add_up_costs
from wiro_dagster.resources.account import LedgerResource


def build_cost_asset(
    *,
    ledger: str = "wiro_ledger",
    key: str | dg.AssetKey = "wiro_costs",
    collection: str | None = None,
    group_name: str = "wiro",
    owners: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    deps: Collection[dg.AssetKey] = (),
    translate: Callable[[dg.AssetSpec], dg.AssetSpec] | None = None,
) -> dg.AssetsDefinition:
    """Build an asset whose materialization says what was spent.

    Totals are numbers, which Dagster plots over time; the tables by day, model, collection and
    prompt are those of `wiro-dagster costs`. Put a schedule on it, or an automation condition.

    Each collection already has such an asset, `video_costs`, which follows the videos. This one
    covers all collections of a ledger.

    Args:
        ledger: resource key of the `LedgerResource`.
        key: asset key.
        collection: leave out the costs of others; the video asset's key as text.
        group_name: asset group.
        owners: Dagster owners.
        tags: Dagster tags.
        deps: upstream assets.
        translate: changes how the asset looks in Dagster.
    """
    groupings = _groupings(collection)
    spec = dg.AssetSpec(
        key,
        group_name=group_name,
        kinds={"wiro"},
        owners=list(owners),
        tags=dict(tags or {}),
        description=f"What Wiro charged, by {', '.join(groupings[:-1])} and {groupings[-1]}.",
    )

    @dg.asset(
        **asset_arguments(spec if translate is None else translate(spec)),
        deps=list(deps),
        required_resource_keys={ledger},
    )
    def costs(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        resource: LedgerResource = getattr(context.resources, ledger)
        with closing(resource.get_ledger()) as books:
            return dg.MaterializeResult(metadata=cost_metadata(books, collection))

    return costs


def cost_metadata(books: Ledger, collection: str | None) -> dict[str, Any]:
    """Return the totals and tables of a ledger, or of one of its collections."""
    return _metadata(
        {name: add_up_costs(books, name, collection=collection) for name in _groupings(collection)}
    )


def _groupings(collection: str | None) -> list[CostGrouping]:
    return [name for name in COST_GROUPINGS if name != "collection" or collection is None]


def _metadata(tables: Mapping[CostGrouping, list[CostRow]]) -> dict[str, Any]:
    days = tables["day"]
    return {
        "wiro/spent_usd": float(sum((row.spent_usd for row in days), Decimal(0))),
        "wiro/committed_usd": float(sum((row.committed_usd for row in days), Decimal(0))),
        "wiro/orders": sum(row.orders for row in days),
        **{f"wiro/costs_by_{name}": _table(rows) for name, rows in tables.items() if rows},
    }


def _table(rows: list[CostRow]) -> dg.TableMetadataValue:
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn("name"),
            dg.TableColumn("orders", "int"),
            dg.TableColumn("owned", "int"),
            dg.TableColumn("spent_usd", "float"),
            dg.TableColumn("committed_usd", "float"),
            dg.TableColumn("unknown", "int"),
        ]
    )
    records = [
        dg.TableRecord(
            {
                "name": row.name,
                "orders": row.orders,
                "owned": row.owned,
                "spent_usd": float(row.spent_usd),
                "committed_usd": float(row.committed_usd),
                "unknown": row.unknown,
            }
        )
        for row in rows
    ]
    return dg.MetadataValue.table(records, schema)
