"""Prompts as rows of a table: a CSV file, or what an upstream asset returns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from wiro_dagster.catalogue.plain_text_file import SourceMapping
from wiro_dagster.catalogue.suggestions import listing, shown
from wiro_dagster.catalogue.values import is_absent
from wiro_dagster.errors import InputError

PROMPT_COLUMNS = ("id", "prompt", "model", "take")
_INPUT_PREFIX = "inputs."
_DELIMITERS = (",", ";", "\t")


def entries_from_rows(rows: Iterable[object]) -> Iterator[object]:
    """Rows as prompt entries.

    The columns `id`, `prompt`, `model` and `take` are the entry's own; `inputs` may be a mapping;
    any other column that is not empty is an input, also when written as `inputs.NAME`.
    """
    for row in rows:
        yield _entry(row) if isinstance(row, Mapping) else row


def _entry(row: Mapping[Any, Any]) -> SourceMapping:
    own: dict[str, Any] = {}
    inputs: list[tuple[str, Any]] = []
    for column, value in row.items():
        name = str(column).strip()
        if is_absent(value):
            continue
        if name in PROMPT_COLUMNS:
            own[name] = value
        elif name == "inputs" and isinstance(value, Mapping):
            inputs.extend((str(key), item) for key, item in value.items())
        else:
            inputs.append((name.removeprefix(_INPUT_PREFIX), value))
    found = SourceMapping(inputs)
    entry = SourceMapping(own.items(), getattr(row, "line", None))
    if found:
        entry["inputs"] = found
    return entry


def rows_from_csv(text: str, source: str) -> list[SourceMapping]:
    """The rows of a CSV text with a header line; divided by comma, semicolon or tab.

    Raises:
        InputError: it cannot be read, has no `id` column, a column twice, or a row is too long.
    """
    header_line = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[SourceMapping] = []
    columns: list[str] = []
    line = 1
    try:
        for cells in reader:
            start, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = _columns(cells, source)
                continue
            if any(cell.strip() for cell in cells[len(columns) :]):
                raise InputError(
                    f"{source}, line {start}: {len(cells)} cells under {len(columns)} columns. "
                    "Put text that holds the delimiter in double quotes."
                )
            rows.append(SourceMapping(zip(columns, cells, strict=False), start))
    except csv.Error as error:
        raise InputError(f"{source}, line {line}: this is not CSV: {error}. Correct it.") from error
    if not columns:
        raise InputError(f"{source} is empty. Start it with a header line: id,prompt,model")
    return rows


def _columns(cells: list[str], source: str) -> list[str]:
    columns = [cell.strip() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    if "id" not in columns:
        raise InputError(
            f"{source}: there is no column 'id' in the header line ({listing(columns)}). "
            "Add or rename one: each prompt needs an id."
        )
    for column in columns:
        if columns.count(column) > 1:
            raise InputError(f"{source}: the column {shown(column)} is there twice. Keep one.")
    return columns
