"""Tables on a terminal and in a pipe, without losing a character.

On a terminal, long cells fold. In a pipe, each row is one line as long as it needs to be, so that
`grep`, `awk` and `cut` find whole ids and slugs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wiro_dagster.catalogue.escaping import terminal_text

_GAP = "  "


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        title: its header.
        justify: where its text stands.
        is_wide: whether only `--wide` shows it.
    """

    title: str
    justify: Literal["left", "right"] = "left"
    is_wide: bool = False


wide_option = click.option("--wide", is_flag=True, help="Show all columns.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
limit_option = click.option(
    "--limit", type=click.IntRange(1), help="Show only so many rows: the newest, or the first."
)


def print_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    wide: bool = False,
    footer: Sequence[str] | None = None,
) -> None:
    """Print a table to stdout, folded on a terminal and one line for each row in a pipe.

    Args:
        columns: all of them.
        rows: a cell for each column.
        wide: whether to show the wide columns too.
        footer: a last row.
    """
    table = [*rows] if footer is None else [*rows, footer]
    if sys.stdout.isatty():
        Console().print(build_table(columns, table, wide=wide))
        return
    shown = [i for i, column in enumerate(columns) if wide or not column.is_wide]
    lines = [[columns[i].title for i in shown]]
    lines += [[_one_line(row[i]) for i in shown] for row in table]
    widths = [max(cell_len(line[i]) for line in lines) for i in range(len(shown))]
    for line in lines:
        cells = (
            _pad(cell, width, columns[i].justify)
            for cell, width, i in zip(line, widths, shown, strict=True)
        )
        click.echo(_GAP.join(cells).rstrip())


def build_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, wide: bool = False
) -> Table:
    """Build a table for a terminal. Long cells fold; text is never taken for markup."""
    table = Table()
    shown = [i for i, column in enumerate(columns) if wide or not column.is_wide]
    for i in shown:
        table.add_column(columns[i].title, justify=columns[i].justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(terminal_text(row[i])) for i in shown))
    return table


def _one_line(text: str) -> str:
    return " ".join(terminal_text(text).split())


def _pad(cell: str, width: int, justify: str) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if justify == "right" else cell + space
