"""The model is searched: nothing is lost with every rule on, and each rule is needed."""

from __future__ import annotations

import random

import pytest

from tests.model.rules import RULES, Rules
from tests.model.search import Bounds, Search
from tests.model.steps import Steps
from tests.model.wish import EMPTY, take
from wiro_dagster.ledger.transitions import TRANSITIONS

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


def test_with_every_rule_nothing_is_lost() -> None:
    """Each way that one order can take, with one fault at any moment, keeps the invariants."""
    result = Search(Rules(), Bounds(processes=2, wishes=1, budget=2, faults=1)).run()
    assert result.problem == "", str(result)
    assert result.is_complete


def test_orders_that_share_a_gate_and_a_ledger_lose_nothing() -> None:
    """Three submitters and three orders, as many states as there is time for."""
    result = Search(Rules(), Bounds(processes=3, wishes=3, faults=2, states=50_000)).run()
    assert result.problem == "", str(result)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_needed(rule: str) -> None:
    """Without a rule of the design, the search finds the loss and tells the way there."""
    budget = 2 if LOSSES[rule].startswith("2 tasks") else 1
    bounds = Bounds(processes=1, wishes=1, budget=budget, faults=2, states=100_000)
    result = Search(Rules().without(rule), bounds).run()
    assert result.problem.startswith(LOSSES[rule]), str(result)
    assert len(result.trace) > 3
    assert str(result).count("\n  ") == len(result.trace)


def test_a_step_that_is_not_in_the_table_is_an_error() -> None:
    """The model takes the ledger's own steps, and no others."""
    with pytest.raises(KeyError):
        take(EMPTY, "buy_again")


def test_the_model_takes_every_step_that_changes_a_state() -> None:
    """No state and no arrow of the table is unknown to the model."""
    chance, steps = random.Random(1), Steps(Rules(), 1)
    taken: set[tuple[str, str]] = set()
    for _ in range(300):
        wish = EMPTY
        for _ in range(60):
            possible = steps.list(wish)
            if not possible:
                break
            harmless = [step for step in possible if step.kind not in ("fault", "user")]
            step = chance.choice(harmless if harmless and chance.random() < 0.9 else possible)
            if step.wish.state != wish.state and step.wish.books.row == wish.books.row:
                taken.add((wish.state, step.wish.state))
            wish = step.wish
    arrows = {
        (source, transition.target)
        for transition in TRANSITIONS.values()
        for source in transition.sources
        if transition.target not in (None, source)
    }
    assert taken <= arrows
    assert {target for _, target in arrows} == {target for _, target in taken}
