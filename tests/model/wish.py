"""One wish: its order on the books, its POSTs, what Wiro made of them, and who works on it."""

from __future__ import annotations

from typing import Any, NamedTuple

from wiro_dagster.ledger import MAXIMUM_POSTS
from wiro_dagster.ledger.transitions import OWNED, SETTLED, TRANSITIONS, UNSENT

POSTS = 3
"""POSTs of one wish that the model has room for: two of one order, one of a later order."""

TWIN, FOREIGN = POSTS, POSTS + 1
"""Tasks beside those of the POSTs: Wiro's double of the first, and somebody else's equal one."""

NOBODY = -1

# What a task is in truth. "bare" has succeeded and shows no files yet, "mistaken" shows a failure
# that is none. Both, and those that have files or have lost them, are billed.
RUNNING_TASKS = ("runs",)
BILLED = ("bare", "mistaken", "files", "gone")


class Task(NamedTuple):
    """What Wiro made."""

    phase: str = ""
    listed: str = "hidden"  # "marked", or "bare" where the list shows no marker
    booked: str = ""  # "books", or "told" for a task that no order explains


class Worker(NamedTuple):
    """One process at one step of this order; it dies before or after any of them."""

    kind: str
    at: str
    slot: int = NOBODY
    has_lease: bool = False
    saw: str = ""


class Books(NamedTuple):
    """What the ledger says: this is what a backup brings back."""

    state: str = "ordered"
    live: bool = True
    posts: int = 0
    submissions: str = "-" * POSTS  # "-" unused, "o" open, "n" nothing, "t" a task, "z" a free one
    follows: int = NOBODY
    booked: tuple[str, ...] = ("",) * (POSTS + 2)
    row: int = 0  # of the present order; a schedule may have made another one


class Wish(NamedTuple):
    """Everything about one wish."""

    books: Books = Books()
    sent: int = 0
    rows: str = ""  # whose POSTs they were
    tasks: tuple[Task, ...] = (Task(),) * (POSTS + 2)
    flying: tuple[int, ...] = ()
    workers: tuple[Worker, ...] = ()
    spool: int = NOBODY
    dropped: int = NOBODY
    stored: bool = False
    shown: bool = False
    waits: bool = False  # for the user
    asked: bool = False
    backup: Books | None = None
    is_ahead: bool = False  # something was bought since the backup
    problem: str = ""

    @property
    def state(self) -> str:
        """The order's state on the books."""
        return self.books.state


EMPTY = Wish()


def take(wish: Wish, name: str, *, has_lease: bool = False) -> Wish | None:
    """Take a step of the table; None if the order is elsewhere, or another process has it.

    Raises:
        KeyError: the table has no such step.
    """
    step, books = TRANSITIONS[name], wish.books
    if books.state not in step.sources or (step.needs_lease and not has_lease):
        return None
    changes: dict[str, Any] = {"state": step.target or books.state}
    if step.frees and (name == "abandon" or not set("ot") & set(books.submissions)):
        changes["live"] = False
    if step.revives:
        changes["live"] = True
    # A step ends every claim: the lease of whoever had it is gone.
    workers = tuple(worker._replace(has_lease=False) for worker in wish.workers)
    return wish._replace(books=books._replace(**changes), workers=workers, waits=False)


def set_submission(wish: Wish, slot: int, outcome: str) -> Wish:
    """Note how a POST came out."""
    listed = wish.books.submissions
    changed = listed[:slot] + outcome + listed[slot + 1 :]
    return wish._replace(books=wish.books._replace(submissions=changed))


def set_task(wish: Wish, index: int, **changes: str) -> Wish:
    """Change what a task is, or how it is shown."""
    tasks = list(wish.tasks)
    tasks[index] = tasks[index]._replace(**changes)
    return wish._replace(tasks=tuple(tasks))


def book(wish: Wish, index: int, how: str) -> Wish:
    """Put a task on the books, or tell the user of it."""
    booked = list(wish.books.booked)
    booked[index] = how
    return wish._replace(books=wish.books._replace(booked=tuple(booked)))


def note_task(wish: Wish, index: int) -> Wish:
    """Note a task for the order, as `Submissions.note_task` does."""
    books = wish.books
    if books.booked[index] == "books":
        return wish
    slot = 0 if index == TWIN else index
    if index != FOREIGN and books.submissions[slot] in "-o":
        wish = set_submission(wish, slot, "t")
    wish = book(wish, index, "books")
    is_older = index < len(wish.rows) and int(wish.rows[index]) < books.row
    if is_older and books.live and books.state in UNSENT:  # it spares the present order its POST
        wish, is_older = give_post(wish, index), False
    if books.follows != NOBODY or books.state in OWNED or is_older:
        return wish  # an order of its own
    accepted = take(wish, "accept")
    if accepted is None:
        return wish._replace(problem=f"a task cannot be noted for an order that is {books.state}")
    return accepted._replace(books=accepted.books._replace(follows=index))


def give_post(wish: Wish, index: int) -> Wish:
    """Let a POST count for the present order of its wish."""
    return wish._replace(rows=f"{wish.rows[:index]}{wish.books.row}{wish.rows[index + 1 :]}")


def answer(wish: Wish, slot: int) -> Wish:
    """Note an answer for the order that it belongs to, if the books have that order."""
    return note_task(wish, slot) if int(wish.rows[slot]) <= wish.books.row else wish


def may_post(wish: Wish) -> bool:
    """Whether the product may send the order on its own."""
    return wish.books.posts < MAXIMUM_POSTS and wish.sent < POSTS


def committed(wish: Wish) -> int:
    """What the budget counts for the wish, in prices of one video."""
    return sum(outcome in "ot" for outcome in wish.books.submissions)


def at_stake(wish: Wish) -> int:
    """What the wish's POSTs cost in truth, or may yet cost."""
    made = sum(task.phase in (*RUNNING_TASKS, *BILLED) for task in wish.tasks[:POSTS])
    return made + len(wish.flying)


def find_problem(wish: Wish) -> str:
    """What is lost already, whatever comes next; empty if nothing is."""
    paid = sum(task.phase in BILLED for task in wish.tasks[:POSTS])
    if paid > 1 and not wish.asked:
        return f"{paid} tasks are paid for one wish, and the user asked for one"
    if wish.books.follows == FOREIGN:
        return "the order follows a task that somebody else bought"
    return wish.problem


def find_problem_at_rest(wish: Wish, *, is_told: bool) -> str:
    """What is lost once nothing happens any more by itself; empty if nothing is.

    Args:
        wish: nothing but faults and users can change it.
        is_told: whether the user hears of orders that wait for a decision.
    """
    for index, task in enumerate(wish.tasks[: TWIN + 1]):
        if task.phase in BILLED and not wish.books.booked[index]:
            return "a billed task is neither on the books nor told"
    if wish.dropped != NOBODY and wish.books.booked[wish.dropped] != "books":
        return "an answer that had come in is not on the books"
    # The gate says why it holds an order, and a check that one waits for approval.
    has_ended = wish.state in (*SETTLED, *UNSENT)
    if not has_ended and not (wish.waits and is_told):
        return f"the order stays {wish.state} for ever, and nobody is told"
    return ""
