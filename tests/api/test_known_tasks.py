"""Tasks that Wiro shows again as they were."""

from __future__ import annotations

from wiro_dagster.api.known_tasks import KnownTasks

_SHOWN = {"id": "7", "status": "task_start", "totalcost": "0", "outputs": []}


def test_a_task_that_is_shown_as_before_is_read_once() -> None:
    """A page of the list holds 100 tasks, and most of them have not changed."""
    known = KnownTasks()
    first = known.find(dict(_SHOWN))
    assert first is not None
    assert known.find(dict(_SHOWN)) is first


def test_whatever_changes_about_a_task_is_seen() -> None:
    """A cost, a status or a file that comes later counts at once, and so does one that goes."""
    known = KnownTasks()
    known.find(dict(_SHOWN))
    billed = known.find({**_SHOWN, "totalcost": "0.28"})
    again = known.find(dict(_SHOWN))
    assert [str(task.cost_usd) for task in (billed, again) if task] == ["0.28", "0"]


def test_entries_without_an_id_are_read_each_time() -> None:
    """They are no tasks."""
    known = KnownTasks()
    assert [known.find(odd) for odd in (None, 5, {"status": "task_start"}, {"id": None})] == [
        None
    ] * 4
