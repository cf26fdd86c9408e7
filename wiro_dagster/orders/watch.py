"""The watch: one process reads Wiro's list for all tasks of an account, and judges what it shows.

A page of the list shows 100 tasks for one call, so that is how tasks are followed. Task/Detail is
read for what the list leaves open: ends that are no plain success, tasks that the list should show
and does not, tasks that are to be stopped, and costs that were not stated. If fewer tasks are due
than pages would be read, Detail is cheaper and is used.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from wiro_dagster.api.types import Task
from wiro_dagster.errors import ApiError, AuthenticationRefused
from wiro_dagster.ledger import FOLLOWED, Cost, Move, Order, SubmissionRecord
from wiro_dagster.ledger.hints import HINTED
from wiro_dagster.orders.allowance import Allowance
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.judge import Judgement, is_plain_success, is_stated, why_stop
from wiro_dagster.orders.list_span import SLACK, find_span
from wiro_dagster.orders.look import judge, look_at_order, recheck_cost
from wiro_dagster.orders.strays import explain_strays
from wiro_dagster.orders.task_list import list_page

Step = Callable[[], list[str]]
RunAll = Callable[[Sequence[Step]], None]

_DUE_AT_ONCE = 1000
_DETAILS_A_SWEEP = 60
_RECHECKS_A_SWEEP = 20
_MAXIMUM_PAGES = 30
_FULL_SWEEP_SECONDS = 60.0
_AUDITED_SECONDS = 86_400.0
_AUDITED_PAGES = 10
"""How far back, and how many pages at once, the list is read now and then, also if nothing is due.
"""

_AUDIT_PART_SECONDS = 60.0
"""How soon the next pages follow: the whole last day is read, however many tasks it had."""

_LONGEST_PAUSE_SECONDS = 60.0
_HINT_PAUSE_SECONDS = 0.75
"""How soon a hint brings another look at all that may have ended: not every task has a socket."""

_HINTED_PAUSE_SECONDS = 0.3
"""How soon a hint brings a look at the hinted tasks alone, which takes few pages of the list."""

_WATCH_SECONDS = 20.0
"""How soon another process takes the watch over from one that stopped ticking."""

_PAGES_A_MINUTE = 60
"""How many pages are read at most in the long run, and in one burst."""

_PAGES_A_TASK = 0.2
"""How many pages a minute each due task allows, if that is more: tasks of a model that we know
nothing of are all due from the start, and we still want to see their ends in time.
"""


@dataclass
class WatchReport:
    """What one sweep did.

    Args:
        looked: how many tasks were looked at.
        notices: one line each, for the tick's log.
    """

    looked: int = 0
    notices: list[str] = field(default_factory=list)


@dataclass
class _Sweep:
    """What one sweep has found so far."""

    due: dict[str, Order]
    has_list: bool = False
    seen: set[str] = field(default_factory=set)
    details: dict[int, Order] = field(default_factory=dict)
    unchanged: list[Order] = field(default_factory=list)
    report: WatchReport = field(default_factory=WatchReport)


class Watch:
    """Follows the tasks of one account, for all collections and processes that share its ledger.

    Args:
        context: of any collection of the account.
    """

    def __init__(self, context: OrderContext) -> None:
        self._context = context
        self._name = uuid.uuid4().hex
        self._next_sweep_at = 0.0
        self._swept_at = self._looked_at = 0.0
        self._followed_hints: set[int] = set()
        self._due_count = 0
        self._allowance = Allowance(_PAGES_A_MINUTE, context.now())
        self._full_sweep_at = 0.0
        self._audited_at = context.now()
        self._audited_to = 0

    def release(self) -> None:
        """Leave the watch to another desk at once. The next sweep takes it again if it is free."""
        self._context.ledger.release_watch(self._context.account, self._name)

    def is_due(self, *, hurry: bool = False) -> bool:
        """Whether a sweep has anything to look at, and the last one is long enough ago.

        Args:
            hurry: pause only for a moment, because something hinted that there is news.
        """
        context, now = self._context, self._context.now()
        # After a longer pause than there can be, the clock was set back: that stops no watch.
        pause, longest = self._next_sweep_at - now, _LONGEST_PAUSE_SECONDS
        if hurry and pause <= context.policy.timing.sweep_pause_seconds:
            pause = self._swept_at + _HINT_PAUSE_SECONDS - now
            if 0 < pause <= longest and now - self._looked_at >= _HINTED_PAUSE_SECONDS:
                return bool(self._list_hinted()) and context.gate.may_read()
        if 0 < pause <= longest:
            return False
        if not self._is_audit_due(now) and not context.ledger.is_watch_due(context.account):
            return False
        return context.gate.may_read()

    def sweep(self, run_all: RunAll) -> WatchReport:
        """Look at what is due, unless another process holds the watch.

        Args:
            run_all: runs steps side by side and returns when all have ended, or time is up.
        """
        context, ledger, now = self._context, self._context.ledger, self._context.now()
        timing = context.policy.timing
        self._looked_at = now
        if not ledger.hold_watch(
            context.account, self._name, seconds=min(timing.lease_seconds, _WATCH_SECONDS)
        ):
            self._swept_at, self._next_sweep_at = now, now + timing.sweep_pause_seconds
            return WatchReport()
        is_audit_due = self._is_audit_due(now)
        due = self._list_due(now)
        sweep = _Sweep({str(order.task_id): order for order in due})
        try:
            pages = self._read_list(sweep)
            if is_audit_due:
                self._audited_at = now
                pages += self._read_recent(sweep)
        except ApiError as error:
            context.note_read_failure(error)
            sweep.report.notices.append(f"Wiro's list of tasks could not be read: {error}")
            self._next_sweep_at = now + timing.look_maximum_seconds
            if isinstance(error, AuthenticationRefused):
                return sweep.report  # Task/Detail would be refused too
        else:
            if pages:
                context.end_problem("reads")
            pause = self._allowance.spend(pages, now, at_least=_PAGES_A_TASK * self._due_count)
            self._next_sweep_at = max(self._next_sweep_at, now + pause)
        run_all(self._closer_looks(sweep))
        run_all(self._cost_rechecks())
        self._put_off(sweep)
        sweep.report.looked = len(sweep.seen) + len(sweep.details)
        return sweep.report

    def _list_due(self, now: float) -> list[Order]:
        """Return what to look at: all that is due; after a hint, all that may have ended.

        Soon after such a look, it is only what was hinted at.
        """
        context, pause = self._context, self._context.policy.timing.sweep_pause_seconds
        is_early = now < self._next_sweep_at
        is_soon = 0 <= now - self._swept_at < _HINT_PAUSE_SECONDS
        hinted = self._list_hinted() if is_early and is_soon else []
        if hinted:
            # Once: an end that the list does not show yet is seen by the next look at all.
            self._followed_hints.update(order.id for order in hinted)
            return hinted
        self._followed_hints.clear()
        self._swept_at = now
        # What falls due before the next sweep would wait for the one after, if it missed this one.
        # After a hint, those that were looked at a moment ago may have ended too: batches do.
        ahead_seconds = pause if is_early else pause / 2
        due = context.ledger.list_followed(
            context.account, limit=_DUE_AT_ONCE, ahead_seconds=ahead_seconds
        )
        if is_early:
            return [order for order in due if self._may_have_ended(order, now)]
        self._next_sweep_at, self._due_count = now + pause, len(due)
        return due

    def _may_have_ended(self, order: Order, now: float) -> bool:
        """Whether a hint is reason to look at a task: it is meant, or a quicker one has ended."""
        if order.due_at == HINTED:
            return True
        quickest = self._context.pace.find_quickest(order.model_slug)
        return quickest is None or now - (order.submitted_at or now) >= quickest

    def _list_hinted(self) -> list[Order]:
        """Return orders whose task may have ended, and that were not looked at since the hint."""
        hinted = self._context.ledger.list_hinted(self._context.account, limit=_DUE_AT_ONCE)
        return [order for order in hinted if order.id not in self._followed_hints]

    def _is_audit_due(self, now: float) -> bool:
        return abs(now - self._audited_at) >= self._context.policy.timing.audit_pause_seconds

    def _read_list(self, sweep: _Sweep) -> int:
        """Read the pages that show the due tasks, and judge what they show. Return how many."""
        if not sweep.due:
            return 0
        now = self._context.now()
        is_full = now - self._full_sweep_at >= _FULL_SWEEP_SECONDS
        span = find_span(sweep.due.values(), self._rank, from_newest=is_full)
        if is_full:
            self._full_sweep_at = now
        sweep.details |= {order.id: order for order in span.left_out}
        listed = sweep.due.keys() - {str(order.task_id) for order in span.left_out}
        pages, start = 0, span.first
        while listed and pages < min(span.pages + 1, _MAXIMUM_PAGES):
            page = list_page(self._context, start)
            pages += 1
            sweep.has_list = True
            self._judge_page(sweep, page.tasks)
            start += page.length
            if page.length == 0 or start >= page.total or listed <= sweep.seen:
                break
        return pages

    def _read_recent(self, sweep: _Sweep) -> int:
        """Read the tasks of the last day: costs change after an end, and strays end unseen.

        A long list is read in parts, a minute apart. New tasks move the others down the list, so
        the next part begins a little before the place where this one stopped, and skips none.
        """
        now, start = self._context.now(), self._audited_to
        since = self._context.wiro_now() - _AUDITED_SECONDS
        for number in range(_AUDITED_PAGES):
            page = list_page(self._context, start)
            self._judge_page(sweep, page.tasks)
            start += page.length
            is_old = any(0 < (task.created_at or 0) < since for task in page.tasks)
            if page.length == 0 or start >= page.total or is_old:
                self._audited_to = 0
                return number + 1
        self._audited_to = max(0, start - SLACK)
        pause = self._context.policy.timing.audit_pause_seconds
        self._audited_at = now - max(0.0, pause - _AUDIT_PART_SECONDS)
        return _AUDITED_PAGES

    def _rank(self, order: Order) -> int:
        context = self._context
        return context.ledger.count_submitted_after(context.account, order.claimed_at or 0.0)

    def _judge_page(self, sweep: _Sweep, tasks: Sequence[Task]) -> None:
        context, ledger = self._context, self._context.ledger
        by_id = {task.id: task for task in tasks}
        new = sweep.due.keys() - sweep.seen
        found = {task_id: sweep.due[task_id] for task_id in by_id if task_id in new}
        others = [task_id for task_id in by_id if task_id not in found]
        found |= ledger.find_unowned_of_tasks(context.account, others)
        records = {
            str(record.task_id): record
            for record in ledger.find_submissions(context.account, task_ids=list(by_id))
        }
        now = context.now()
        late = {
            task_id: _late_cost(task, records.get(task_id), now) for task_id, task in by_id.items()
        }
        # Of a video that is owned, only a cost that changed is news.
        changed = [task_id for task_id, cost in late.items() if cost and task_id not in found]
        if changed:
            found |= ledger.find_orders_of_tasks(context.account, changed)
        sweep.seen |= records.keys()
        moves: list[Move] = []
        costs: list[tuple[Order, Cost]] = []
        for task_id, order in found.items():
            sweep.seen.add(task_id)
            if order.state in FOLLOWED:
                if not by_id[task_id].is_ended:
                    context.listen(task_id, by_id[task_id].token)
                try:
                    move = self._judge_listed(sweep, order, by_id[task_id], now)
                except Exception:  # one odd task must not stop the others
                    sweep.details[order.id] = order
                    continue
            else:
                move = _late_files(order, by_id[task_id])
                cost = late[task_id]
                costs += [] if cost is None else [(order, cost)]
            if move is not None:
                moves.append(move)
        ledger.apply_all(moves)
        context.stop_listening([task_id for task_id in found if by_id[task_id].is_ended])
        ledger.note_costs(costs)
        ledger.note_listed([r.id for r in records.values() if r.listed_at is None])
        unexplained = [task for task_id, task in by_id.items() if task_id not in records]
        if unexplained:
            sweep.report.notices += explain_strays(context, unexplained)

    def _judge_listed(self, sweep: _Sweep, order: Order, task: Task, now: float) -> Move | None:
        """Judge an order by the list if that is enough; otherwise have a closer look."""
        context, policy = self._context, self._context.policy
        is_due = task.id in sweep.due
        wiro_now = context.wiro_now()
        if order.state == "settling" or (task.is_ended and not is_plain_success(task, order)):
            if is_due or order.state == "running":
                sweep.details[order.id] = order
            return None
        if order.stop_reason or why_stop(order, task, wiro_now=wiro_now, policy=policy):
            if is_due:
                sweep.details[order.id] = order
            return None
        judgement = judge(context, order, task, now=now)
        if judgement.is_news:
            return _move(order, judgement)
        if is_due:
            sweep.unchanged.append(order)
        return None

    def _closer_looks(self, sweep: _Sweep) -> list[Step]:
        """Return the readings of Task/Detail that the list leaves open."""
        if not self._context.gate.may_read():
            return []
        missing = [
            order
            for task_id, order in sweep.due.items()
            if task_id not in sweep.seen and order.id not in sweep.details
        ]
        if sweep.has_list:
            missed = [str(order.task_id) for order in missing]
            self._context.ledger.note_missed(self._context.account, missed)
        orders = [*sweep.details.values(), *missing][:_DETAILS_A_SWEEP]
        return [partial(look_at_order, self._context, order) for order in orders]

    def _cost_rechecks(self) -> list[Step]:
        """Return the readings of costs that were not stated when their task ended."""
        records = self._context.ledger.list_cost_rechecks(
            self._context.account, limit=_RECHECKS_A_SWEEP
        )
        return [partial(recheck_cost, self._context, record) for record in records]

    def _put_off(self, sweep: _Sweep) -> None:
        """Look less and less often at tasks that take long. Those near their end stay due."""
        timing, now = self._context.policy.timing, self._context.now()
        later: dict[int, list[int]] = {}
        for order in sweep.unchanged:
            submitted_at = order.submitted_at or now
            pause = timing.next_look_seconds(now - submitted_at)
            # The batch's first ends say when the others are worth a look.
            expected_at = self._context.pace.first_look_at(order.model_slug, submitted_at)
            pause = max(pause, expected_at - now)
            if pause > 2 * timing.sweep_pause_seconds:
                later.setdefault(round(pause), []).append(order.id)
        for pause, ids in later.items():
            self._context.ledger.put_off_looks(ids, due_at=now + pause)


def _move(order: Order, judgement: Judgement) -> Move:
    return Move(order, judgement.transition, judgement.records, judgement.cost)


def _late_files(order: Order, task: Task) -> Move | None:
    """Look again at a task that shows files after its order was closed without them."""
    if order.state in ("failed", "cancelled") and task.state == "succeeded" and task.outputs:
        return Move(order, "follow_again", {"due_at": 0.0, "attempts": 0})
    return None


def _late_cost(task: Task, record: SubmissionRecord | None, now: float) -> Cost | None:
    """Return what Wiro says of a cost after the order was closed, if that is news."""
    if record is None or not task.is_ended:
        return None
    if record.cost_usd == 0 and not is_stated(task, record.ceiling_usd):
        # The 0 of a failure that turned out to be a success.
        return Cost(None, has_ended=True, recheck_at=now)
    if task.cost_usd is None or record.cost_usd == task.cost_usd:
        return None
    if record.cost_usd is None and not task.cost_usd:
        return None
    return Cost(task.cost_usd, has_ended=True)
