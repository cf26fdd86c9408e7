"""Accounts and their keys: an account keeps its name, its budget and its problems."""

from __future__ import annotations

import pytest

from tests.conftest import Clock
from tests.support.ledger_orders import request, running
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.ledger import Gate, Ledger
from wiro_dagster.ledger.collections import ALIVE_SECONDS, ORPHANED_SECONDS

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


def test_a_key_stays_with_the_account_it_was_first_seen_to_belong_to(ledger: Ledger) -> None:
    """Two processes that learn it at once agree: the first note stands."""
    assert ledger.find_account_of_key("new-key") is None
    assert ledger.note_key("new-key", "account") == "account"
    assert ledger.note_key("new-key", "new-key") == "account"
    assert ledger.find_account_of_key("new-key") == "account"


def test_a_new_key_is_tried_on_the_newest_task_of_each_account(ledger: Ledger) -> None:
    """One task an account is enough, since an account sees all of its tasks."""
    for name in ("old", "new"):
        running(ledger, name)
    newest = ledger.list_orders(partitions=["new"])[0].task_id
    assert ledger.list_recent_tasks(limit=5) == [("account", newest)]


def test_unsent_orders_of_an_earlier_key_of_the_account_are_taken_over(ledger: Ledger) -> None:
    """They were placed before the key was known to be the account's."""
    order = ledger.place(request("cat", account="new-key")).order
    ledger.note_key("new-key", "account")
    assert Gate(ledger, "account").take_over("video") == 1
    assert ledger.get(order.id).account == "account"


def test_a_shorter_pause_ends_no_longer_one(ledger: Ledger, clock: Clock) -> None:
    """Whoever asks for less time must not open what is closed for longer."""
    gate = Gate(ledger, "account")
    gate.slow_down(until=clock() + 60, reason="Slow down.")
    gate.slow_down(until=clock() + 5, reason="Slow down.")
    clock.advance(59)
    assert (gate.may_submit(), gate.may_read()) == (False, False)
    clock.advance(1)
    assert (gate.may_submit(), gate.may_read()) == (True, True)


def test_a_collection_belongs_to_one_project_while_that_lives(ledger: Ledger, clock: Clock) -> None:
    """Another project's store may take it over once the first has been silent for long enough."""
    ledger.hold_collection("video", project="s3://one", account="account")
    with pytest.raises(ConfigurationError, match="s3://one"):
        ledger.hold_collection("video", project="s3://two", account="account")
    clock.advance(ALIVE_SECONDS)
    ledger.hold_collection("video", project="s3://two", account="account")


def test_orders_of_a_silent_collection_are_cared_for(ledger: Ledger, clock: Clock) -> None:
    """Only those of the same project and account, and only if something is under way."""
    running(ledger, "cat")
    ledger.hold_collection("video", project="here", account="account")
    ledger.hold_collection("idle", project="here", account="account")

    def orphans(project: str = "here", account: str = "account") -> list[str]:
        return ledger.list_orphaned("renamed", project=project, account=account)

    clock.advance(ORPHANED_SECONDS)
    assert orphans() == []
    clock.advance(1)
    assert orphans() == ["video"]
    assert orphans(project="elsewhere") == orphans(account="another") == []
