"""Each behaviour of the emulator names its source, or says that it is assumed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import wiro_dagster.emulator
from wiro_dagster.emulator.faults import CallFault, FileFault, rate_names

README = Path(wiro_dagster.emulator.__file__).with_name("README.md").read_text(encoding="utf-8")
_SOURCE = re.compile(r"(documented|clients|assumed)\b")


def rows_with_sources() -> list[tuple[str, str]]:
    """Behaviour and source, of every table that has a column for it."""
    found: list[tuple[str, str]] = []
    column = None
    for line in README.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            column = None
        elif "source" in cells:
            column = cells.index("source")
        elif column is not None and not set(line) <= set("|- "):
            found.append((cells[0], cells[column]))
    return found


def test_every_behaviour_names_its_source_or_says_assumed() -> None:
    """Documented, seen in an official client, or assumed: nothing else counts."""
    rows = rows_with_sources()
    assert len(rows) > 80
    assert [row for row in rows if not _SOURCE.match(row[1])] == []


def test_the_sources_have_dates() -> None:
    """Documents and clients change: the page says of when they are."""
    assert re.search(r"documents as of \w+ 20\d\d", README)
    assert re.search(r"clients as\s+of \w+ 20\d\d", README)


def test_every_fault_is_in_the_page() -> None:
    """Faults are assumed, as the page says; each is named there."""
    assert re.search(r"faults of downloads \| assumed", README)
    names = {*get_args(CallFault), *get_args(FileFault)}
    names |= {name.rsplit("_before")[0].rsplit("_after")[0] for name in rate_names()}
    assert {name for name in names if f"`{name}`" not in README} == set()
