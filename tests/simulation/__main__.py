"""Simulate orders: `python -m tests.simulation --orders 2000 --seed 7`."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.simulate import simulate

_AT_ONCE = 1000
"""Orders of one seed: a failure of a long night comes back in seconds."""


def main() -> int:
    """Simulate seed after seed. Exit with 1 if anything was lost or bought twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=_AT_ONCE)
    parser.add_argument("--seed", type=int, default=1, help="the first; each has 1,000 orders")
    parser.add_argument("--faults", type=float, default=0.002, help="the rate of each fault")
    parser.add_argument("--worlds", type=float, default=0.004, help="the rate of each world")
    parser.add_argument("--deaths", type=float, default=0.0002, help="of all possible moments")
    given = parser.parse_args()
    failures, seed, left = 0, given.seed, given.orders
    while left > 0:
        outcome = simulate(
            min(left, _AT_ONCE),
            seed,
            faults=given.faults,
            worlds=given.worlds,
            deaths=given.deaths,
        )
        print(outcome, flush=True)
        failures += len(outcome.failures)
        seed, left = seed + 1, left - _AT_ONCE
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
