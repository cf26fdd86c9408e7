"""Statements of Dagster's SQLite files, compiled once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from wiro_dagster.defs.event_files import share_statements

VIDEO = dg.AssetKey("video")


def report(instance: dg.DagsterInstance, number: int) -> None:
    """Report what the sensor reports of a video."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            VIDEO,
            partition=f"film {number}",
            metadata={"wiro/cost_usd": 0.28, "wiro/preview": dg.MetadataValue.md("![](x)")},
            tags={"dagster/data_version": f"v{number}"},
        )
    )
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=VIDEO, check_name="plays", passed=number % 2 == 0)
    )


def read_all(home: Path) -> dict[str, list[Any]]:
    """Return what the event log holds, without the times at which it was written."""
    with closing(sqlite3.connect(home / "history/runs/index.db")) as connection:
        return {
            "events": connection.execute(
                "SELECT id, asset_key, partition, dagster_event_type FROM event_logs ORDER BY id"
            ).fetchall(),
            "tags": connection.execute(
                "SELECT asset_key, key, value, event_id FROM asset_event_tags ORDER BY event_id"
            ).fetchall(),
            "checks": connection.execute(
                "SELECT asset_key, check_name, execution_status FROM asset_check_executions"
            ).fetchall(),
            "assets": connection.execute("SELECT asset_key FROM asset_keys").fetchall(),
        }


def read_materializations(instance: dg.DagsterInstance) -> list[dg.AssetMaterialization | None]:
    """Return the materializations as Dagster reads them."""
    return [r.asset_materialization for r in instance.fetch_materializations(VIDEO, 100).records]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Give an instance with files of its own."""
    folder = tmp_path_factory.mktemp("home")
    with dg.DagsterInstance.local_temp(str(folder)) as opened:
        yield opened


def test_a_second_event_compiles_nothing(instance: dg.DagsterInstance) -> None:
    """The statements of the first one are kept, though Dagster makes new engines."""
    with closing(share_statements(instance.root_directory)) as statements:
        assert statements.count() == 0
        report(instance, 1)
        report(instance, 2)  # the first one has made rows that the next one updates
        count = statements.count()
        assert count > 0
        report(instance, 3)
        assert statements.count() == count


def test_events_are_stored_alike(tmp_path: Path) -> None:
    """The log holds the same rows, and Dagster reads the same events."""
    found = []
    for name in ("plain", "shared"):
        home = tmp_path / name
        home.mkdir()
        with (
            dg.DagsterInstance.local_temp(str(home)) as instance,
            closing(share_statements(str(home) if name == "shared" else None)),
        ):
            for number in range(3):
                report(instance, number)
            found.append((read_all(home), read_materializations(instance)))
    assert found[0] == found[1]
    assert len(found[0][0]["events"]) == 6


def test_threads_share_statements(instance: dg.DagsterInstance) -> None:
    """Downloads, deliveries and the tick write events side by side."""
    with closing(share_statements(instance.root_directory)):
        threads = [threading.Thread(target=report, args=(instance, n)) for n in range(10, 16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        partitions = instance.get_materialized_partitions(VIDEO)
    assert partitions >= {f"film {number}" for number in range(10, 16)}


def test_other_engines_are_left_alone(tmp_path: Path) -> None:
    """Only files where Dagster has its own share a cache, and only while it is open."""
    (tmp_path / "history/runs").mkdir(parents=True)
    places = {
        f"{tmp_path}/history/runs/index.db": True,
        f"{tmp_path}/history/runs.db": True,
        f"{tmp_path}/wiro_ledger.db": False,
        f"{tmp_path}/history/runs/deeper/own.db": False,
        ":memory:": False,
    }
    (tmp_path / "history/runs/deeper").mkdir()
    with closing(share_statements(str(tmp_path))):
        assert {place: _shares(place) for place in places} == places
    with closing(share_statements(None)):
        assert not any(map(_shares, places))
    assert not any(map(_shares, places))


def _shares(place: str) -> bool:
    engine = sa.create_engine(f"sqlite:///{place}")
    with engine.connect() as connection:
        found = "compiled_cache" in connection.get_execution_options()
    engine.dispose()
    return found


def test_what_is_kept_has_a_limit(tmp_path: Path) -> None:
    """Queries that differ each time do not fill the memory."""
    (tmp_path / "history").mkdir()
    with closing(share_statements(str(tmp_path))) as statements:
        engine = sa.create_engine(f"sqlite:///{tmp_path}/history/runs.db")
        with engine.connect() as connection:
            for number in range(520):
                connection.execute(sa.select(sa.literal_column(str(number))))
        engine.dispose()
        assert 0 < statements.count() <= 500
