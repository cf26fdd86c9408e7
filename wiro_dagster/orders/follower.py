"""The thread that goes on between two ticks.

A tick of a sensor starts every half a minute, and ends when there is nothing left to do. Its
process lives on: there this thread waits for what sockets say, for tasks that are due to be read,
and for what other processes write to the ledger: new orders, and hints of a webhook receiver.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable
from functools import partial

from wiro_dagster.errors import WiroError
from wiro_dagster.ledger import FOLLOWED
from wiro_dagster.ledger.hints import HINTED
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.end_hints import EndHints

_AGAIN_SECONDS = 0.25
"""How soon a hint is followed if the list was read a moment ago."""

_GATHER_SECONDS = 0.1
"""How long a hint waits for more of them: a batch ends together."""

_UNDER_WAY_SECONDS = 0.01
"""How soon work that is under way goes on, after a look at the hints: threads would stand idle."""

_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
"""The shortest and the longest pause between looks if nothing hints at an end."""

_NEWS_SECONDS = 0.2
"""How often it is checked whether a process has written to the ledger; that costs little."""

_QUERY_SECONDS = 3.0
"""The same if only the orders themselves can tell, for example while somebody writes."""

_AFTER_FAILURE_SECONDS = 5.0
_FORGET_SECONDS = 60.0
"""How often the sockets of tasks that have ended are closed: Wiro may leave them open."""


class Follower:
    """Follows tasks for as long as ticks come. Thread-safe.

    Args:
        hints: what it waits for; `None` = it does nothing.
        get_context: returns the context of the desk as it is now.
        look: starts what is due, and returns whether anything is under way; `buys` says whether
            orders may be sent.
        is_hinted: set while a look is due that something hinted at.
        monotonic: gives seconds.
    """

    def __init__(
        self,
        hints: EndHints | None,
        get_context: Callable[[], OrderContext],
        look: Callable[..., bool],
        is_hinted: threading.Event,
        monotonic: Callable[[], float],
    ) -> None:
        self._hints = hints
        self._get_context = get_context
        self._look = look
        self._is_hinted = is_hinted
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._is_nudged = threading.Event()
        self._awake_until = self._buying_until = 0.0
        self._stamp: Hashable | None = None
        self._forgot_at = monotonic()
        self._thread: threading.Thread | None = None

    def stay_awake(self, seconds: float, *, buying_seconds: float = 0.0) -> None:
        """Follow tasks for this long from now, unless the next tick extends it.

        Args:
            seconds: how long.
            buying_seconds: how long orders are sent, too.
        """
        if seconds <= 0:
            return
        with self._lock:
            self._awake_until = self._monotonic() + seconds
            self._buying_until = self._monotonic() + buying_seconds
            if self._thread is None and self._hints is not None:
                self._hints.switch_on()
                run = partial(self._run, self._hints)
                self._thread = threading.Thread(target=run, name="wiro-hints", daemon=True)
                self._thread.start()

    def nudge(self) -> None:
        """Look at once: a tick has ended, and may have left something under way."""
        self._is_nudged.set()
        if self._hints is not None:
            self._hints.nudge()

    def close(self) -> None:
        """Stop following."""
        with self._lock:
            self._awake_until = self._buying_until = 0.0
            thread = self._thread
        self.nudge()
        if thread is not None:
            thread.join()

    def _run(self, hints: EndHints) -> None:
        look_at, is_under_way = self._monotonic(), False
        while (seconds_left := self._count_seconds_left(hints)) > 0:
            pause = max(look_at - self._monotonic(), 0.0)
            most = _QUERY_SECONDS if self._stamp is None else _NEWS_SECONDS
            gather_seconds = 0.0 if is_under_way else _GATHER_SECONDS
            ended = hints.wait(min(pause, seconds_left, most), gather_seconds=gather_seconds)
            is_due = self._is_nudged.is_set() or self._monotonic() >= look_at
            if not (ended or is_due or self._is_written()):
                continue
            self._is_nudged.clear()  # the look below answers a nudge that comes until now
            try:
                next_look_at = self._note_ended(ended)
                buys = self._monotonic() < self._buying_until
                # While nothing is under way, this costs two queries, if there was news.
                has_work = next_look_at is not None or is_under_way or buys
                is_under_way = has_work and self._look(buys=buys)
                self._forget_ended(hints)
                pause = self._find_pause(next_look_at)
                if is_under_way:
                    pause = min(pause, _UNDER_WAY_SECONDS)
            except WiroError:  # the next tick says what is wrong
                pause = _AFTER_FAILURE_SECONDS
            look_at = self._monotonic() + pause

    def _count_seconds_left(self, hints: EndHints) -> float:
        with self._lock:
            seconds_left = self._awake_until - self._monotonic()
            if seconds_left <= 0:
                self._thread = None
                hints.switch_off()
            return seconds_left

    def _is_written(self) -> bool:
        """Whether a process may have written to the ledger since the last call."""
        before, self._stamp = self._stamp, self._get_context().ledger.find_stamp()
        return self._stamp is None or self._stamp != before

    def _note_ended(self, ended: Collection[str]) -> float | None:
        """Make looks due at tasks that report their end. Return when the next look is due."""
        context = self._get_context()
        if ended:
            orders = context.ledger.find_orders_of_tasks(context.account, ended)
            context.ledger.make_due([order.id for order in orders.values()])
        next_look_at = context.ledger.find_next_look(context.account)
        if next_look_at == HINTED:
            self._is_hinted.set()
        return next_look_at

    def _forget_ended(self, hints: EndHints) -> None:
        now, context = self._monotonic(), self._get_context()
        followed = hints.list_followed() if now - self._forgot_at >= _FORGET_SECONDS else []
        if followed:
            self._forgot_at = now
            orders = context.ledger.find_orders_of_tasks(context.account, followed)
            hints.forget([key for key, order in orders.items() if order.state not in FOLLOWED])

    def _find_pause(self, next_look_at: float | None) -> float:
        """Return how long to wait for a hint before the next look."""
        context = self._get_context()
        if next_look_at is None:
            return _LONGEST_PAUSE_SECONDS
        if next_look_at == HINTED:
            return _AGAIN_SECONDS
        seconds = min(next_look_at - context.now(), _LONGEST_PAUSE_SECONDS)
        # A webhook receiver may make a look due at any time.
        return _PAUSE_SECONDS if context.callback_base_url else max(seconds, _PAUSE_SECONDS)
