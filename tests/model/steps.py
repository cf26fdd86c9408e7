"""Everything that can happen to one wish: what the product does, and where it may die."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.rules import Rules
from tests.model.wish import (
    FOREIGN,
    NOBODY,
    POSTS,
    TWIN,
    Wish,
    Worker,
    answer,
    book,
    may_post,
    note_task,
    set_submission,
    take,
)
from tests.model.world import Step, decide, happen_at_wiro, land
from wiro_dagster.ledger.transitions import FOLLOWED


class Steps:
    """The steps of one wish under some rules.

    Args:
        rules: which rules hold.
        processes: how many work on one order at most.
    """

    def __init__(self, rules: Rules, processes: int) -> None:
        self.rules = rules
        self._processes = processes

    def list(self, wish: Wish) -> list[Step]:
        """Return every step that is possible now, each once."""
        found: list[Step] = []
        for steps in (self._start, self._work, self._note, happen_at_wiro, decide):
            for step in steps(wish):
                after = _forget(step.wish)
                if after != wish:
                    found.append(Step(step.kind, step.what, after))
        return found

    # ---- processes take up work ----

    def _start(self, wish: Wish) -> Iterator[Step]:
        if len(wish.workers) >= self._processes:
            return
        is_free = not any(worker.has_lease for worker in wish.workers)
        if wish.state == "ordered" and may_post(wish):
            claimed = take(wish, "claim", has_lease=True)
            assert claimed is not None
            slot = wish.sent
            books = claimed.books._replace(posts=claimed.books.posts + 1)
            rows = f"{wish.rows[:slot]}{books.row}"
            claimed = claimed._replace(books=books, sent=slot + 1, rows=rows)
            claimed = set_submission(claimed, slot, "o")
            yield Step(
                "claim", "claims it", _hire(claimed, Worker("submitter", "wrote", slot, True))
            )
        if wish.state in ("submitting", "unknown") and is_free and not wish.waits:
            yield _do("searches", _hire(wish, Worker("searcher", "claimed", NOBODY, True)))
        if wish.state == "finished" and is_free:
            yield _do("collects", _hire(wish, Worker("collector", "claimed", NOBODY, True)))
        verdict = self._judge(wish)
        if verdict and not any(worker.kind == "watcher" for worker in wish.workers):
            seen = Worker("watcher", verdict, wish.books.follows, False, wish.state)
            yield _do(f"reads the task: {verdict}", _hire(wish, seen))

    def _judge(self, wish: Wish) -> str:
        """What the watch makes of the task that it reads now."""
        if wish.state not in FOLLOWED or wish.books.follows == NOBODY:
            return ""
        phase, is_new = wish.tasks[wish.books.follows].phase, wish.state == "running"
        if phase in ("files", "gone"):
            return "succeed"
        if phase == "runs" or not phase:
            return "" if is_new else "resume"
        if not self.rules.ends_are_read_again:
            return "fail free"
        if is_new:
            return "end"
        # A mistaken failure is none any more before the patience is over: that is assumed.
        return {"failed": "fail free", "cancelled": "cancel free", "bare": "fail"}.get(phase, "")

    # ---- processes go on, or die ----

    def _work(self, wish: Wish) -> Iterator[Step]:
        for worker in sorted(set(wish.workers)):
            rest = _dismiss(wish, worker)
            yield Step("fault", f"the {worker.kind} dies ({worker.at})", rest)
            if worker.has_lease:
                frozen = _hire(rest, worker._replace(has_lease=False))
                yield Step("fault", f"the {worker.kind} freezes until its lease is over", frozen)
            works = {
                "submitter": self._submit,
                "searcher": self._search,
                "collector": _collect,
                "watcher": _apply_verdict,
            }
            yield from works[worker.kind](rest, worker)

    def _submit(self, rest: Wish, worker: Worker) -> Iterator[Step]:
        slot = worker.slot
        if worker.at == "wrote":
            witnessed = rest._replace(is_ahead=rest.is_ahead or rest.backup is not None)
            yield _do("writes the witness", _hire(witnessed, worker._replace(at="ready")))
        elif worker.at == "ready" and not worker.has_lease:
            yield _do("has lost the lease: withdraws", _withdraw(rest, slot))
        elif worker.at == "ready" and self.rules.fence_is_at_first_byte:
            yield _do("confirms the lease and sends", _send(rest, worker))
        elif worker.at == "ready":
            yield _do("confirms the lease", _hire(rest, worker._replace(at="confirmed")))
        elif worker.at == "confirmed":
            yield _do("connects and sends", _send(rest, worker))
        elif worker.at == "sent":
            yield from _wait_for_answer(rest, worker)
        elif worker.at == "answered":
            yield _do("notes the task", answer(rest, slot))
            name = "spool" if self.rules.answers_are_kept else "dropped"
            away = rest._replace(**{name: slot})
            yield Step("fault", "the ledger is away when the answer is there", away)
        elif worker.at == "lost":
            noted = take(rest, "lose", has_lease=worker.has_lease) or rest
            yield _do("notes the lost answer", noted)

    def _search(self, rest: Wish, worker: Worker) -> Iterator[Step]:
        has_lease = worker.has_lease
        if worker.at == "proved":
            again = take(rest, "withdraw", has_lease=has_lease)
            yield _do("gives it back to be sent once more", again or rest)
            return
        listed = self._find_listed(rest)
        if listed != NOBODY:
            how = "its marker" if self.rules.runs_carry_markers else "equal inputs"
            yield _do(f"adopts a task by {how}", note_task(rest, listed))
            return
        later = take(rest, "lose", has_lease=has_lease) or rest
        is_absent = not rest.flying and not any(
            task.phase and task.listed == "hidden" for task in rest.tasks[: TWIN + 1]
        )
        if self._is_unexplained(rest):
            yield _do("finds a task without a marker: asks the user", later._replace(waits=True))
        elif rest.books.posts >= 2 and is_absent:
            yield _do("has sent it twice: asks the user", later._replace(waits=True))
        elif is_absent or not self.rules.absence_is_proved:
            yield _do("sees no task", _hire(rest, worker._replace(at="proved")))
        else:
            yield _do("looks later", later)
        if not self.rules.clocks_are_measured:
            proved = _hire(rest, worker._replace(at="proved"))
            yield Step("skewed", "takes every task for an older one", proved)

    def _find_listed(self, wish: Wish) -> int:
        """The task that a search adopts."""
        shown = ("marked",) if self.rules.runs_carry_markers else ("marked", "bare")
        # Somebody else's task has an equal right where inputs are all there is to go by.
        last = TWIN if self.rules.runs_carry_markers else FOREIGN
        for index in range(last, -1, -1):
            task = wish.tasks[index]
            is_shown = task.phase and task.listed in shown
            is_known = not self.rules.runs_carry_markers or self._is_on_books(wish, index)
            if is_shown and is_known and wish.books.booked[index] != "books":
                return index
        return NOBODY

    def _is_unexplained(self, wish: Wish) -> bool:
        return any(
            task.phase and task.listed == "bare" and wish.books.booked[index] != "books"
            for index, task in enumerate(wish.tasks[: TWIN + 1])
        )

    # ---- what any process does, in one transaction ----

    def _note(self, wish: Wish) -> Iterator[Step]:
        if wish.spool != NOBODY and wish.books.submissions[wish.spool] != "-":
            noted = answer(wish._replace(spool=NOBODY), wish.spool)
            yield _do("a kept answer is noted", noted)
        if self.rules.books_are_audited:
            yield from self._audit(wish)
        if wish.state == "stored":
            if not wish.stored:
                wish = wish._replace(problem="a video is materialized that is not in the store")
            yield _do("the event log shows the video", wish._replace(shown=True))
            if wish.shown:
                delivered = take(wish, "deliver", has_lease=True)
                yield _do("the report is noted", delivered or wish)
        if wish.state == "unknown" and self._is_unexplained(wish):
            yield _do("a task without a marker is told", wish._replace(waits=True))

    def _audit(self, wish: Wish) -> Iterator[Step]:
        for index, task in enumerate(wish.tasks[: TWIN + 1]):
            booked = wish.books.booked[index]
            if not task.phase or task.listed == "hidden" or booked == "books":
                continue
            if task.listed == "marked" and self._is_on_books(wish, index):
                yield _do("the audit adopts a task by its marker", note_task(wish, index))
            elif not booked and task.listed == "bare":
                yield _do("the audit tells of a task", book(wish, index, "told"))
        follows = wish.books.follows
        if follows != NOBODY and wish.state in ("failed", "cancelled"):
            late = take(wish, "follow_again")
            if wish.tasks[follows].phase == "files" and late is not None:
                yield _do("the audit sees late files", late)

    @staticmethod
    def _is_on_books(wish: Wish, index: int) -> bool:
        return wish.books.submissions[0 if index == TWIN else index] != "-"


def _wait_for_answer(rest: Wish, worker: Worker) -> Iterator[Step]:
    lost = _hire(rest, worker._replace(at="lost"))
    if worker.slot in rest.flying:
        kept = land(rest, worker.slot)
        yield Step("fault", "the answer does not come in time", lost)
        yield Step("fault", "nothing was accepted", _withdraw(kept, worker.slot))
        yield Step("fault", "Wiro refuses the run", _refuse(kept, worker))
    elif rest.tasks[worker.slot].phase:
        yield _do("has the answer", _hire(rest, worker._replace(at="answered")))
        yield Step("fault", "the answer is lost", lost)
    else:
        yield _do("waits in vain for an answer", lost)


def _forget(wish: Wish) -> Wish:
    """Forget how the list shows tasks that are on the books: it makes no difference any more."""
    if wish.backup is not None or "books" not in wish.books.booked:
        return wish
    pairs = zip(wish.tasks, wish.books.booked, strict=True)
    tasks = tuple(
        task._replace(listed="marked") if how == "books" and task.listed != "marked" else task
        for task, how in pairs
    )
    return wish if tasks == wish.tasks else wish._replace(tasks=tasks)


def _do(what: str, after: Wish) -> Step:
    return Step("product", what, after)


def _hire(wish: Wish, worker: Worker) -> Wish:
    return wish._replace(workers=tuple(sorted((*wish.workers, worker))))


def _dismiss(wish: Wish, worker: Worker) -> Wish:
    workers = list(wish.workers)
    workers.remove(worker)
    return wish._replace(workers=tuple(workers))


def _send(rest: Wish, worker: Worker) -> Wish:
    flying = tuple(sorted((*rest.flying, worker.slot)))
    return _hire(rest._replace(flying=flying), worker._replace(at="sent"))


def _withdraw(rest: Wish, slot: int) -> Wish:
    """`note_unsent` of a POST that bought nothing for certain, whoever holds the order by now."""
    books = rest.books
    is_latest = slot == rest.sent - 1 and books.submissions[slot] == "o"
    if books.follows != NOBODY or not is_latest or books.state not in ("submitting", "unknown"):
        return rest
    back = take(rest, "withdraw", has_lease=True)
    assert back is not None
    unsent = back.books._replace(posts=back.books.posts - 1)
    return set_submission(back._replace(books=unsent, sent=slot), slot, "-")


def _refuse(rest: Wish, worker: Worker) -> Wish:
    noted = rest
    if rest.books.submissions[worker.slot] == "o":
        noted = set_submission(rest, worker.slot, "n")
    return take(noted, "refuse", has_lease=worker.has_lease) or noted


def _collect(rest: Wish, worker: Worker) -> Iterator[Step]:
    if worker.at == "stored":
        yield _do("notes the file", take(rest, "store", has_lease=worker.has_lease) or rest)
    elif rest.tasks[rest.books.follows].phase == "gone" and not rest.stored:
        lost = take(rest, "lose_files", has_lease=worker.has_lease) or rest
        yield _do("finds that Wiro has no files any more", lost)
    else:
        stored = _hire(rest._replace(stored=True), worker._replace(at="stored"))
        yield _do("puts the file into the store", stored)


def _apply_verdict(rest: Wish, worker: Worker) -> Iterator[Step]:
    name, _, is_free = worker.at.partition(" ")
    judged = rest
    if (rest.state, rest.books.follows) == (worker.saw, worker.slot):
        if is_free and worker.slot < POSTS:
            judged = set_submission(rest, worker.slot, "z")
        judged = take(judged, name) or rest
    yield _do(f"notes: {name}", judged)
