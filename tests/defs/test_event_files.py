"""Dagster's SQLite files, kept open."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import dagster as dg

from wiro_dagster.defs.event_files import EventFiles


def test_an_event_leaves_the_log_as_it_is(tmp_path: Path) -> None:
    """While a file is kept open, SQLite does not empty its log after each event."""
    event = dg.AssetMaterialization("video")
    logs = [tmp_path / "history/runs" / f"{name}.db-wal" for name in ("index", "")]
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.report_runless_asset_event(event)
        assert [log.exists() for log in logs] == [False, False]
        with closing(EventFiles()) as files:
            files.keep_open(str(tmp_path))
            instance.report_runless_asset_event(event)
            assert [log.exists() for log in logs] == [True, True]
        instance.report_runless_asset_event(event)
        assert [log.exists() for log in logs] == [False, False]


def test_a_home_without_files_is_left_alone(tmp_path: Path) -> None:
    """Dagster may use PostgreSQL, or nobody has said where its files are."""
    with closing(EventFiles()) as files:
        files.keep_open(str(tmp_path))
        files.keep_open(None)
    assert list(tmp_path.iterdir()) == []
