"""`wiro-dagster orders`: what is under way, and what can be decided about it."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, get_args

import click
from rich.console import Console
from rich.live import Live

from wiro_dagster.cli.ledger_option import (
    describe_ledger,
    ledger_option,
    open_ledger,
    with_ledger,
)
from wiro_dagster.cli.tables import (
    Column,
    build_table,
    json_option,
    limit_option,
    print_table,
    wide_option,
)
from wiro_dagster.cli.write_off import write_off
from wiro_dagster.ledger import UNSENT, Ledger, Order, OrderState, Proposal
from wiro_dagster.orders.approval import list_proposed_orders
from wiro_dagster.orders.describe import describe_state

_WATCH_SECONDS = 1.0
_ALL: tuple[OrderState, ...] = get_args(OrderState)
_COLUMNS = (
    Column("order", justify="right"),
    Column("partition"),
    Column("state"),
    Column("USD", justify="right"),
    Column("collection", is_wide=True),
    Column("model", is_wide=True),
    Column("task", is_wide=True),
    Column("quote, USD", justify="right", is_wide=True),
    Column("since", is_wide=True),
    Column("priority", justify="right", is_wide=True),
    Column("approved by", is_wide=True),
    Column("what happens"),
)
_PROPOSED_COLUMNS = (
    Column("order", justify="right"),
    Column("partition"),
    Column("collection"),
    Column("model"),
    Column("quote, USD", justify="right"),
    Column("at most, USD", justify="right"),
)


@click.group(invoke_without_command=True)
@ledger_option
@click.option("--state", "states", multiple=True, type=click.Choice(_ALL), help="Only these.")
@click.option("--partition", "partitions", multiple=True, help="Only these.")
@limit_option
@wide_option
@json_option
@click.option("--watch", is_flag=True, help="Keep showing them until Ctrl-C.")
@click.pass_context
def orders(
    context: click.Context,
    url: str | None,
    states: Sequence[OrderState],
    partitions: Sequence[str],
    limit: int | None,
    wide: bool,
    as_json: bool,
    watch: bool,
) -> None:
    """List the ledger's orders, newest last. Subcommands act on single orders."""
    context.obj = url
    if context.invoked_subcommand is not None:
        return
    ledger = open_ledger(url)

    def find() -> list[Order]:
        found = ledger.list_orders(states=states or None, partitions=partitions or None)
        return found[-limit:] if limit else found

    if as_json:
        click.echo(json.dumps([_to_json(order) for order in find()], indent=2))
        return
    click.echo(describe_ledger(url))
    if watch:
        _watch(find, wide=wide)
    print_table(_COLUMNS, map(_row, find()), wide=wide)


def _watch(find: Callable[[], list[Order]], *, wide: bool) -> None:
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            live.update(build_table(_COLUMNS, map(_row, find()), wide=wide), refresh=True)
            time.sleep(_WATCH_SECONDS)


@orders.command()
@click.argument("order_ids", type=int, nargs=-1, required=True)
@with_ledger
def recover(order_ids: Sequence[int], *, ledger: Ledger) -> None:
    """Download the files of orders again that are paid for but uncollected."""
    for order_id in order_ids:
        order = ledger.get(order_id)
        if ledger.recover(order_id):
            click.echo(f"{order.name}: the next tick of the sensor downloads its files again.")
        else:
            click.echo(f"{order.name} is {order.state}: there is nothing to recover.")


@orders.command()
@click.argument("order_id", type=int)
@click.argument("task_id")
@with_ledger
def adopt(order_id: int, task_id: str, *, ledger: Ledger) -> None:
    """Assign TASK_ID to an order whose answer was lost."""
    order = ledger.get(order_id)
    outcome = ledger.note_task(order, task_id, due_at=ledger.clock())
    if outcome == "taken":
        raise click.ClickException(f"Task {task_id} already belongs to another order.")
    if outcome == "known":
        click.echo(
            f"{order.name} has that task already and is {order.state}. To look at the task again: "
            f"wiro-dagster orders recover {order_id}"
        )
        return
    if outcome == "extra":
        click.echo(
            f"{order.name} has task {order.task_id}; task {task_id} is kept on the books as an "
            "order of its own. If the first brings no video, materialize video_order: the second "
            "one's is shown, free."
        )
        return
    click.echo(f"{order.name} follows task {task_id} from the next tick on.")


