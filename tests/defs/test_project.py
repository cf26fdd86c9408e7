"""The ready project: what its environment variables mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wiro_dagster import build_project_definitions
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources.ledger_place import locate_ledger_url

NAMES = (
    "DAGSTER_HOME",
    "WIRO_BASE_URL",
    "WIRO_CALLBACK_BASE_URL",
    "WIRO_CDN_HOSTS",
    "WIRO_COLLECT",
    "WIRO_DAILY_BUDGET_USD",
    "WIRO_LEDGER_URL",
    "WIRO_PROMPT_FILE",
    "WIRO_SOCKETS",
    "WIRO_VIDEO_BASE_URL",
    "WIRO_VIDEO_STORE",
    "WIRO_WEBSOCKET_URL",
)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """None of the variables is set, and the working directory is another folder."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return monkeypatch


def resources_of(folder: Path) -> dict[str, Any]:
    return dict(build_project_definitions(folder).resources or {})


def test_nothing_set_is_a_project_in_its_own_folder(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wiro's API and hosts, ten dollars a day, everything beside the definitions."""
    found = resources_of(tmp_path)
    assert found["wiro"].base_url == "https://api.wiro.ai/v1"
    assert found["wiro"].cdn_hosts == ["*.wiro.ai"]
    assert found["wiro_ledger"].url == f"sqlite:///{tmp_path}/.wiro/ledger.db"
    assert found["wiro_ledger"].daily_budget_usd == "10"
    assert found["video_store"].path == str(tmp_path / "videos")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "DAGSTER_HOME"])
@pytest.mark.parametrize("value", ["", "  "])
def test_a_variable_that_is_set_but_empty_is_an_error(
    environment: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    """An empty budget is not "no limit", and an empty store is not the working directory."""
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name} is set, but empty"):
        build_project_definitions(tmp_path)


def test_no_limit_must_be_written_out(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`none` is no limit; what is not an amount is refused when the project is loaded."""
    environment.setenv("WIRO_DAILY_BUDGET_USD", "none")
    assert resources_of(tmp_path)["wiro_ledger"].daily_budget_usd is None
    environment.setenv("WIRO_DAILY_BUDGET_USD", "ten")
    with pytest.raises(ConfigurationError, match=r"12\.50"):
        build_project_definitions(tmp_path)


@pytest.mark.parametrize("has_home", [False, True])
def test_a_relative_ledger_is_never_in_the_working_directory(
    environment: pytest.MonkeyPatch, tmp_path: Path, *, has_home: bool
) -> None:
    """It is in DAGSTER_HOME if that is set, else in the project's folder."""
    environment.setenv("WIRO_LEDGER_URL", "sqlite:///books/ledger.db")
    base = tmp_path
    if has_home:
        base = tmp_path / "home"
        environment.setenv("DAGSTER_HOME", str(base))
    assert resources_of(tmp_path)["wiro_ledger"].url == f"sqlite:///{base}/books/ledger.db"


def test_a_ledger_with_a_password_stays_the_name_of_its_variable(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Dagster's UI shows the settings of resources."""
    environment.setenv("WIRO_LEDGER_URL", "postgresql://wiro:secret@db/wiro")
    assert resources_of(tmp_path)["wiro_ledger"].url == dg.EnvVar("WIRO_LEDGER_URL")


@pytest.mark.parametrize(
    "url",
    ["sqlite:////srv/ledger.db", "sqlite://", "sqlite:///:memory:", "postgresql://me@db/wiro"],
)
def test_other_urls_stay_as_they_are(
    environment: pytest.MonkeyPatch, tmp_path: Path, url: str
) -> None:
    """Only relative SQLite paths depend on a folder."""
    assert locate_ledger_url(url, tmp_path) == url


def test_sockets_are_switched_off_by_a_word(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On unless it is said; a word that is neither is refused."""
    assert resources_of(tmp_path)["wiro"].sockets is True
    environment.setenv("WIRO_SOCKETS", "off")
    assert resources_of(tmp_path)["wiro"].sockets is False
    environment.setenv("WIRO_SOCKETS", "maybe")
    with pytest.raises(ConfigurationError, match='WIRO_SOCKETS is "maybe"'):
        resources_of(tmp_path)


def test_videos_are_fetched_where_the_environment_says(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With `runs`, there is a job for it; another word is refused."""
    environment.setenv("WIRO_COLLECT", "runs")
    job = build_project_definitions(tmp_path).resolve_job_def("collect_videos")
    assert job.name == "collect_videos"
    environment.setenv("WIRO_COLLECT", "workers")
    with pytest.raises(ConfigurationError, match='"sensor" or "runs"'):
        build_project_definitions(tmp_path)
