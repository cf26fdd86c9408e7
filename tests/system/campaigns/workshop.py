"""Orders on the emulator without Dagster: a ledger, a store, a client, and time to move."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import sqlalchemy as sa

from tests.system.campaigns.departures import Departures, NotingClient
from tests.system.campaigns.own_tasks import is_denied, list_own_tasks
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.emulator import EmulatorControl
from wiro_dagster.emulator.settings import EMULATOR_API_KEY, EMULATOR_API_SECRET
from wiro_dagster.ledger import Ledger, Order, Placement
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.ledger.schema import submissions
from wiro_dagster.orders import OrderContext, OrderDesk, OrderPolicy, TickReport
from wiro_dagster.orders.models import Models
from wiro_dagster.prompts import Prompt
from wiro_dagster.store import FolderStore

MODEL = "minimax/hailuo-2-3"
PRICE = Decimal("0.28")
COLLECTION = "video"
ACCOUNT = "emulated"
_OPENER = build_opener(ProxyHandler({}))


def make_prompt(name: str, *, take: int = 1, model: str = MODEL, **inputs: Any) -> Prompt:
    """A prompt whose text names it; other inputs replace the defaults."""
    defaults = {
        "prompt": f"A film about {name}",
        "promptOptimizer": "true",
        "resolution": "768P",
        "duration": "6",
    }
    return Prompt(id=name, model_slug=model, inputs={**defaults, **inputs}, take=take)


@dataclass
class Workshop:
    """What one process has: everything that an order desk needs, and the desk.

    Args:
        emulator: steers the emulator.
        base_url: of its API.
        cdn_host: where its files are.
        ledger_url: of the ledger.
        folder: for the videos.
        clock: unix seconds; of the emulator where it is frozen.
        policy: timings.
        limits: budget.
        options: more fields of the `OrderContext`.
        client_options: more arguments of the `WiroClient`.
        desk_options: more arguments of the `OrderDesk`.
        departures: takes note of each run that leaves; `None` = nobody does.
    """

    emulator: EmulatorControl
    base_url: str
    cdn_host: str
    ledger_url: str
    folder: Path
    clock: Callable[[], float] = time.time
    policy: OrderPolicy = field(default_factory=OrderPolicy)
    limits: BudgetLimits = field(default_factory=BudgetLimits)
    options: dict[str, Any] = field(default_factory=dict)
    client_options: dict[str, Any] = field(default_factory=dict)
    desk_options: dict[str, Any] = field(default_factory=dict)
    api_key: str = EMULATOR_API_KEY
    departures: Departures | None = None

    def open_client(self) -> WiroClient:
        """A client with short patience."""
        given = {"connect_timeout_seconds": 2.0, "read_timeout_seconds": 20.0, "read_attempts": 2}
        options = {"cdn_hosts": [self.cdn_host]} | given | self.client_options
        credentials = Credentials(self.api_key, EMULATOR_API_SECRET)
        if self.departures is not None:
            return NotingClient(self.departures, credentials, base_url=self.base_url, **options)
        return WiroClient(credentials, base_url=self.base_url, **options)

    def open_ledger(self) -> Ledger:
        """The ledger, with this workshop's time."""
        is_real_time = self.clock is time.time
        return Ledger(self.ledger_url, clock=self.clock, is_real_time=is_real_time)

    def open_context(self, **changes: Any) -> OrderContext:
        """Ledger, client, store and rules."""
        ledger = changes.pop("ledger", None) or self.open_ledger()
        client = changes.pop("client", None) or self.open_client()
        models = Models(ledger, client)
        values = {
            "store": FolderStore(self.folder),
            "quoter": models.quote,
            "fit_inputs": models.fit_inputs,
            "account": ACCOUNT,
            "collection": COLLECTION,
            "limits": self.limits,
            "policy": self.policy,
            **self.options,
            **changes,
        }
        return OrderContext(ledger=ledger, client=client, **values)

    def open_desk(self, **changes: Any) -> OrderDesk:
        """A desk as a new process has it."""
        return OrderDesk(self.open_context(**changes), **self.desk_options)


def tick(desk: OrderDesk, seconds: float = 20.0) -> TickReport:
    """One tick with time enough."""
    return desk.tick(time.monotonic() + seconds)


def report_all(ledger: Ledger, *, lease_seconds: float = 60.0) -> int:
    """Does what the sensor does: takes what has ended, and notes that it was told."""
    told = ledger.claim(
        COLLECTION,
        ("stored", "failed", "cancelled", "uncollected"),
        limit=1000,
        lease_seconds=lease_seconds,
        unwaited=True,
    )
    ledger.mark_reported([order.id for order in told])
    return len(told)


def place(desk: OrderDesk, name: str, **options: Any) -> Placement:
    """Orders the video of a prompt that is named like its partition."""
    return desk.place(name, make_prompt(name, **options))


def fetch_sha256(url: str) -> str:
    """Of a file of the emulator's, fetched without any fault."""
    sign = "&" if "?" in url else "?"
    with _OPENER.open(f"{url}{sign}{_NO_FAULT}=1", timeout=30) as answer:
        return hashlib.sha256(answer.read()).hexdigest()


def stored_sha256(folder: Path, order: Order) -> list[str]:
    """Of the files that an order has in the store, read from the disk."""
    return [
        hashlib.sha256((folder / str(file["key"])).read_bytes()).hexdigest() for file in order.files
    ]


def spent_by_ledger(ledger: Ledger) -> Decimal:
    """Return what Wiro charged by the ledger's books: the stated costs of all submissions."""
    costs = (record.cost_usd for record in ledger.list_submissions())
    return sum((cost for cost in costs if cost is not None), Decimal(0))


def committed_by_ledger(ledger: Ledger) -> Decimal:
    """Return what the budget counts: stated costs, and the ceilings of all other submissions."""
    counted = sa.func.coalesce(submissions.c.cost_usd, submissions.c.ceiling_usd)
    query = sa.select(sa.func.sum(counted, type_=submissions.c.cost_usd.type))
    with ledger.reading() as connection:
        found = connection.execute(query.where(submissions.c.outcome != "nothing")).scalar()
    return found or Decimal(0)


def list_book_errors(ledger: Ledger, emulator: EmulatorControl) -> dict[str, str]:
    """Hold the books against the emulator's own: each task in one submission, at its true cost.

    Returns:
        What is wrong, by task.
    """
    records = {str(record.task_id): record for record in ledger.list_submissions(with_task=True)}
    errors = {}
    for task in list_own_tasks(emulator):
        record, cost = records.pop(task["id"], None), Decimal(task["cost_usd"])
        if record is None:
            errors[task["id"]] = f"{cost} USD, in no submission"
        elif task["has_ended"] and (record.cost_usd or Decimal(0)) != cost and not is_denied(task):
            worlds = ", ".join(task["script"].get("worlds", ())) or "no world"
            errors[task["id"]] = (
                f"cost {cost} USD; the books say {record.cost_usd} ({worlds}, "
                f"exit code {task['exit_code']})"
            )
    # The user of a campaign may adopt a twin that no list shows.
    ours = {task["id"] for task in emulator.tasks() if task["origin"] != "foreign"}
    return errors | dict.fromkeys(records.keys() - ours, "on the books and not ours")


_NO_FAULT = "moved"  # the emulator spoils no download that was redirected already