@orders.command()
@click.argument("order_id", type=int)
@with_ledger
def abandon(order_id: int, *, ledger: Ledger) -> None:
    """Abandon an order: drop it if nothing was sent, cancel it at Wiro if its task runs.

    An order whose answer was lost ends without another look. If it was bought after all, its video
    is lost: check Wiro's own list of tasks first.
    """
    order = ledger.get(order_id)
    if order.state == "unknown":
        if not ledger.abandon_unknown(order):
            raise click.ClickException(
                f"{order.name} has changed in the meantime. Check its state again."
            )
        click.echo(f"{order.name} is abandoned.")
        return
    if not ledger.request_stop(order_id, state="cancelled", reason="Abandoned by the user."):
        raise click.ClickException(
            f"{order.name} is {order.state}: it has ended, or is being cancelled."
        )
    when = "at once; nothing was bought" if order.state in UNSENT else "with the next tick"
    click.echo(f"{order.name} is cancelled {when}.")


@orders.command()
@click.argument("order_ids", type=int, nargs=-1)
@click.option("--collection", help="Only this one, such as video or ads/video.")
@click.option("--partition", "partitions", multiple=True, help="Only these.")
@click.option("--by", help="Who approves. Default: the user of this machine.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_ledger
def approve(
    order_ids: Sequence[int],
    *,
    collection: str | None,
    partitions: Sequence[str],
    by: str | None,
    yes: bool,
    ledger: Ledger,
) -> None:
    """Approve orders that wait for it: all of them, or those that you name.

    Lists them with their total, and asks. The sensor then submits them, if the budget allows.
    """
    found = list_proposed_orders(
        ledger, ids=order_ids or None, collection=collection, partitions=partitions or None
    )
    if not found:
        click.echo("No such order waits for approval.")
        return
    print_table(_PROPOSED_COLUMNS, map(_proposed_row, found))
    total = Proposal.of(found).describe()
    click.echo(f"{total}.")
    if not yes:
        click.confirm("Approve?", abort=True)
    approved = set(ledger.approve(found, by=by or getpass.getuser()))
    total = Proposal.of(order for order in found if order.id in approved).describe()
    click.echo(f"Approved: {total}.")
    for order in found:
        if order.id not in approved:
            click.echo(f"{order.name} has changed in the meantime. Look at it again.", err=True)
    if len(approved) < len(found):
        raise SystemExit(1)


@orders.command()
@click.argument("order_id", type=int)
@with_ledger
def resend(order_id: int, *, ledger: Ledger) -> None:
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
@with_ledger
def reorder(order_id: int, *, yes: bool, ledger: Ledger) -> None:
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


orders.add_command(write_off)


def _proposed_row(order: Order) -> list[str]:
    return [
        str(order.id),
        order.partition,
        order.collection,
        order.model_slug,
        _amount(order.quote_usd) or "?",
        _amount(order.ceiling_usd) or "?",
    ]


def _row(order: Order) -> list[str]:
    return [
        str(order.id),
        order.partition,
        order.state,
        _describe_price(order),
        order.collection,
        order.model_slug,
        order.task_id or "",
        _amount(order.quote_usd),
        _time(order.created_at),
        str(order.priority),
        order.approved_by or "",
        _describe(order),
    ]


def _describe(order: Order) -> str:
    tried = "" if order.retry_of is None else f"Try {order.try_number}, after {order.retry_of}. "
    return tried + describe_state(order)


def _describe_price(order: Order) -> str:
    if order.cost_usd is not None:
        return _amount(order.cost_usd)
    return "?" if order.quote_usd is None else f"quote {order.quote_usd:f}"


def _to_json(order: Order) -> dict[str, Any]:
    return {
        "order": order.id,
        "collection": order.collection,
        "partition": order.partition,
        "model": order.model_slug,
        "state": order.state,
        "task_id": order.task_id,
        "quote_usd": _amount(order.quote_usd) or None,
        "cost_usd": _amount(order.cost_usd) or None,
        "try": order.try_number,
        "retry_of": order.retry_of,
        "created_at": order.created_at,
        "priority": order.priority,
        "approved_by": order.approved_by,
        "approved_at": order.approved_at,
        "progress_percent": order.progress_percent,
        "error": order.error,
        "description": describe_state(order),
    }


def _amount(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:f}"


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=timezone.utc):%Y-%m-%d %H:%M:%S}"
