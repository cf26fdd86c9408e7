"""The ledger's invariants, for any interleaving of people, processes, answers and deaths."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import Clock
from tests.support.ledger_orders import FILES, OUTPUTS, request
from wiro_dagster.ledger import Cost, Gate, Ledger, Order
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.ledger.schema import accounts, orders, submissions
from wiro_dagster.ledger.transitions import FOLLOWED, SETTLED, STATES, TRANSITIONS, WITHOUT_VIDEO

PRICE = Decimal("0.30")
LIMITS = BudgetLimits(total_usd=Decimal("1.20"), daily_usd=Decimal("1.20"))
LEASE = 60.0
GRACE = 300.0
STEPS = {"running": None, "finished": "succeed", "failed": "fail", "cancelled": "cancel"}
Video = tuple[str, str]


def _reachable() -> dict[str, set[str]]:
    """The states that a rule may bring an order to: a few steps of the table."""
    arrows = {
        state: {
            step.target
            for step in TRANSITIONS.values()
            if state in step.sources and step.target is not None
        }
        for state in STATES
    }
    reached: dict[str, set[str]] = {state: {state} for state in STATES}
    for _ in range(3):
        reached = {
            state: found | {far for near in found for far in arrows[near]}  # type: ignore[index]
            for state, found in reached.items()
        }
    return reached


REACHABLE = _reachable()


class Task:
    """What Wiro made of one POST."""

    def __init__(self, marker: str, video: Video) -> None:
        self.marker = marker
        self.video = video
        self.state = "running"
        self.cost_usd: Decimal | None = None


class LedgerMachine(RuleBasedStateMachine):
    """Several processes on one ledger, and a Wiro that is a list of tasks."""

    posts = Bundle("posts")
    answers = Bundle("answers")
    claimed = Bundle("claimed")

    def __init__(self, ledger_url: str) -> None:
        super().__init__()
        self.clock = Clock()
        self.ledger = Ledger(ledger_url, clock=self.clock)
        with self.ledger.writing() as connection:
            for table in (orders, submissions, accounts):
                connection.execute(sa.delete(table))
        self.gate = Gate(self.ledger, "account")
        self.wiro: dict[str, Task] = {}
        self.seen: dict[int, Order] = {}
        # How often the user said that a video may be paid for once more.
        self.forced: Counter[Video] = Counter()

    def draw_order(self, data: st.DataObject, *states: str) -> Order | None:
        found = [order for order in self.seen.values() if order.state in (states or STATES)]
        return data.draw(st.sampled_from(found)) if found else None

    # ---- people and runs ----

    @rule(partition=st.sampled_from("ab"), prompt=st.sampled_from("xy"), stops=st.booleans())
    def place(self, partition: str, prompt: str, stops: bool) -> None:
        wanted = request(partition, prompt, ceiling_usd=PRICE)
        placed = self.ledger.place(wanted, cancel_superseded=stops)
        assert placed.order.fingerprint == prompt
        assert placed.order.superseded_by is None
        latest = self.ledger.find_latest("video", partition)
        assert latest is not None
        assert latest.id == placed.order.id

    @rule(data=st.data(), state=st.sampled_from(["failed", "cancelled"]))
    def stop(self, data: st.DataObject, state: Any) -> None:
        order = self.draw_order(data)
        if order is not None:
            self.ledger.request_stop(order.id, state=state, reason="enough")

    @rule(data=st.data())
    def recover_by_hand(self, data: st.DataObject) -> None:
        order = self.draw_order(data)
        if order is not None:
            self.ledger.recover(order.id)

    @rule(data=st.data())
    def decide_about_a_lost_answer(self, data: st.DataObject) -> None:
        order = self.draw_order(data, "unknown")
        if order is not None:
            self.forced[order.partition, order.fingerprint] += 1
            if data.draw(st.booleans()):
                self.ledger.send_again(order)
            else:
                self.ledger.abandon_unknown(order)

    @rule(data=st.data())
    def pay_once_more(self, data: st.DataObject) -> None:
        order = self.draw_order(data, *WITHOUT_VIDEO)
        if order is not None and self.ledger.free_to_repeat(order.id):
            self.forced[order.partition, order.fingerprint] += 1

    @rule(data=st.data())
    def lose_the_files(self, data: st.DataObject) -> None:
        order = self.draw_order(data, "stored", "delivered")
        if order is not None:
            self.ledger.fetch_again(order)

    @rule(seconds=st.sampled_from([1.0, LEASE / 2, LEASE + 1, GRACE + 1]))
    def time_passes(self, seconds: float) -> None:
        """Also the way to die: what was claimed is not renewed."""
        self.clock.advance(seconds)

    # ---- submitting ----

    @rule(target=posts, limit=st.integers(1, 3))
    def admit(self, limit: int) -> Any:
        return multiple(*self.gate.admit("video", LIMITS, limit=limit, lease_seconds=LEASE).orders)

    @rule(target=answers, order=consumes(posts))
    def post(self, order: Order) -> Any:
        """A process sends what it holds, if it still holds it."""
        if not all(self.ledger.renew_all([order], LEASE)):
            return multiple()
        task_id = f"task{len(self.wiro)}"
        self.wiro[task_id] = Task(str(order.marker), (order.partition, order.fingerprint))
        return (order, task_id)

    @rule(order=consumes(posts), is_final=st.booleans())
    def refuse(self, order: Order, is_final: bool) -> None:
        """Nothing was accepted."""
        if not all(self.ledger.renew_all([order], LEASE)):
            return
        if is_final:
            self.ledger.note_refused(order, "wrong inputs")
        else:
            self.ledger.note_unsent(order, due_at=self.clock(), hold="later")

    @rule(answer=consumes(answers))
    def answer(self, answer: tuple[Order, str]) -> None:
        """The answer comes, at once or long after everybody has given it up."""
        order, task_id = answer
        self.ledger.note_task(order, task_id, due_at=self.clock(), marker=order.marker)
        assert self.ledger.find_submissions("account", task_ids=[task_id])

    @rule(answer=consumes(answers))
    def lose(self, answer: tuple[Order, str]) -> None:
        """The answer never comes, and the sender lives to note that."""
        order, _ = answer
        now = self.clock()
        self.ledger.apply(order, "lose", lost_since=now, looks=0, due_at=now)

    @rule()
    def sweep(self) -> None:
        """Tasks that the list shows are given to the POST whose marker they carry."""
        known = self.ledger.find_submissions("account", task_ids=list(self.wiro))
        for task_id in self.wiro.keys() - {record.task_id for record in known}:
            marker = self.wiro[task_id].marker
            record = self.ledger.find_marked("account", marker)
            assert record is not None
            order = self.ledger.get(record.order_id)
            self.ledger.note_task(order, task_id, due_at=self.clock(), marker=marker)

    @rule(lists=st.booleans())
    def look_up(self, lists: bool) -> None:
        """What recovering does: adopt by the marker, else wait, else send again."""
        if lists:
            self.sweep()
        for order in self.ledger.claim(
            "video", ["submitting", "unknown"], limit=10, lease_seconds=LEASE
        ):
            now, lost_since = self.clock(), order.lost_since or self.clock()
            if lists and now - lost_since >= GRACE:
                self.ledger.note_unsent(order, due_at=now, nothing_bought=False)
            else:
                self.ledger.apply(order, "lose", lost_since=lost_since, due_at=now + 1)

    # ---- watching, collecting, reporting ----

    @rule(data=st.data(), state=st.sampled_from(["finished", "failed", "cancelled"]))
    def task_ends(self, data: st.DataObject, state: str) -> None:
        live = [task for task in self.wiro.values() if task.state == "running"]
        if live:
            task = data.draw(st.sampled_from(live))
            task.state = state
            billed = [PRICE] if state == "finished" else [Decimal(0), PRICE]
            task.cost_usd = data.draw(st.sampled_from(billed))

    @rule(states_cost=st.booleans())
    def watch(self, states_cost: bool) -> None:
        for order in self.ledger.list_orders(states=FOLLOWED):
            task = self.wiro[str(order.task_id)]
            step = STEPS[task.state]
            now = self.clock()
            if step is None:
                self.ledger.apply(order, "observe", due_at=now + 3)
            elif order.state == "running" and not states_cost:
                self.ledger.apply(order, "end", ended_at=now, due_at=now + 3)
            else:
                cost = Cost(task.cost_usd if states_cost else None, has_ended=True)
                outputs = OUTPUTS if step == "succeed" else []
                self.ledger.apply(order, step, cost=cost, outputs=outputs, due_at=now)

    @rule(target=claimed)
    def claim(self) -> Any:
        return multiple(*self.ledger.claim("video", ["finished"], limit=2, lease_seconds=LEASE))

    @rule(order=consumes(claimed), succeeds=st.booleans())
    def collect(self, order: Order, succeeds: bool) -> None:
        if succeeds:
            self.ledger.apply(order, "store", files=FILES, due_at=self.clock())
        else:
            self.ledger.apply(order, "lose_files", due_at=self.clock())

    @rule(dies=st.booleans())
    def report(self, dies: bool) -> None:
        told = self.ledger.claim("video", ["stored", *WITHOUT_VIDEO], limit=5, lease_seconds=LEASE)
        if not dies:
            self.ledger.mark_reported([order.id for order in told])
        self.ledger.set_aside_superseded("video")

    # ---- what holds at every moment ----

    @invariant()
    def states_follow_the_table_and_nothing_vanishes(self) -> None:
        found = {order.id: order for order in self.ledger.list_orders()}
        assert found.keys() >= self.seen.keys()
        for order_id, before in self.seen.items():
            after = found[order_id]
            assert after.state in REACHABLE[before.state], (before.state, after.state)
            assert before.task_id in (None, after.task_id)
            assert before.cost_usd in (None, after.cost_usd)
        self.seen = found

    @invariant()
    def one_live_order_stands_for_a_video(self) -> None:
        live = [(o.partition, o.fingerprint) for o in self.ledger.list_orders() if o.live_key]
        assert len(live) == len(set(live))

    @invariant()
    def one_order_at_most_stands_for_a_partition(self) -> None:
        shown = [
            order.partition for order in self.ledger.list_orders() if order.superseded_by is None
        ]
        assert len(shown) == len(set(shown))

    @invariant()
    def a_task_is_one_orders_and_one_submissions(self) -> None:
        tasks = [order.task_id for order in self.ledger.list_orders() if order.task_id]
        booked = [record.task_id for record in self.ledger.list_submissions(with_task=True)]
        assert len(tasks) == len(set(tasks))
        assert sorted(map(str, tasks)) == sorted(map(str, booked))

    @invariant()
    def a_video_is_paid_for_once_unless_the_user_says_otherwise(self) -> None:
        paid = Counter(task.video for task in self.wiro.values() if task.cost_usd != 0)
        for video, count in paid.items():
            assert count <= 1 + self.forced[video]

    @invariant()
    def spent_and_committed_stay_within_the_budget(self) -> None:
        with self.ledger.reading() as connection:
            books = self.gate.books(connection, "video", LIMITS)
        assert LIMITS.total_usd is not None
        assert books.daily_usd <= books.total_usd <= LIMITS.total_usd
        # Whatever the ledger believes, Wiro cannot have charged more than the books count.
        charged = (task.cost_usd or Decimal(0) for task in self.wiro.values())
        assert sum(charged, Decimal(0)) <= books.total_usd

    @invariant()
    def what_is_at_rest_has_ended(self) -> None:
        assert all(o.state in SETTLED for o in self.ledger.list_orders() if o.due_at is None)

    def teardown(self) -> None:
        """Let everything come to its end, and look for what was lost."""
        for task in self.wiro.values():
            if task.state == "running":
                task.state, task.cost_usd = "finished", PRICE
        for _ in range(20):
            if all(order.due_at is None for order in self.ledger.list_orders()):
                break
            self.clock.advance(GRACE + 1)
            for step in (
                lambda: self.look_up(lists=True),
                lambda: self.watch(states_cost=True),
                self._collect_all,
                lambda: self.report(dies=False),
            ):
                step()
                self.states_follow_the_table_and_nothing_vanishes()
        busy = [order for order in self.seen.values() if order.due_at is not None]
        assert all(order.state == "ordered" for order in busy)
        booked = {str(r.task_id): r for r in self.ledger.list_submissions(with_task=True)}
        assert booked.keys() == self.wiro.keys()
        for task_id, task in self.wiro.items():
            assert booked[task_id].cost_usd in (None, task.cost_usd)
        self.ledger.close()

    def _collect_all(self) -> None:
        for order in self.ledger.claim("video", ["finished"], limit=99, lease_seconds=1):
            self.collect(order, succeeds=True)


def test_any_interleaving_keeps_the_invariants(ledger_url: str) -> None:
    """One live order a video, one order a task, spent within the budget, nothing vanishes."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: LedgerMachine(ledger_url),
        settings=settings(
            # The rules are the ledger's; PostgreSQL only locks differently. The model searches all
            # orders of events, and the simulation many more at random.
            max_examples=12 if ledger_url.startswith("sqlite") else 5,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
