"""What happens to one wish beside the product: at Wiro, to the machine, by users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tests.model.wish import (
    FOREIGN,
    NOBODY,
    POSTS,
    TWIN,
    Books,
    Task,
    Wish,
    give_post,
    note_task,
    set_task,
    take,
)
from wiro_dagster.ledger.transitions import FOLLOWED, WITHOUT_VIDEO

Kind = Literal["product", "wiro", "fault", "user", "claim", "skewed"]
"""Who brings a step about. A claim passes the gate first; "skewed" needs clocks that differ."""


STOPS = "the user stops it: its task is killed"
"""What the step is called by which the product sends a Kill or a Cancel."""


@dataclass(frozen=True)
class Step:
    """One thing that can happen next."""

    kind: Kind
    what: str
    wish: Wish


def happen_at_wiro(wish: Wish) -> Iterator[Step]:
    """What becomes of POSTs and tasks, and how they are shown."""
    for slot in wish.flying:
        landed = land(wish, slot)
        yield Step("fault", "the POST is lost on its way", landed)
        arrived = set_task(landed, slot, phase="runs")
        yield Step("wiro", "the POST arrives", arrived)
        if slot == 0:
            doubled = set_task(arrived, TWIN, phase="runs")
            yield Step("fault", "the POST arrives, and Wiro makes two tasks", doubled)
    for index, task in enumerate(wish.tasks):
        yield from _change_task(wish, index, task)
    if not wish.tasks[FOREIGN].phase:
        foreign = set_task(wish, FOREIGN, phase="runs", listed="bare")
        yield Step("fault", "somebody else buys an equal task", foreign)


def decide(wish: Wish) -> Iterator[Step]:
    """What users and schedules do, and what they may lose."""
    books = wish.books
    if not books.live and wish.state in WITHOUT_VIDEO and not books.row:  # once
        anew = _order_anew(books)
        yield Step("user", "a schedule orders it again", wish._replace(books=anew, waits=False))
    if wish.state == "ordered" and not wish.sent:
        yield Step("user", "its prompt changes: it is dropped", take(wish, "drop") or wish)
    yield from _approve(wish)
    if wish.state == "unknown" and wish.waits:
        abandoned = take(wish, "abandon")
        assert abandoned is not None
        yield Step("user", "the user abandons it", abandoned._replace(asked=True))
        for index, task in enumerate(wish.tasks[:POSTS]):
            if task.phase and books.booked[index] != "books":
                yield Step("user", "the user adopts its task", note_task(wish, index))
    yield from _stop(wish)
    if wish.state == "uncollected":
        again = take(wish, "follow_again") or wish
        yield Step("user", "the user looks for its files again", again)
    if wish.state == "delivered":
        shown = take(wish, "show_again") or wish
        yield Step("fault", "the event log is lost", shown._replace(shown=False))
        lost = take(wish, "fetch_again") or wish
        if wish.backup is None:  # a store and a ledger that both go back are beyond the model
            yield Step("fault", "the store loses the file", lost._replace(stored=False))


def _stop(wish: Wish) -> Iterator[Step]:
    follows = wish.books.follows
    if wish.state in FOLLOWED and follows != NOBODY and wish.tasks[follows].phase == "runs":
        yield Step("user", STOPS, set_task(wish, follows, phase="cancelled"))


def _approve(wish: Wish) -> Iterator[Step]:
    if wish.state == "ordered":
        risen = take(wish, "propose", has_lease=True) or wish
        yield Step("fault", "its price rises: it waits for approval again", risen)
    if wish.state == "proposed":
        yield Step("user", "the user approves it", take(wish, "approve") or wish)
        yield Step("user", "the user declines it", take(wish, "drop") or wish)


def land(wish: Wish, slot: int) -> Wish:
    """A POST is under way no longer."""
    return wish._replace(flying=tuple(one for one in wish.flying if one != slot))


def _order_anew(books: Books) -> Books:
    return books._replace(state="ordered", live=True, posts=0, follows=NOBODY, row=books.row + 1)


def _change_task(wish: Wish, index: int, task: Task) -> Iterator[Step]:
    if not task.phase:
        return
    if task.listed == "hidden":
        yield Step("wiro", "the list shows the task", set_task(wish, index, listed="marked"))
        bare = set_task(wish, index, listed="bare")
        yield Step("fault", "the list shows the task without its marker", bare)
    if index == FOREIGN:
        return
    if task.phase == "runs":
        yield Step("wiro", "the task succeeds", set_task(wish, index, phase="files"))
        for phase in ("failed", "cancelled", "bare", "mistaken"):
            what = f"the task ends: {phase}"
            yield Step("fault", what, set_task(wish, index, phase=phase))
    elif task.phase in ("bare", "mistaken"):
        yield Step("wiro", "the end shows its files", set_task(wish, index, phase="files"))
    elif task.phase == "files":
        yield Step("fault", "Wiro deletes the files", set_task(wish, index, phase="gone"))


def restore_backup(wish: Wish) -> Wish:
    """The ledger is what it was; processes, store and Wiro are as they are."""
    if wish.backup is None:
        return wish
    workers = tuple(sorted(worker._replace(has_lease=False) for worker in wish.workers))
    return wish._replace(books=wish.backup, backup=None, workers=workers, waits=False)


def rebuild(wish: Wish) -> Wish | None:
    """Fill the books from the evidence; None if it leaves a doubt."""
    if wish.flying or any(task.phase and task.listed == "hidden" for task in wish.tasks[:FOREIGN]):
        return None
    for index, task in enumerate(wish.tasks[:FOREIGN]):
        if task.phase and wish.books.booked[index] != "books":
            if task.listed == "bare":
                return None
            if not wish.books.live and index < POSTS:  # an order that the backup does not know
                wish = give_post(wish._replace(books=_order_anew(wish.books)), index)
            elif index < POSTS and wish.books.follows == NOBODY:
                wish = give_post(wish, index)  # the wish must not be bought again
            wish = note_task(wish, index)
    return wish._replace(is_ahead=False)
