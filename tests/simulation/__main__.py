"""Simulate orders: `python -m tests.simulation --orders 2000 --seed 7`."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial

from tests.simulation.simulate import Outcome, add_up, simulate

_AT_ONCE = 1000
"""Orders of one seed: a failure of a long night comes back in seconds."""


def main() -> int:
    """Simulate seed after seed. Exit with 1 if anything was lost or bought twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=_AT_ONCE)
    parser.add_argument("--seed", type=int, default=1, help="the first; each has 1,000 orders")
    parser.add_argument("--jobs", type=int, default=1, help="processes, side by side")
    parser.add_argument("--faults", type=float, default=0.002, help="the rate of each fault")
    parser.add_argument("--worlds", type=float, default=0.004, help="the rate of each world")
    parser.add_argument("--deaths", type=float, default=0.0002, help="of all possible moments")
    parser.add_argument(
        "--dagster-every",
        type=int,
        default=20,
        metavar="N",
        help="report every Nth seed to a Dagster instance; 0 for none",
    )
    given = parser.parse_args()
    outcomes = []
    for outcome in _simulate_all(given):
        print(outcome, flush=True)
        if outcome.failures:
            print(f"  It comes back with: python -m tests.simulation {_arguments(given, outcome)}")
        outcomes.append(outcome)
    if len(outcomes) > 1:
        print(add_up(outcomes))
    return int(any(outcome.failures for outcome in outcomes))


def _simulate_all(given: argparse.Namespace) -> Iterator[Outcome]:
    """Simulate one seed after the other, in as many processes as are wanted."""
    firsts = range(0, given.orders, _AT_ONCE)
    counts = [min(_AT_ONCE, given.orders - first) for first in firsts]
    seeds = range(given.seed, given.seed + len(counts))
    run = partial(_simulate_one, given)
    if given.jobs == 1:
        _collect_seldom()
        yield from map(run, counts, seeds)
        return
    with ProcessPoolExecutor(given.jobs, initializer=_collect_seldom) as pool:
        started = [pool.submit(run, count, seed) for count, seed in zip(counts, seeds, strict=True)]
        yield from (done.result() for done in as_completed(started))


def _simulate_one(given: argparse.Namespace, orders: int, seed: int) -> Outcome:
    return simulate(
        orders,
        seed,
        faults=given.faults,
        worlds=given.worlds,
        deaths=given.deaths,
        with_dagster=given.dagster_every > 0 and seed % given.dagster_every == 0,
    )


def _collect_seldom() -> None:
    """Look for unreachable cycles seldom: what is imported never is one, and values are short."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _arguments(given: argparse.Namespace, outcome: Outcome) -> str:
    rates = {name: getattr(given, name) for name in ("faults", "worlds", "deaths")}
    named = {"orders": outcome.orders, "seed": outcome.seed, **rates}
    named["dagster-every"] = given.dagster_every
    return " ".join(f"--{name} {value}" for name, value in named.items())


if __name__ == "__main__":
    sys.exit(main())
