"""Runs the cases against a target, and prints the table: endpoint, case, result."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console
from rich.table import Table

from tests.contract import (  # noqa: F401 - importing a module puts its cases on the list
    auth,
    envelope,
    files,
    listing,
    models,
    prices,
    run_files,
    runs,
    signals,
    stopping,
    tasks,
)
from tests.contract.case import CASES, ENDPOINTS, Case
from tests.contract.target import Skip, Target

Verdict = Literal["kept", "BROKEN", "not run"]
_COLOURS: dict[Verdict, str] = {"kept": "green", "BROKEN": "red", "not run": "dim"}
_TEXT_LIMIT = 200


@dataclass(frozen=True)
class Result:
    """What became of a case.

    Args:
        case: the case.
        verdict: whether the promise was kept.
        note: why not.
    """

    case: Case
    verdict: Verdict
    note: str = ""


def list_cases() -> list[Case]:
    """All cases, by endpoint."""
    return sorted(CASES, key=lambda case: ENDPOINTS.index(case.endpoint))


def judge(case: Case, target: Target) -> Result:
    """Runs one case; whatever goes wrong is a broken promise."""
    try:
        case.check(target)
    except Skip as reason:
        return Result(case, "not run", str(reason))
    except (Exception, pytest.fail.Exception) as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:_TEXT_LIMIT]
        return Result(case, "BROKEN", f"{text} ({_find_place(error)})")
    return Result(case, "kept")


def _find_place(error: BaseException) -> str:
    """The line of the suite at which a case ended."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).parent == Path(__file__).parent]
    return f"{Path(ours[-1].filename).name}, line {ours[-1].lineno}: {ours[-1].line}"


def judge_all(
    open_target: Callable[[Case], AbstractContextManager[Target]],
    why_not: Callable[[Case], str | None],
) -> list[Result]:
    """Runs all cases.

    Args:
        open_target: gives a case its target.
        why_not: why a case is not to be run; `None` where it is.
    """
    results: list[Result] = []
    for case in list_cases():
        reason = why_not(case)
        if reason is not None:
            results.append(Result(case, "not run", reason))
            continue
        with open_target(case) as target:
            results.append(judge(case, target))
    return results


def print_table(results: Iterable[Result], console: Console) -> None:
    """Prints endpoint, case and result, and the sums."""
    found = list(results)
    table = Table("endpoint", "case", "codes", "result")
    previous = ""
    for result in found:
        endpoint = result.case.endpoint
        codes = ", ".join(map(str, result.case.codes))
        note = f": {result.note}" if result.note else ""
        colour = _COLOURS[result.verdict]
        if previous and endpoint != previous:
            table.add_section()
        table.add_row(
            "" if endpoint == previous else endpoint,
            result.case.name,
            codes,
            f"[{colour}]{result.verdict}[/{colour}]{note.replace('[', chr(92) + '[')}",
        )
        previous = endpoint
    console.print(table)
    verdicts = [result.verdict for result in found]
    console.print(
        f"{len(found)} cases: {verdicts.count('kept')} kept, {verdicts.count('BROKEN')} broken, "
        f"{verdicts.count('not run')} not run."
    )
