"""The asset `video_costs`: the ledger's books as a table in Dagster."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.

from decimal import Decimal

import dagster as dg

from wiro_dagster.costs import COST_GROUPINGS, CostRow, add_up_costs
from wiro_dagster.resources import LedgerResource


def build_cost_asset(
    *, ledger: str = "wiro_ledger", key: str = "video_costs", group_name: str = "wiro"
) -> dg.AssetsDefinition:
    """Builds an asset whose materialization says what was spent, over all collections of a ledger.

    Totals are numbers, which Dagster plots over time; the tables by day, model, collection and
    prompt are those of `wiro-dagster costs`. Put a schedule on it.

    Args:
        ledger: resource key of the `LedgerResource`.
        key: asset key.
        group_name: asset group.
    """

    @dg.asset(
        key=key,
        required_resource_keys={ledger},
        group_name=group_name,
        kinds={"wiro"},
        description="What Wiro charged, by day, model, collection and prompt.",
    )
    def video_costs(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        resource: LedgerResource = getattr(context.resources, ledger)
        books = resource.get_ledger()
        tables = {grouping: add_up_costs(books, grouping) for grouping in COST_GROUPINGS}
        collections = tables["collection"]
        return dg.MaterializeResult(
            metadata={
                "wiro/spent_usd": float(sum((r.spent_usd for r in collections), Decimal(0))),
                "wiro/committed_usd": float(
                    sum((r.committed_usd for r in collections), Decimal(0))
                ),
                "wiro/orders": sum(row.orders for row in collections),
                **{
                    f"wiro/costs_by_{grouping}": _table(rows)
                    for grouping, rows in tables.items()
                    if rows
                },
            }
        )

    return video_costs


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
