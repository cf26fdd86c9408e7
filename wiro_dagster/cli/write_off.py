"""`wiro-dagster orders write-off`: a lost POST that bought nothing stops counting."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import datetime, timezone

import click

from wiro_dagster.cli.books import open_context
from wiro_dagster.cli.ledger_option import with_ledger
from wiro_dagster.ledger import Ledger
from wiro_dagster.orders.write_off import Evidence, find_evidence


@click.command("write-off")
@click.argument("order_id", type=int)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Write off although Wiro's list does not prove it.")
@with_ledger
def write_off(order_id: int, *, yes: bool, force: bool, ledger: Ledger) -> None:
    """Take an order's lost POSTs off the budget: Wiro made no task of them.

    Wiro's list is compared with the books first. The POSTs stay on record with your name. If a task
    turns up after all, it counts again.
    """
    order = ledger.get(order_id)
    if not ledger.list_lost(order_id):
        raise click.ClickException(
            f"{order.name} has no lost POST to write off. One that is still looked for is ended "
            "first, with orders abandon or orders resend."
        )
    with open_context(ledger, collection=order.collection) as context:
        if order.account != context.account:
            raise click.ClickException(f"Only account {order.account} can look {order.name} up.")
        found = find_evidence(context, order)
    for evidence in found:
        click.echo(_describe(evidence))
    doubtful = [evidence for evidence in found if evidence.objections]
    if doubtful and not force:
        raise click.ClickException(
            "Nothing is written off: it may have been bought. Look at Wiro's own list; if you know "
            "that it was not, repeat the command with --force."
        )
    if not found:
        click.echo(f"{order.name}: its task was found, so there is nothing to write off.")
        return
    if not yes:
        click.confirm(f"Take {len(found)} lost POSTs off the budget?", abort=True)
    done = sum(_note(ledger, evidence) for evidence in found)
    click.echo(f"{order.name}: {done} lost POSTs no longer count.")


def _note(ledger: Ledger, evidence: Evidence) -> int:
    why = (
        "; ".join(evidence.objections)
        or f"none of the {evidence.listed} listed tasks belongs to it"
    )
    return ledger.write_off([evidence.record.id], by=_find_user(), why=why)


def _describe(evidence: Evidence) -> str:
    record, objections = evidence.record, evidence.objections
    sent = datetime.fromtimestamp(record.claimed_at, tz=timezone.utc)
    amount = "an unknown amount" if record.ceiling_usd is None else f"{record.ceiling_usd:f} USD"
    proof = (
        f"It may have been bought: {_join(objections)}."
        if objections
        else f"Wiro lists {evidence.listed} tasks since then, and none belongs to it."
    )
    return f"Sent on {sent:%Y-%m-%d at %H:%M} UTC, counts {amount}. {proof}"


def _join(objections: Sequence[str]) -> str:
    more = f"; and {len(objections) - 5} more" if len(objections) > 5 else ""  # noqa: PLR2004
    return "; ".join(objections[:5]) + more


def _find_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return "unknown"
