"""`wiro-dagster orders`: what is under way, and what a person can decide about it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import get_args

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from wiro_dagster.cli.project import find_ledger_url
from wiro_dagster.ledger import Ledger, Order, OrderState
from wiro_dagster.orders.describe import describe_state

_WATCH_SECONDS = 1.0
_ALL: tuple[OrderState, ...] = get_args(OrderState)


@click.group(invoke_without_command=True)
@click.option(
    "--ledger",
    "url",
    envvar="WIRO_LEDGER_URL",
    help="SQLAlchemy URL. Default: the ledger under DAGSTER_HOME, else that of make dev.",
)
@click.option("--state", "states", multiple=True, type=click.Choice(_ALL), help="Only these.")
@click.option("--partition", "partitions", multiple=True, help="Only these.")
@click.option("--watch", is_flag=True, help="Go on showing them until Ctrl-C.")
@click.pass_context
def orders(
    context: click.Context,
    url: str | None,
    states: Sequence[OrderState],
    partitions: Sequence[str],
    watch: bool,
) -> None:
    """Lists the ledger's orders, newest last; subcommands act on them."""
    ledger = Ledger(url or find_ledger_url())
    context.obj = ledger
    if context.invoked_subcommand is not None:
        return

    def table() -> Table:
        found = ledger.list_orders(states=states or None, partitions=partitions or None)
        return _orders_table(found)

    console = Console()
    if not watch:
        console.print(table())
        return
    with Live(table(), console=console) as live:
        while True:
            time.sleep(_WATCH_SECONDS)
            live.update(table())


@orders.command()
@click.argument("order_ids", type=int, nargs=-1, required=True)
@click.pass_obj
def recover(ledger: Ledger, order_ids: Sequence[int]) -> None:
    """Tries again to fetch the files of orders that are paid for but uncollected."""
    for order_id in order_ids:
        order = ledger.get(order_id)
        if ledger.recover(order_id):
            click.echo(f"{order.name}: the next tick of the sensor fetches its files again.")
        else:
            click.echo(f"{order.name} is {order.state}: there is nothing to recover.")


@orders.command()
@click.argument("order_id", type=int)
@click.argument("task_id")
@click.pass_obj
def adopt(ledger: Ledger, order_id: int, task_id: str) -> None:
    """Says that TASK_ID is what became of an order whose answer was lost."""
    order = ledger.get(order_id)
    outcome = ledger.note_task(order, task_id, due_at=ledger.clock())
    if outcome == "taken":
        raise click.ClickException(f"Task {task_id} belongs to another order already.")
    if outcome == "extra":
        click.echo(
            f"{order.name} has task {order.task_id}; task {task_id} is kept on the books as an "
            "order of its own."
        )
        return
    click.echo(f"{order.name}: follows task {task_id} from the next tick on.")


@orders.command()
@click.argument("order_id", type=int)
@click.pass_obj
def abandon(ledger: Ledger, order_id: int) -> None:
    """Gives an order up: dropped where nothing was sent, cancelled at Wiro where a task runs.

    An order whose answer was lost ends without another look. If it was bought after all, its video
    is lost: look at Wiro's own list of tasks first.
    """
    order = ledger.get(order_id)
    if order.state == "unknown":
        if not ledger.abandon_unknown(order):
            raise click.ClickException(f"{order.name} has moved on meanwhile. Look at it again.")
        click.echo(f"{order.name} is given up.")
        return
    if not ledger.request_stop(order_id, state="cancelled", reason="Given up by a person."):
        raise click.ClickException(f"{order.name} is {order.state}: it has ended already.")
    click.echo(f"{order.name}: is cancelled with the next tick.")


@orders.command()
@click.argument("order_id", type=int)
@click.pass_obj
def resend(ledger: Ledger, order_id: int) -> None:
    """Submit an order of unknown outcome once more. If it was bought, it is paid for twice."""
    order = ledger.get(order_id)
    if order.state != "unknown" or not ledger.send_again(order):
        raise click.ClickException(
            f"{order.name} is {order.state}. Only an order in state unknown can be sent again."
        )
    click.echo(f"{order.name}: is submitted with the next tick; its lost POST stays on the books.")


@orders.command()
@click.argument("order_id", type=int)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def reorder(ledger: Ledger, order_id: int, *, yes: bool) -> None:
    """Let a video be ordered again that was billed and brought nothing."""
    order = ledger.get(order_id)
    if not order.is_billed_failure:
        raise click.ClickException(
            f"{order.name} is {order.state} and was not billed: materialize it to order it again."
        )
    click.echo(f"{order.name}: {describe_state(order)}")
    price = "an unknown price" if order.quote_usd is None else f"{order.quote_usd:f} USD"
    if not yes:
        click.confirm(f"Allow it to be bought again for {price}?", abort=True)
    ledger.free_to_repeat(order_id)
    click.echo(f"{order.name}: materialize video_order to order it again.")


def _orders_table(found: Sequence[Order]) -> Table:
    table = Table("order", "partition", "model", "state", "task", "quote", "cost, USD", "since", "")
    for order in found:
        table.add_row(
            str(order.id),
            f"{order.collection}: {order.partition}",
            order.model_slug,
            order.state,
            order.task_id or "",
            "" if order.quote_usd is None else f"{order.quote_usd:f}",
            "" if order.cost_usd is None else f"{order.cost_usd:f}",
            f"{datetime.fromtimestamp(order.created_at, tz=timezone.utc):%Y-%m-%d %H:%M:%S}",
            describe_state(order),
        )
    return table
