"""A simulation of a few orders; `make simulate` runs as many as there is time for."""

from __future__ import annotations

from dataclasses import replace

from tests.model.replay import replay
from tests.simulation.simulate import simulate


def test_nothing_is_lost_or_bought_twice_whatever_happens() -> None:
    """Every fault, every world and deaths at any moment: each order is one task, on the books."""
    outcome = simulate(20, seed=1, faults=0.004, worlds=0.01, deaths=0.001)
    assert outcome.failures == [], str(outcome)
    assert sum(outcome.states.values()) >= outcome.orders


def test_each_video_is_shown_once_and_the_event_log_restores_a_lost_ledger() -> None:
    """Dagster's events tell all that is owned, whenever a process dies between event and ledger."""
    outcome = simulate(6, seed=4, faults=0.01, worlds=0.02, deaths=0.003, with_dagster=True)
    assert outcome.failures == [], str(outcome)
    assert outcome.deaths > 0


def test_a_seed_brings_the_same_course_of_events_back() -> None:
    """So a failure of a long night can be looked at."""
    runs = [simulate(3, seed=3, faults=0.01, worlds=0.02, deaths=0.002) for _ in range(2)]
    first, again = (replace(outcome, seconds=0.0) for outcome in runs)
    assert first == again


def test_a_step_that_is_not_in_the_table_is_found_in_a_trace() -> None:
    """What a simulation did is held against the transition table."""
    found = replay({1: ["ordered", "submitting", "running"], 2: ["ordered", "stored"]})
    assert found == ["order 2 went from ordered to stored, which no step does"]
