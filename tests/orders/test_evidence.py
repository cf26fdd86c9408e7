"""Evidence outside the ledger: what its witnesses and the notes beside the files say."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.orders.conftest import OpenContext
from tests.support.ledger_orders import request, stored, submitting
from wiro_dagster.errors import StoreError
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.ledger.order import live_key
from wiro_dagster.orders import OrderContext
from wiro_dagster.orders.evidence import note_or_warn, restore_owned, write_order_note
from wiro_dagster.orders.witness import find_contradiction, write_witness
from wiro_dagster.store import FolderStore

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


@pytest.fixture
def context(open_context: OpenContext, ledger: Ledger) -> OrderContext:
    return open_context(ledger)


@pytest.fixture
def other_ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / 'other.db'}")


def test_a_store_without_witnesses_contradicts_no_ledger(context: OrderContext) -> None:
    """Nothing was bought into it."""
    assert find_contradiction(context) is None


def test_a_ledger_agrees_with_its_own_witness(context: OrderContext) -> None:
    """Its sequence never falls behind while it is the same file."""
    submitting(context.ledger)
    write_witness(context)
    assert find_contradiction(context) is None


def test_a_ledger_that_is_older_than_its_witness_buys_nothing(
    context: OrderContext, tmp_path: Path
) -> None:
    """It was restored from a backup."""
    copy = tmp_path / "backup.db"
    with closing(sqlite3.connect(str(context.ledger.engine.url.database))) as source:
        source.execute(f"VACUUM INTO '{copy}'")
    submitting(context.ledger)
    write_witness(context)
    backup = Ledger(f"sqlite:///{copy}")
    assert "restored from a backup" in str(find_contradiction(replace(context, ledger=backup)))
    backup.close()


def test_a_witness_of_another_ledger_is_believed_until_its_orders_are_taken_over(
    context: OrderContext, open_context: OpenContext, other_ledger: Ledger
) -> None:
    """This ledger is new, or the wrong one. Another collection's witness says nothing of it."""
    write_witness(replace(open_context(other_ledger), collection="other"))
    assert find_contradiction(context) is None
    write_witness(open_context(other_ledger))
    their_id = other_ledger.identity().ledger_id
    assert f"Another ledger ({their_id})" in str(find_contradiction(context))
    context.ledger.absorb(their_id, sequence=1)
    assert find_contradiction(context) is None
    other_ledger.close()


def own(context: OrderContext, **note: Any) -> Order:
    """An owned order, its file in the store, and its note with changes."""
    context.store.root.mkdir(parents=True, exist_ok=True)  # type: ignore[attr-defined]
    (context.store.root / "k").write_bytes(b"1")  # type: ignore[attr-defined]
    order = stored(context.ledger)
    write_order_note(context, order, order.files)
    key = live_key(order.collection, order.partition, order.fingerprint)
    name = f"orders/{key[:2]}/{key}"
    kept = context.store.read_note(name)
    assert kept is not None
    context.store.write_note(name, {**kept, **note})
    return order


def test_a_video_in_the_store_is_put_back_on_an_empty_ledger(
    context: OrderContext, open_context: OpenContext, other_ledger: Ledger
) -> None:
    """It is owned, at its cost, and the books count it; a second look changes nothing."""
    order = own(context)
    empty = open_context(other_ledger)
    restored = restore_owned(empty, request())
    assert restored is not None
    assert (restored.state, restored.task_id, restored.cost_usd) == (
        "delivered",
        order.task_id,
        order.cost_usd,
    )
    assert restore_owned(empty, request()) is None
    assert restore_owned(empty, request("dog")) is None
    other_ledger.close()


def test_a_cost_that_a_note_does_not_state_is_read_again(
    context: OrderContext, open_context: OpenContext, other_ledger: Ledger
) -> None:
    """Wiro stated it after the note was written; its list may never show the task."""
    order = own(context, cost_usd=None)
    empty = open_context(other_ledger)
    restored = restore_owned(empty, request())
    assert restored is not None
    assert restored.cost_usd is None
    due = other_ledger.list_cost_rechecks(order.account, limit=10)
    assert [record.task_id for record in due] == [order.task_id]
    other_ledger.close()


@pytest.mark.parametrize(
    ("note", "is_warned"),
    [
        ({"files": []}, False),
        ({"files": [{"key": "k", "size_bytes": 2}]}, False),
        ({"files": [{"key": "gone", "size_bytes": 1}]}, False),
        ({"files": [{"size_bytes": 1}]}, True),
        ({"take": "many"}, True),
        ({"inputs": None}, True),
    ],
)
def test_a_note_that_fits_no_file_restores_nothing(
    context: OrderContext,
    open_context: OpenContext,
    other_ledger: Ledger,
    caplog: pytest.LogCaptureFixture,
    note: dict[str, Any],
    is_warned: bool,
) -> None:
    """A file that is gone or has another size is not owned; what cannot be read is named."""
    own(context, **note)
    with caplog.at_level(logging.WARNING):
        assert restore_owned(open_context(other_ledger), request()) is None
    assert ("cannot be used" in caplog.text) == is_warned
    other_ledger.close()


class ReadOnlyStore(FolderStore):
    """A store that takes no note."""

    def write_note(self, name: str, content: Mapping[str, Any]) -> None:
        raise StoreError(f"No note {name} of {len(content)} values can be written.")


def test_a_note_that_cannot_be_written_is_warned_about(
    context: OrderContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The video is owned all the same."""
    order = stored(context.ledger)
    with caplog.at_level(logging.WARNING):
        note_or_warn(replace(context, store=ReadOnlyStore(tmp_path)), order, order.files)
    assert f"{order.name}: its note could not be written" in caplog.text
