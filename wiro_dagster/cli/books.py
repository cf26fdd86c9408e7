"""`wiro-dagster audit` and `wiro-dagster ledger`: compare the ledger with its evidence."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import dagster as dg

from wiro_dagster.cli.account import build_catalogue, open_client
from wiro_dagster.cli.ledger_option import create_ledger, ledger_option, open_ledger
from wiro_dagster.defs.evidence import read_event_log
from wiro_dagster.ledger import Ledger, OrderRequest
from wiro_dagster.orders import OrderContext
from wiro_dagster.orders.audit import Audit, audit
from wiro_dagster.orders.evidence import EventLog, Rebuild, rebuild
from wiro_dagster.orders.models import Models
from wiro_dagster.orders.requests import build_request
from wiro_dagster.prompts import load_prompt_file
from wiro_dagster.resources.places import build_video_store


@click.command("audit")
@ledger_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--accept",
    "accepted",
    multiple=True,
    help="Accept a task: another user's, a second one of ours, one at a changed or missing cost.",
)
def audit_command(url: str | None, *, as_json: bool, accepted: tuple[str, ...]) -> None:
    """Compare the ledger with Wiro's list of tasks.

    The exit status is 0 if every task is explained and every cost is equal, and 1 if not.
    """
    with open_context(open_ledger(url)) as context:
        if accepted:
            found = audit(context)
            context.ledger.note_strays(context.account, found.list_strays())
            context.ledger.accept_strays(context.account, accepted, "accepted by the user")
            context.ledger.accept_costs(context.account, accepted)
        found = audit(context)
    click.echo(json.dumps(found.to_json(), indent=2) if as_json else _describe_audit(found))
    sys.exit(0 if found.is_clean else 1)


@click.group("ledger")
def ledger_command() -> None:
    """Look after the ledger itself."""


@ledger_command.command("rebuild")
@ledger_option
@click.option("--collection", default="video", show_default=True, help="The video asset's key.")
@click.option("--force", is_flag=True, help="Buy again although the evidence may be incomplete.")
def rebuild_command(url: str | None, collection: str, *, force: bool) -> None:
    """Fill the ledger from the evidence: the event log, the store's notes, Wiro's list of tasks.

    Dagster's event log is read if DAGSTER_HOME is set.

    The exit status is 0 if the ledger may buy again, and 1 if the evidence is in doubt.
    """
    with open_context(create_ledger(url), collection=collection) as context:
        events = _read_event_log(context)
        found = rebuild(context, _list_requests(context), events=events, force=force)
        behind = context.ledger.identity().behind
    click.echo(_describe_rebuild(found))
    if found.doubts and not force:
        click.echo("The ledger does not buy yet. Try again later, or run it with --force.")
    sys.exit(1 if behind is not None or (found.doubts and not force) else 0)


@contextmanager
def open_context(ledger: Ledger, *, collection: str = "video") -> Iterator[OrderContext]:
    """Open what the environment names, with the settings of `definitions.py`."""
    store = build_video_store(os.environ.get("WIRO_VIDEO_STORE") or "videos")
    with open_client() as client:
        key_hash = hashlib.sha256(os.environ["WIRO_API_KEY"].encode()).hexdigest()[:16]
        yield OrderContext(
            ledger=ledger,
            client=client,
            store=store.get_store(),
            quoter=Models(ledger, client).quote,
            account=ledger.find_account_of_key(key_hash) or key_hash,
            collection=collection,
        )


def _read_event_log(context: OrderContext) -> EventLog | None:
    if not os.environ.get("DAGSTER_HOME"):
        return None
    with dg.DagsterInstance.get() as instance:
        return read_event_log(instance, context)


def _list_requests(context: OrderContext) -> list[OrderRequest]:
    """Return what the present prompts ask for."""
    path = Path(os.environ.get("WIRO_PROMPT_FILE") or "examples/prompts.yaml")
    if not path.exists():
        return []
    prompts = load_prompt_file(path, build_catalogue(context.client, None)).prompts
    return [
        build_request(context, prompt.id, take, version=prompt.fingerprint)
        for prompt in prompts.values()
        for take in prompt.list_takes()
    ]


def _describe_audit(found: Audit) -> str:
    lines = [f"{found.tasks} tasks at Wiro, {found.orders} of them on the books."]
    lines += [
        f"No order explains task {task.id}: {task.model_slug}, {task.cost_usd} USD."
        for task in found.unexplained
    ]
    lines += [
        f"Order {difference.order_id}, task {difference.task_id}: {difference.ours_usd} USD on the "
        f"books, {difference.wiro_usd} USD at Wiro."
        for difference in found.differences
    ]
    if found.unexplained:
        lines.append("Accept tasks of others with --accept TASK_ID.")
    return "\n".join(lines)


def _describe_rebuild(found: Rebuild) -> str:
    lines = [
        f"{len(found.owned)} videos in the store are back on the books.",
        f"{len(found.followed)} tasks at Wiro are followed again.",
    ]
    lines += [
        f"Task {stray.task_id} ({stray.model_slug}, {stray.cost_usd} USD) was bought by this "
        "collection, but belongs to no present prompt."
        for stray in found.unexplained
    ]
    lines += [f"In doubt: {doubt}." for doubt in found.doubts]
    return "\n".join(lines)
