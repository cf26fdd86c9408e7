"""What a product did, replayed in the model: every change, every state, every request.

The transition table says which changes of a state there are. The model says what a ledger can show
of an order, and what it shows when a Run or a Kill comes in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from tests.model.known import Sight, know
from tests.model.record import Event, read_events, record
from tests.model.requests import Request, digest
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.transitions import TRANSITIONS

__all__ = ["read", "read_events", "record", "replay", "replay_all"]

ARROWS = frozenset(
    (source, step.target)
    for step in TRANSITIONS.values()
    for source in step.sources
    if step.target is not None
)
"""The changes of a state that a step of the table makes."""

# An order begins when it is asked for. One that is put on the books for a task that exists, such
# as Wiro's second one, begins where that task is.
FIRST = ("ordered", "proposed", "running", "delivered")

_CHANGES_A_STEP = 3
"""So many changes of one order a transaction makes at most, one after the other."""


def read(ledger: Ledger) -> dict[int, list[str]]:
    """Return the states of each order, in their order."""
    return _list_states(read_events(ledger))


def replay(traces: Mapping[int, Iterable[str]]) -> list[str]:
    """Return what no step of the table explains."""
    unexplained = []
    for order_id, states in traces.items():
        listed = list(states)
        if listed[0] not in FIRST:
            unexplained.append(f"order {order_id} begins as {listed[0]}")
        unexplained += [
            f"order {order_id} went from {was} to {now}, which no step does"
            for was, now in pairwise(listed)
            if (was, now) not in ARROWS
        ]
    return unexplained


def replay_all(
    events: Sequence[Event], requests: Sequence[Request], *, callback_base_url: str
) -> list[str]:
    """Return what neither the table nor the model explains.

    Args:
        events: what the ledger wrote down.
        requests: what the emulator's journal has.
        callback_base_url: what the markers of Runs are appended to.
    """
    courses = _follow(events)
    return [
        *replay(_list_states(events)),
        *(problem for order_id, course in courses.items() for problem in course.check(order_id)),
        *_check_runs(events, requests, courses, callback_base_url),
        *_check_stops(events, requests, courses),
    ]


class _Course:
    """How one order came along: what the ledger showed of it, from which time on."""

    def __init__(self) -> None:
        self._state = ""
        self._outcomes: dict[str, str] = {}
        self.times: list[float] = []
        self.sights: list[Sight] = []

    def change(self, event: Event, *, is_leaving: bool = False) -> None:
        """Note one change."""
        if event.state is not None:
            self._state = event.state
        elif is_leaving:
            self._outcomes.pop(str(event.marker), None)
        else:
            self._outcomes[str(event.marker)] = str(event.outcome)
        outcomes = Counter(self._outcomes.values())
        self.times.append(event.at)
        self.sights.append(Sight(self._state, outcomes["open"], outcomes["task"]))

    def at(self, time: float) -> Sight | None:
        """Return what the ledger showed at that time."""
        index = bisect_right(self.times, time)
        return self.sights[index - 1] if index else None

    def check(self, order_id: int) -> Iterable[str]:
        """Return what the model does not know.

        A transaction that changes an order and its POST leaves two lines or three, one after the
        other. So only what stays is held against the model.
        """
        sights, strange = know().sights, 0
        for index, sight in enumerate(self.sights):
            strange = 0 if sight in sights else strange + 1
            if strange == _CHANGES_A_STEP or (strange and index == len(self.sights) - 1):
                yield (
                    f"order {order_id} is {sight.state} with {sight.open} open POSTs and "
                    f"{sight.tasks} tasks, which the model does not know"
                )


def _follow(events: Iterable[Event]) -> dict[int, _Course]:
    courses: dict[int, _Course] = {}
    owners: dict[str, int] = {}
    for event in events:
        if event.marker is not None:
            before = owners.get(event.marker, event.order_id)
            if before != event.order_id:  # a double gets an order of its own
                courses[before].change(event, is_leaving=True)
            owners[event.marker] = event.order_id
        courses.setdefault(event.order_id, _Course()).change(event)
    return courses


def _check_runs(
    events: Iterable[Event],
    requests: Iterable[Request],
    courses: Mapping[int, _Course],
    callback_base_url: str,
) -> Iterable[str]:
    base = callback_base_url.rstrip("/")
    claims: dict[str, tuple[Event, int]] = {}
    for event in events:
        if event.marker is not None and event.outcome == "open":
            claims.setdefault(digest(f"{base}/{event.marker}"), (event, event.order_id))
    # A Run without a callback URL has nothing that tells its POST.
    runs = [run for run in requests if run.kind == "run" and run.callback_digest is not None]
    for run in runs:
        claim = claims.get(str(run.callback_digest))
        if claim is None or claim[0].at > run.at:
            yield f"a Run came in at {run.at:.3f} whose POST was not claimed"
            continue
        # Once it has left, nothing can hold it back: it may come in at any time.
        verb, at = ("came in", run.at) if run.left_at is None else ("left", run.left_at)
        sight = courses[claim[1]].at(at)
        if sight not in know().sends:
            yield f"a Run {verb} while its order {claim[1]} was {sight}, which the model forbids"
    for mark, count in Counter(run.callback_digest for run in runs).items():
        if count > 1:
            name = claims[str(mark)][1] if str(mark) in claims else "unknown"
            yield f"{count} Runs came in with one marker, of order {name}"


def _check_stops(
    events: Iterable[Event], requests: Iterable[Request], courses: Mapping[int, _Course]
) -> Iterable[str]:
    owners = {event.task_id: event.order_id for event in events if event.task_id is not None}
    for stop in (request for request in requests if request.kind == "stop"):
        order_id = owners.get(stop.task_id)
        sight = None if order_id is None else courses[order_id].at(stop.at)
        # If Wiro takes an end back, an order that goes on settling can be stopped as a running one.
        is_settling = sight is not None and sight.state == "settling"
        if (sight._replace(state="running") if is_settling else sight) not in know().stops:
            yield (
                f"task {stop.task_id} was stopped while order {order_id} was {sight}, which the "
                "model forbids"
            )


def _list_states(events: Iterable[Event]) -> dict[int, list[str]]:
    states: dict[int, list[str]] = {}
    for event in events:
        if event.state is not None:
            states.setdefault(event.order_id, []).append(event.state)
    return states
