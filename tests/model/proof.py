"""Print what a search finds when one rule is switched off: `python -m tests.model.proof`.

One order, one process on it, at most two faults: the shortest way to each loss. `docs/proof.md` has
what this prints; a test compares them.
"""

from __future__ import annotations

import argparse
import sys

from tests.model.rules import RULES, Rules
from tests.model.search import Bounds, Result, Search

# What each rule keeps from happening.
LOSSES = {
    "ends_are_read_again": "more is bought than the budget allows",
    "absence_is_proved": "2 tasks are paid for one wish",
    "runs_carry_markers": "the order follows a task that somebody else bought",
    "ledger_has_witnesses": "more is bought than the budget allows",
    "books_are_audited": "a billed task is neither on the books nor told",
    "clocks_are_measured": "2 tasks are paid for one wish",
    "standing_still_is_told": "the order stays unknown for ever, and nobody is told",
    "fence_is_at_first_byte": "more is bought than the budget allows",
    "answers_are_kept": "an answer that had come in is not on the books",
}

HEADER = (
    "| rule switched off | what the search finds | steps | states | the last step |\n"
    "|---|---|---|---|---|"
)


def search_without(rule: str) -> Result:
    """Search one order without a rule, until something is lost."""
    budget = 2 if LOSSES[rule].startswith("2 tasks") else 1
    bounds = Bounds(processes=1, wishes=1, budget=budget, faults=2, states=100_000)
    return Search(Rules().without(rule), bounds).run()


def show_row(rule: str, result: Result) -> str:
    """Return the rule's line of the table."""
    return (
        f"| `{rule}` | {result.problem} | {len(result.trace)} | {result.states:,} "
        f"| {result.trace[-1]} |"
    )


def show_trace(rule: str, result: Result) -> str:
    """Return the way to the loss, step by step."""
    lines = (f"{number}. {line}" for number, line in enumerate(result.trace, 1))
    return "\n".join((f"### Without `{rule}`\n", *lines, f"\nSo {result.problem}."))


def main() -> int:
    """Print the table and all traces, as Markdown. Exit with 1 if a rule makes no difference."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    found = {rule: search_without(rule) for rule in RULES}
    print(HEADER)
    for rule, result in found.items():
        print(show_row(rule, result))
    for rule, result in found.items():
        print(f"\n{show_trace(rule, result)}")
    return int(not all(result.problem for result in found.values()))


if __name__ == "__main__":
    sys.exit(main())
