"""Turns at what takes all of a core."""

from __future__ import annotations

import threading
import time

from wiro_dagster.orders.turns import Turns


def test_no_more_threads_at_once_than_have_a_turn() -> None:
    """The others wait, and all of them come to an end."""
    turns, lock = Turns(2, longest_seconds=60.0), threading.Lock()
    now, most, done = 0, 0, 0

    def work() -> None:
        nonlocal now, most, done
        with turns.take():
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.01)
            with lock:
                now -= 1
                done += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most <= 2, done) == (True, 8)


def test_one_that_is_stuck_does_not_stop_the_others() -> None:
    """They wait for a while, then go on without a turn; each turn is given back once."""
    turns = Turns(1, longest_seconds=0.01)
    with turns.take(), turns.take(), turns.take():
        pass
    with turns.take():
        pass
