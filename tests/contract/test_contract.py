"""The contract suite under pytest, against the emulator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from click.testing import CliRunner

from tests.contract.__main__ import main
from tests.contract.case import ENDPOINTS, Case
from tests.contract.suite import list_cases
from tests.contract.target import Skip, Spending, Target
from wiro_dagster.emulator import Emulator

CASES = list_cases()


@pytest.fixture(scope="module")
def contract_emulator() -> Iterator[Emulator]:
    with Emulator.start(task_seconds=1.0, tiny_videos=True) as started:
        yield started


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.endpoint}: {case.name}")
def test_the_emulator_and_the_client_keep_the_contract(
    case: Case, contract_emulator: Emulator
) -> None:
    """Each promise of the API document, by itself, on an empty emulator."""
    with Target.on_emulator(contract_emulator) as target:
        try:
            case.check(target)
        except Skip as reason:
            pytest.skip(str(reason))


def test_every_endpoint_and_every_error_code_has_cases() -> None:
    """Nothing of the document is left out, and no promise is listed twice."""
    assert {case.endpoint for case in CASES} == set(ENDPOINTS)
    assert {code for case in CASES for code in case.codes} == {0, 1, 96, 97, 98, 99}
    names = [(case.endpoint, case.name) for case in CASES]
    assert len(set(names)) == len(names)


def test_only_reading_cases_run_live_without_a_spending_limit(
    contract_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite as it runs by hand, with the emulator in the place of the service."""
    contract_emulator.reset()
    output = _run_live(contract_emulator, monkeypatch)
    kept = sum(case.needs == "read" for case in CASES)
    assert f"{kept} kept, 0 broken" in output
    assert contract_emulator.billable_tasks() == 0
    endpoints = {line["endpoint"] for line in contract_emulator.journal(kind="call")}
    assert not any(name.startswith("File/") for name in endpoints)


def test_a_spending_limit_is_never_passed(
    contract_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs are quoted before they are sent, and stop when the limit has no room for the next."""
    contract_emulator.reset()
    output = _run_live(contract_emulator, monkeypatch, "--spend-limit", "0.60")
    assert "has no room for" in output
    assert " 0 broken" in output
    contract_emulator.advance(600)
    assert contract_emulator.billable_tasks() == 2
    assert Decimal(0) < contract_emulator.spent_usd() <= Decimal("0.60")


def test_the_real_api_is_never_called_from_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor without a key."""
    monkeypatch.setenv("CI", "true")
    assert "never called from CI" in CliRunner().invoke(main, ["--live"]).output
    monkeypatch.delenv("CI")
    monkeypatch.delenv("WIRO_API_KEY", raising=False)
    assert "WIRO_API_KEY is not set" in CliRunner().invoke(main, ["--live"]).output


def test_a_run_without_a_bounded_price_is_not_bought() -> None:
    """An unknown price never fits a limit."""
    spending = Spending(Decimal(100))
    with pytest.raises(Skip, match="nothing bounds"):
        spending.admit("a/b", None)
    assert spending.committed_usd == 0


def _run_live(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    settings = {
        "WIRO_API_KEY": emulator.api_key,
        "WIRO_API_SECRET": emulator.api_secret or "",
        "WIRO_BASE_URL": emulator.base_url,
        "WIRO_WEBSOCKET_URL": emulator.websocket_url,
        "COLUMNS": "300",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("tests.contract.target.DEFAULT_CDN_HOSTS", (emulator.cdn_host,))
    monkeypatch.setattr("tests.contract.target._LIVE_PAUSE_SECONDS", 0.3)
    result = CliRunner().invoke(main, ["--live", *options], catch_exceptions=False)
    assert re.search(r"\d+ cases: ", result.output), result.output
    return result.output
