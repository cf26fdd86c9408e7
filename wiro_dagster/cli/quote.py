"""`wiro-dagster quote`: what the prompts of a file would cost, without ordering anything."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from wiro_dagster.catalogue import terminal_text
from wiro_dagster.cli.account import build_catalogue, model_folder_option, open_client
from wiro_dagster.cli.prompts import allowed_folders_option, find_prompt_file
from wiro_dagster.cli.tables import Column, json_option, print_table, wide_option
from wiro_dagster.pricing import LONGEST_RUN_SECONDS, Quote, quote_run
from wiro_dagster.prompts import Prompt, load_prompt_file

_PROMPT_COLUMNS = (
    Column("prompt"),
    Column("model"),
    Column("quote, USD", justify="right"),
    Column("at most, USD", justify="right"),
    Column("how sure"),
    Column("how it was found", is_wide=True),
)
_MODEL_COLUMNS = (
    Column("model"),
    Column("prompts", justify="right"),
    Column("quote, USD", justify="right"),
    Column("at most, USD", justify="right"),
)


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
@wide_option
@json_option
def quote(
    prompt_file: Path | None,
    model_folder: Path | None,
    allowed_folders: tuple[Path, ...],
    longest_run_seconds: float,
    wide: bool,
    as_json: bool,
) -> None:
    """Price the prompts of PROMPT_FILE. Nothing is ordered.

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
            for entry in found.prompts.values()
            for prompt in entry.list_takes()
        ]
    if as_json:
        click.echo(json.dumps([_to_json(item) for item in quoted], indent=2))
    else:
        _print(quoted, wide=wide)
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    for problem in found.problems:
        click.echo(f"Not priced: {problem}", err=True)
    if found.problems:
        raise click.exceptions.Exit(1)


def _name(prompt: Prompt) -> str:
    return prompt.id if prompt.take == 1 else f"{prompt.id} (take {prompt.take})"


def _print(quoted: list[QuotedPrompt], *, wide: bool) -> None:
    print_table(_PROMPT_COLUMNS, map(_prompt_row, quoted), wide=wide)
    click.echo()
    sums: dict[str, QuoteSum] = defaultdict(QuoteSum)
    total = QuoteSum()
    for item in quoted:
        sums[item.prompt.model_slug].add(item.quote)
        total.add(item.quote)
    rows = [_sum_row(slug, part) for slug, part in sums.items()]
    print_table(_MODEL_COLUMNS, rows, footer=_sum_row("total", total))
    for line in _list_unknown(quoted):
        click.echo(terminal_text(line))


def _prompt_row(item: QuotedPrompt) -> list[str]:
    return [
        _name(item.prompt),
        item.prompt.model_slug,
        _amount_text(item.quote.amount_usd),
        _amount_text(item.quote.ceiling_usd),
        item.quote.kind,
        item.quote.note,
    ]


def _sum_row(name: str, part: QuoteSum) -> list[str]:
    return [name, str(part.count), part.amount, part.ceiling]


def _to_json(item: QuotedPrompt) -> dict[str, Any]:
    amounts = {"quote_usd": item.quote.amount_usd, "at_most_usd": item.quote.ceiling_usd}
    return {
        "prompt": item.prompt.id,
        "take": item.prompt.take,
        "model": item.prompt.model_slug,
        **{name: None if amount is None else f"{amount:f}" for name, amount in amounts.items()},
        "kind": item.quote.kind,
        "method": item.quote.method,
        "note": item.quote.note,
    }


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
