"""`python -m tests.contract`: the table, against the emulator or, with --live, the real API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from decimal import Decimal, InvalidOperation

import click
from rich.console import Console

from tests.contract.case import Case
from tests.contract.suite import Result, judge_all, print_table
from tests.contract.target import CHEAP_MODEL, Target
from wiro_dagster.api.client import DEFAULT_BASE_URL
from wiro_dagster.emulator import Emulator

WEBSOCKET_URL = "wss://socket.wiro.ai/v1"


def _usd(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise click.BadParameter("write an amount in USD, such as 1.50")
    return amount


@click.command()
@click.option("--live", is_flag=True, help="Call the real API with WIRO_API_KEY.")
@click.option(
    "--spend-limit",
    "limit_usd",
    callback=_usd,
    metavar="USD",
    help="With --live: also run what writes or costs money, up to this sum. Every run is quoted "
    "first. 0 allows what is free: folders and uploads, which stay in the account.",
)
@click.option("--model", default=CHEAP_MODEL, show_default=True, help="What paid cases run.")
def main(live: bool, limit_usd: Decimal | None, model: str) -> None:
    """Holds client and service against the API document, and prints the table."""
    if limit_usd is not None and not live:
        raise click.UsageError("--spend-limit belongs to --live: the emulator costs nothing.")
    console = Console()
    results = _judge_live(console, limit_usd, model) if live else _judge_emulator()
    print_table(results, console)
    if any(result.verdict == "BROKEN" for result in results):
        raise click.exceptions.Exit(1)


def _judge_emulator() -> list[Result]:
    with Emulator.start(task_seconds=1.0, tiny_videos=True) as emulator:

        def open_target(_: Case) -> AbstractContextManager[Target]:
            return Target.on_emulator(emulator)

        return judge_all(open_target, lambda _: None)


def _judge_live(console: Console, limit_usd: Decimal | None, model: str) -> list[Result]:
    if os.environ.get("CI"):
        raise click.ClickException("The real API is never called from CI. Run this by hand.")
    key = os.environ.get("WIRO_API_KEY")
    if not key:
        raise click.ClickException(
            "WIRO_API_KEY is not set. Set it, and WIRO_API_SECRET for a project of the signature "
            "kind."
        )
    base_url = os.environ.get("WIRO_BASE_URL") or DEFAULT_BASE_URL
    spends = "reads only" if limit_usd is None else f"spends up to {limit_usd} USD"
    console.print(f"Calling {base_url}: {spends}.")
    with _service(key, base_url, model, limit_usd) as target:
        results = judge_all(lambda _: nullcontext(target), lambda case: _why_not(case, limit_usd))
        spending = target.spending
    if spending is not None and limit_usd is not None:
        console.print(f"Bought for {spending.committed_usd} USD at most, by their quotes.")
    return results


@contextmanager
def _service(key: str, base_url: str, model: str, limit_usd: Decimal | None) -> Iterator[Target]:
    with Target.on_service(
        key=key,
        secret=os.environ.get("WIRO_API_SECRET") or None,
        base_url=base_url,
        websocket_url=os.environ.get("WIRO_WEBSOCKET_URL") or WEBSOCKET_URL,
        model=model,
        limit_usd=limit_usd or Decimal(0),
    ) as target:
        yield target


def _why_not(case: Case, limit_usd: Decimal | None) -> str | None:
    if case.needs == "emulator":
        return "needs the emulator's faults and clock"
    if case.needs == "read" or limit_usd is not None:
        return None
    return "give --spend-limit to run what writes or costs"


if __name__ == "__main__":
    main(prog_name="python -m tests.contract")
