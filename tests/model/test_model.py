"""The model is searched: nothing is lost with every rule on, and each rule is needed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.model.proof import LOSSES, search_without, show_row, show_trace
from tests.model.rules import RULES, Rules
from tests.model.search import Bounds, Search
from tests.model.steps import Steps
from tests.model.wish import EMPTY, take
from wiro_dagster.ledger.transitions import TRANSITIONS

PROOF = Path(__file__).parents[2] / "docs" / "proof.md"


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
    """Without a rule of the design, the search finds the loss; `docs/proof.md` has the trace."""
    result = search_without(rule)
    assert result.problem.startswith(LOSSES[rule]), str(result)
    assert len(result.trace) > 3
    assert str(result).count("\n  ") == len(result.trace)
    shown = PROOF.read_text(encoding="utf-8")
    assert show_row(rule, result) in shown
    assert show_trace(rule, result) in shown


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
