"""Opening a ledger: its version, its URL, its errors, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import Clock
from tests.support.ledger_orders import request
from wiro_dagster.errors import ConfigurationError, LedgerError
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.database import parse_ledger_url
from wiro_dagster.ledger.models import KeptModels
from wiro_dagster.ledger.schema import identity
from wiro_dagster.ledger.tasks import ensure_account
from wiro_dagster.ledger.uploads import KeptUpload, LedgerUploads


def test_a_ledger_of_another_version_is_refused(ledger: Ledger, ledger_url: str) -> None:
    """A newer ledger is left alone, with a message that says what to do."""
    with ledger.writing() as connection:
        connection.execute(sa.update(identity).values(version=99))
    with pytest.raises(LedgerError, match="schema version 99"):
        Ledger(ledger_url)


def test_a_ledger_of_another_version_is_refused_though_it_lacks_a_table(
    ledger: Ledger, ledger_url: str
) -> None:
    """The message is the same: a later version may have tables that an earlier one had not."""
    with ledger.writing() as connection:
        connection.execute(sa.text("DROP TABLE wiro_uploads"))
        connection.execute(sa.update(identity).values(version=8))
    with pytest.raises(LedgerError, match="schema version 8"):
        Ledger(ledger_url)


def test_an_earlier_ledger_is_refused_and_left_as_it_is(empty_url: str, clock: Clock) -> None:
    """Nothing of it is changed or dropped: the release that wrote it can still read it."""
    engine = sa.create_engine(parse_ledger_url(empty_url))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE wiro_ledger_version (version INTEGER)"))
    with pytest.raises(LedgerError, match="schema version 2"):
        Ledger(empty_url, clock=clock)
    assert sa.inspect(engine).get_table_names() == ["wiro_ledger_version"]
    engine.dispose()


def test_ledgers_open_at_once_on_an_empty_database(empty_url: str) -> None:
    """Several processes may start together; they are one ledger."""
    with ThreadPoolExecutor(6) as pool:
        opened = list(pool.map(lambda _: Ledger(empty_url), range(6)))
    assert all(one.list_orders() == [] for one in opened)
    assert len({one.identity().ledger_id for one in opened}) == 1
    for one in opened:
        one.close()


def test_a_ledger_opens_while_another_process_creates_it(tmp_path: Path) -> None:
    """SQLite does not wait by itself for a file that is being written to be switched to WAL."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(Ledger, f"sqlite:///{path}")
            assert not wait([opening], timeout=0.1).done
            other.execute("COMMIT")
            opening.result().close()


def test_two_ledgers_have_different_ids(tmp_path: Path) -> None:
    """A ledger that was replaced is recognized by its id."""
    first, second = (Ledger(f"sqlite:///{tmp_path / name}") for name in ("a.db", "b.db"))
    assert first.identity().ledger_id != second.identity().ledger_id


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_ledger_whose_file_is_replaced_while_it_is_open_is_not_used(
    tmp_path: Path, *, is_replaced: bool
) -> None:
    """A process must not go on with a deleted file: others would place orders in a new one."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    opened = Ledger(url)
    opened.place(request("cat"))
    for path in list(tmp_path.glob("ledger.db*")):
        path.unlink()
    if is_replaced:
        Ledger(url).close()
    with pytest.raises(LedgerError, match="deleted or replaced"):
        opened.list_orders()
    with pytest.raises(LedgerError, match="restart Dagster"):
        opened.place(request("dog"))


def test_processes_that_meet_at_one_row_both_go_on(ledger_url: str, clock: Clock) -> None:
    """An account, a model, an upload: what two insert at once is there once, and neither fails."""
    ledgers = [Ledger(ledger_url, clock=clock) for _ in range(4)]

    def insert(ledger: Ledger) -> None:
        for number in range(8):
            with ledger.writing() as connection:
                ensure_account(connection, f"account{number}")
            KeptModels(ledger).keep(f"model{number}", {"a": 1}, fetched_at=clock())
            LedgerUploads(ledger, "account").keep(f"sha{number}", KeptUpload({"id": "1"}, 0.0))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(insert, ledgers))
    assert KeptModels(ledgers[0]).find("model7") == {"a": 1}
    for one in ledgers:
        one.close()


@pytest.mark.parametrize("url", ["postgresql://user@host/db", "postgres://user@host/db"])
def test_a_bare_postgresql_url_gets_the_installed_driver(url: str) -> None:
    """SQLAlchemy's default driver differs between versions; the installed one is taken."""
    assert parse_ledger_url(url).drivername == "postgresql+psycopg2"


@pytest.mark.parametrize(
    ("url", "words"),
    [("not a url", "not a SQLAlchemy URL"), ("sqlite://", "forgets what was paid for")],
)
def test_a_useless_ledger_url_is_refused(url: str, words: str) -> None:
    """The message names the variable and the next step."""
    with pytest.raises(ConfigurationError, match=words):
        parse_ledger_url(url)


def test_an_unreachable_ledger_does_not_show_its_password() -> None:
    """Errors never hold the secret of the URL."""
    with pytest.raises(LedgerError) as caught:
        Ledger("postgresql://user:s3cret@127.0.0.1:9/db")
    assert "s3cret" not in str(caught.value)


def test_a_database_that_fails_later_is_a_ledger_error(ledger: Ledger) -> None:
    """Callers know one error, and its text holds no values."""
    with ledger.writing() as connection:
        connection.execute(sa.text("DROP TABLE wiro_submissions"))
    with pytest.raises(LedgerError, match="database failed"):
        ledger.list_submissions()
    ledger.place(request())


def test_answers_wait_beside_the_database_and_never_show_its_password(tmp_path: Path) -> None:
    """A SQLite ledger keeps them beside its file; another one on this machine, under a hash."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert ledger.answers_folder == Path(f"{tmp_path / 'ledger.db'}.answers")


def test_answers_of_a_postgresql_ledger_wait_on_this_machine(ledger: Ledger) -> None:
    """The folder's name is a hash of the URL, so each ledger has its own."""
    folder = ledger.answers_folder
    if ledger.engine.dialect.name == "postgresql":
        assert folder.name.startswith("wiro-answers-")
    else:
        assert folder.name == "ledger.db.answers"
