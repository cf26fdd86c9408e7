"""Prompts as rows of a table: a CSV file, or what an upstream asset returns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wiro_dagster.catalogue.plain_text import SourceMapping
from wiro_dagster.catalogue.suggestions import listing, shown
from wiro_dagster.catalogue.values import is_absent
from wiro_dagster.errors import InputError

PROMPT_COLUMNS = ("id", "prompt", "model", "take", "takes", "priority")
_INPUT_PREFIX = "inputs."
_DELIMITERS = (",", ";", "\t")
# Excel's own first line, which tells it how the cells are divided.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t]*', re.IGNORECASE)


class TableRow(SourceMapping):
    """A row as a prompt entry; `columns` are the inputs that its plain columns would be."""

    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read.

    Args:
        line: where it starts, from 1.
        message: what is wrong, and what to do.
        id: its first cell under `id`, if it is known.
    """

    line: int
    message: str
    id: str | None = None


def entries_from_rows(rows: Iterable[object]) -> Iterator[object]:
    """Rows as prompt entries.

    The columns of `PROMPT_COLUMNS` are the entry's own; `inputs` may be a mapping; any other column
    that is not empty may be an input, also if it is written as `inputs.NAME`.
    """
    for row in rows:
        yield _entry(row) if isinstance(row, Mapping) else row


def _entry(row: Mapping[Any, Any]) -> TableRow:
    own: list[tuple[str, Any]] = []
    inputs: list[tuple[str, Any]] = []
    columns: list[str] = []
    for column, value in row.items():
        name = str(column).strip()
        if is_absent(value):
            continue
        if name.casefold() in PROMPT_COLUMNS:
            own.append((name.casefold(), value))
        elif name.casefold() == "inputs" and isinstance(value, Mapping):
            inputs.extend((str(key), item) for key, item in value.items())
        elif name.casefold().startswith(_INPUT_PREFIX):
            inputs.append((name[len(_INPUT_PREFIX) :], value))
        else:
            inputs.append((name, value))
            columns.append(name)
    entry = TableRow(own, getattr(row, "line", None))
    entry.columns = tuple(columns)
    if inputs:
        entry["inputs"] = SourceMapping(inputs)
    return entry


def rows_from_csv(text: str, source: str) -> list[SourceMapping | BadRow]:
    """The rows of a CSV text with a header line; divided by comma, semicolon or tab.

    A row that cannot be read is one `BadRow`; reading goes on with the next line.

    Raises:
        InputError: the header line cannot be used.
    """
    lines = list(io.StringIO(text, newline=None))
    delimiter, start = _find_delimiter(lines)
    columns: list[str] = []
    rows: list[SourceMapping | BadRow] = []
    for line, cells in _read_cells(lines, delimiter, start):
        if isinstance(cells, list) and not any(cell.strip() for cell in cells):
            continue
        if not columns:
            columns = _columns(cells, line, source)
        elif isinstance(cells, str):
            rows.append(BadRow(line, cells))
        else:
            rows.append(_row(columns, cells, line))
    if not columns:
        raise InputError(f"{source} is empty. Start it with a header line: id,prompt,model")
    return rows


class _Lines:
    """Lines for a CSV reader, which can be set back after a row that swallowed others."""

    def __init__(self, lines: list[str], at: int) -> None:
        self._lines = lines
        self.at = at

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.at >= len(self._lines):
            raise StopIteration
        self.at += 1
        return self._lines[self.at - 1]


def _read_cells(
    lines: list[str], delimiter: str, start: int
) -> Iterator[tuple[int, list[str] | str]]:
    """Each row's line, from 1, and its cells, or what is wrong with it."""
    feed = _Lines(lines, start)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        line = feed.at + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # An unclosed quotation mark swallows the rows below it, so they are read again
            # without it.
            feed.at = line
            yield (
                line,
                f"this row is not CSV: {error}. Put text that holds quotation marks in quotation "
                'marks, and write those inside it twice: "a ""big"" fox".',
            )
        else:
            yield line, cells


def _find_delimiter(lines: list[str]) -> tuple[str, int]:
    """What divides the cells, and the index of the line that the table starts with."""
    for index, line in enumerate(lines):
        stated = _SEPARATOR_LINE.fullmatch(line.strip("\ufeff\r\n "))
        if stated:
            return stated[1], index + 1
        if line.strip():
            by_id = [d for d in _DELIMITERS if "id" in _header_cells(line, d)]
            return max(by_id or _DELIMITERS, key=line.count), index
    return _DELIMITERS[0], 0


def _header_cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip('\ufeff "\r\n').casefold() for cell in line.split(delimiter)]


def _columns(cells: list[str] | str, line: int, source: str) -> list[str]:
    if isinstance(cells, str):
        raise InputError(f"{source}, line {line}: {cells}")
    columns = [cell.strip("\ufeff \t") for cell in cells]
    folded = [column.casefold() for column in columns]
    if "id" not in folded:
        raise InputError(
            f"{source}: there is no column 'id' in the header line ({listing(columns)}). "
            "Add or rename one: each prompt needs an id."
        )
    for name, column in zip(folded, columns, strict=True):
        if name and folded.count(name) > 1:
            raise InputError(f"{source}: the column {shown(column)} is there twice. Keep one.")
    return columns


def _row(columns: list[str], cells: list[str], line: int) -> SourceMapping | BadRow:
    if any(cell.strip() for cell in cells[len(columns) :]):
        named = dict(zip(map(str.casefold, columns), cells, strict=False))
        return BadRow(
            line,
            f"{len(cells)} cells under {len(columns)} columns. Put text that holds the delimiter "
            "in double quotes.",
            named["id"].strip() or None,
        )
    pairs = zip(columns, cells, strict=False)
    return SourceMapping(((name, cell) for name, cell in pairs if name), line)
