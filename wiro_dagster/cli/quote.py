"""`wiro-dagster quote`: what the prompts of a file would cost, without ordering anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from wiro_dagster.cli.account import build_catalogue, model_folder_option, open_client
from wiro_dagster.cli.prompts import allowed_folders_option, find_prompt_file, plain
from wiro_dagster.pricing import LONGEST_RUN_SECONDS, Quote, quote_run
from wiro_dagster.prompts import Prompt, load_prompt_file


@dataclass(frozen=True)
class QuotedPrompt:
    """A prompt and its price."""

    prompt: Prompt
    quote: Quote


@dataclass
class QuoteSum:
    """What several prompts cost together; money in USD.

    Args:
        count: how many prompts.
        amount_usd: the expected costs that are known.
        ceiling_usd: the highest costs that are known.
        unknown: how many have no expected cost.
        unbounded: how many have no highest cost.
    """

    count: int = 0
    amount_usd: Decimal = Decimal(0)
    ceiling_usd: Decimal = Decimal(0)
    unknown: int = 0
    unbounded: int = 0

    def add(self, quote: Quote) -> None:
        """Count one more."""
        self.count += 1
        self.amount_usd += quote.amount_usd or 0
        self.ceiling_usd += quote.ceiling_usd or 0
        self.unknown += quote.amount_usd is None
        self.unbounded += quote.ceiling_usd is None

    @property
    def amount(self) -> str:
        """The expected cost as text; `+ ?` if a part of it is not known."""
        return _sum_text(self.amount_usd, self.unknown)

    @property
    def ceiling(self) -> str:
        """The highest cost as text; `+ ?` if a part of it is not known."""
        return _sum_text(self.ceiling_usd, self.unbounded)


@click.command()
@click.argument(
    "prompt_file",
    required=False,
    type=click.Path(path_type=Path, dir_okay=False),
)
@model_folder_option
@allowed_folders_option
@click.option(
    "--longest-run-seconds",
    default=LONGEST_RUN_SECONDS,
    show_default=True,
    help="When a run would be stopped; bounds what is billed by the second.",
)
def quote(
    prompt_file: Path | None,
    model_folder: Path | None,
    allowed_folders: tuple[Path, ...],
    longest_run_seconds: float,
) -> None:
    """Prices the prompts of PROMPT_FILE. Nothing is ordered.

    Without PROMPT_FILE it is the one that WIRO_PROMPT_FILE names, else examples/prompts.yaml.
    Prices come from Wiro, with the account of WIRO_API_KEY. Only successful runs are billed.
    """
    file = prompt_file or find_prompt_file()
    with open_client() as client:
        catalogue = build_catalogue(client, model_folder)
        found = load_prompt_file(file, catalogue, allowed_folders=allowed_folders)
        quoted = [
            QuotedPrompt(
                prompt,
                quote_run(
                    catalogue,
                    prompt.model_slug,
                    prompt.inputs,
                    longest_run_seconds=longest_run_seconds,
                ),
            )
            for prompt in found.prompts.values()
        ]
    console = Console()
    console.print(_prompt_table(quoted))
    console.print(_model_table(quoted))
    for line in _list_unknown(quoted):
        console.print(plain(line), highlight=False)
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    for problem in found.problems:
        click.echo(f"Not priced: {problem}", err=True)
    if found.problems:
        raise click.exceptions.Exit(1)


def _prompt_table(quoted: Iterable[QuotedPrompt]) -> Table:
    table = Table("prompt", "model")
    for name in ("quote, USD", "at most, USD"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("kind")
    table.add_column("how it was found", ratio=1)
    for item in quoted:
        table.add_row(
            plain(item.prompt.id),
            item.prompt.model_slug,
            _amount_text(item.quote.amount_usd),
            _amount_text(item.quote.ceiling_usd),
            item.quote.kind,
            plain(item.quote.note),
        )
    return table


def _model_table(quoted: Iterable[QuotedPrompt]) -> Table:
    sums: dict[str, QuoteSum] = defaultdict(QuoteSum)
    total = QuoteSum()
    for item in quoted:
        sums[item.prompt.model_slug].add(item.quote)
        total.add(item.quote)
    table = Table("model", show_footer=True)
    for name in ("prompts", "quote, USD", "at most, USD"):
        table.add_column(name, justify="right", no_wrap=True)
    for slug, part in sums.items():
        table.add_row(slug, str(part.count), part.amount, part.ceiling)
    footers = ("total", str(total.count), total.amount, total.ceiling)
    for column, footer in zip(table.columns, footers, strict=True):
        column.footer = footer
    return table


def _list_unknown(quoted: Iterable[QuotedPrompt]) -> Iterable[str]:
    for item in quoted:
        if item.quote.amount_usd is None:
            method = item.quote.method or "no price method"
            yield f"Not known before the run: {item.prompt.id} ({method}): {item.quote.note}"


def _amount_text(amount: Decimal | None) -> str:
    return "?" if amount is None else f"{amount:f}"


def _sum_text(amount: Decimal, missing: int) -> str:
    if not missing:
        return f"{amount:f}"
    return f"{amount:f} + ?" if amount else "?"
