"""`wiro-dagster takes`: the takes of prompts that have several, and which one is shown."""

from __future__ import annotations

import getpass
import json
from typing import Any

import click

from wiro_dagster.cli.ledger_option import (
    describe_ledger,
    ledger_option,
    open_ledger,
    with_ledger,
)
from wiro_dagster.cli.tables import Column, json_option, print_table
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.orders.describe import describe_state

_COLUMNS = (
    Column("partition"),
    Column("take", justify="right"),
    Column("shown"),
    Column("order", justify="right"),
    Column("state"),
    Column("USD", justify="right"),
    Column("file, or what happens"),
)
_collection_option = click.option("--collection", help="Only this one, such as video or ads/video.")


@click.group(invoke_without_command=True)
@ledger_option
@_collection_option
@click.option("--partition", help="Only this one.")
@json_option
@click.pass_context
def takes(
    context: click.Context,
    url: str | None,
    collection: str | None,
    partition: str | None,
    as_json: bool,
) -> None:
    """List the takes of prompts that have several. `takes choose` shows another one."""
    context.obj = url
    if context.invoked_subcommand is not None:
        return
    found = open_ledger(url).list_takes(collection=collection, partition=partition)
    if as_json:
        click.echo(json.dumps([_to_json(order) for order in found], indent=2))
        return
    click.echo(describe_ledger(url))
    print_table(_COLUMNS, map(_row, found))


@takes.command()
@click.argument("partition")
@click.argument("take", type=click.IntRange(1))
@click.option("--collection", default="video", show_default=True, help="Such as ads/video.")
@click.option("--by", help="Who chooses. Default: the user of this machine.")
@with_ledger
def choose(partition: str, take: int, *, collection: str, by: str | None, ledger: Ledger) -> None:
    """Show another take of a prompt from now on. It costs nothing, and can be changed."""
    order = ledger.choose_take(collection, partition, take, by=by or getpass.getuser())
    when = "with the next tick of the sensor" if order.state == "stored" else "already"
    click.echo(f"{order.name}: take {take} is shown {when}.")


def _row(order: Order) -> list[str]:
    place = order.files[0]["uri"] if order.is_owned else describe_state(order)
    cost = order.cost_usd if order.cost_usd is not None else order.quote_usd
    return [
        order.partition,
        str(order.take),
        _describe_choice(order),
        str(order.id),
        order.state,
        "?" if cost is None else f"{cost:f}",
        place,
    ]


def _describe_choice(order: Order) -> str:
    if not _is_shown(order):
        return ""
    return "yes" if order.chosen_by is None else f"chosen by {order.chosen_by}"


def _is_shown(order: Order) -> bool:
    return order.is_owned and order.superseded_by is None


def _to_json(order: Order) -> dict[str, Any]:
    return {
        "collection": order.collection,
        "partition": order.partition,
        "take": order.take,
        "is_shown": _is_shown(order),
        "chosen_by": order.chosen_by,
        "chosen_at": order.chosen_at,
        "order": order.id,
        "state": order.state,
        "cost_usd": None if order.cost_usd is None else f"{order.cost_usd:f}",
        "uri": order.files[0]["uri"] if order.is_owned else None,
    }
