"""Search the model: `python -m tests.model --submitters 3 --orders 3 --states 10000000`."""

from __future__ import annotations

import argparse
import sys

from tests.model.rules import RULES, Rules
from tests.model.search import MOST_FAULTS, Bounds, Search


def main() -> int:
    """Search with every rule on, or without one. Exit with 1 if something is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submitters", type=int, default=3, help="processes on one order")
    parser.add_argument("--orders", type=int, default=3, choices=(1, 2, 3))
    parser.add_argument("--states", type=int, default=10_000_000, help="where to stop")
    parser.add_argument("--faults", type=int, default=3, choices=range(MOST_FAULTS + 1))
    parser.add_argument("--budget", type=int, default=3, help="in prices of one video")
    parser.add_argument("--without", choices=RULES, help="switch a rule off")
    given = parser.parse_args()
    rules = Rules() if given.without is None else Rules().without(given.without)
    bounds = Bounds(given.submitters, given.orders, given.budget, given.faults, given.states)
    result = Search(rules, bounds).run()
    print(result)
    return int(bool(result.problem))


if __name__ == "__main__":
    sys.exit(main())
