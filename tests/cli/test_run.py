"""`wiro-dagster run`: one model from the command line, paid for once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wiro_dagster.cli import main
from wiro_dagster.cli.project import emulator_environment
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger

PICTURE = "bytedance/seedream-v4-5"
FILM = "minimax/hailuo-2-3-fast"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the environment names the emulator."""
    for name, value in emulator_environment(emulator).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", *arguments])


def test_a_repeated_command_buys_nothing_and_says_so(folder: Path, emulator: Emulator) -> None:
    """The file is where the user wants it, and in the store."""
    wish = (PICTURE, "--prompt", "A fox", "--max-usd", "0.60", "--kind", "image")
    first = run(*wish, "-o", "fox.png")
    assert first.exit_code == 0, first.output
    assert "0.03 USD. Bought now." in first.stdout
    (folder / "fox.png").rename(folder / "first.png")
    again = run(*wish, "-o", "fox.png")
    assert "nothing new was bought" in again.stdout
    assert (folder / "fox.png").read_bytes() == (folder / "first.png").read_bytes()
    found = json.loads(run(*wish, "--json").stdout)
    assert (found["is_new"], found["cost_usd"], found["problems"]) == (False, "0.03", {})
    assert Path(found["files"][0]["uri"].removeprefix("file://")).parent == folder / "videos"
    assert emulator.billable_tasks() == 1


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ((PICTURE, "--prompt", "A fox", "--max-usd", "0.02"), "over the 0.02 USD limit"),
        ((PICTURE, "--prompt", "A fox", "--max-usd", "much"), "max_usd is 'much'"),
        ((PICTURE, "--prompt", "A fox", "--kind", "video"), "makes image; video was asked for"),
        ((PICTURE, "--prompt", "A fox", "--input", "size"), "not NAME=VALUE"),
        ((PICTURE, "--prompt", "A fox", "--input", "size=vast"), "inputs.size"),
        (
            (FILM, "--prompt", "Go", "--input", "inputImageFirst=face.png", "--max-usd", "0.01"),
            "over the 0.01 USD limit",
        ),
        ((FILM, "--prompt", "Go", "--input", "inputImageFirst=no.png"), "no.png"),
    ],
)
def test_what_cannot_be_bought_is_refused_before_anything_is_sent(
    folder: Path, emulator: Emulator, wish: tuple[str, ...], message: str
) -> None:
    """The exit status says it too; nothing is left that could be bought later."""
    (folder / "face.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    refused = run(*wish)
    assert refused.exit_code != 0
    assert message in refused.output
    assert emulator.billable_tasks() == 0
    path = folder / ".wiro" / "dagster_home" / "wiro_ledger.db"
    left = Ledger(f"sqlite:///{path}").list_orders(states=["ordered"]) if path.exists() else []
    assert left == []


def test_without_an_account_the_way_to_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the way without one."""
    monkeypatch.delenv("WIRO_API_KEY")
    assert "--emulator" in run(PICTURE, "--prompt", "A fox").output
