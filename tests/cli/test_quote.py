"""`wiro-dagster quote`: prices of a prompt file, and nothing ordered."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from wiro_dagster.cli.quote import quote
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import ConfigurationError, InputError

PROMPTS = {
    "defaults": {"model": "minimax/hailuo-2-3"},
    "prompts": [
        {"id": "cat", "prompt": "A cat"},
        {"id": "long-cat", "prompt": "A cat", "inputs": {"duration": 10}},
        {"id": "speech", "model": "openbmb/voxcpm", "prompt": "twelve chars"},
        {
            "id": "ad",
            "model": "wiro/product-ads",
            "inputs": {"inputImage": ["https://example.org/a.png"]},
        },
        {"id": "chat", "model": "emulator/chat", "prompt": "Tell me"},
    ],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> Path:
    """A project on the emulator's account."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WIRO_API_KEY", emulator.api_key)
    monkeypatch.setenv("WIRO_API_SECRET", emulator.api_secret or "")
    monkeypatch.setenv("WIRO_BASE_URL", emulator.base_url)
    monkeypatch.delenv("WIRO_PROMPT_FILE", raising=False)
    (tmp_path / "prompts.yaml").write_text(yaml.safe_dump(PROMPTS))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(quote, arguments, env={"COLUMNS": "200"})


def row(output: str, name: str) -> list[str]:
    """The cells of the last table row that starts with a name."""
    rows = [re.split(r"  +", line) for line in output.splitlines()]
    (*_, found) = [cells for cells in rows if cells[0] == name]
    return found


def test_prompts_models_and_total_are_priced_and_nothing_is_ordered(emulator: Emulator) -> None:
    """Each prompt has its quote, its ceiling and how they were found; sums follow."""
    result = run("prompts.yaml")
    assert result.exit_code == 0, result.output
    assert row(result.output, "cat")[2:5] == ["0.28", "0.28", "exact"]
    assert row(result.output, "long-cat")[2] == "0.56"
    assert Decimal(row(result.output, "speech")[2]) == Decimal("0.0006")
    assert row(result.output, "minimax/hailuo-2-3")[1:] == ["2", "0.84", "0.84"]
    assert emulator.billable_tasks() == 0


def test_a_piped_quote_is_cut_nowhere() -> None:
    """Each prompt is one line at any width, and `--json` has the same as data."""
    shown = CliRunner().invoke(quote, ["prompts.yaml", "--wide"], env={"COLUMNS": "20"}).output
    assert "…" not in shown
    (cat,) = [line for line in shown.splitlines() if line.startswith("cat ")]
    assert "minimax/hailuo-2-3" in cat
    first = json.loads(run("prompts.yaml", "--json").output)[0]
    assert (first["prompt"], first["quote_usd"], first["kind"]) == ("cat", "0.28", "exact")


def test_runs_billed_by_the_second_are_bounded_by_their_deadline() -> None:
    """The expected time gives the quote, the deadline the most it can be."""
    cells = row(run("prompts.yaml").output, "ad")
    assert (Decimal(cells[2]), Decimal(cells[3])) == (Decimal("0.36"), Decimal("7.2"))
    shorter = row(run("prompts.yaml", "--longest-run-seconds", "600").output, "ad")
    assert Decimal(shorter[3]) == Decimal("1.2")


def test_prices_that_cannot_be_known_are_named_with_their_method() -> None:
    """The total says that a part of it is missing."""
    output = run("prompts.yaml").output
    assert "Not known before the run: chat (cpt)" in output
    assert row(output, "total")[2].endswith("+ ?")


def test_a_prompt_with_the_file_of_an_asset_is_priced_without_that_file(folder: Path) -> None:
    """No price depends on the bytes of an image, only on how many there are."""
    image = {"asset": "portraits", "partition": "anna"}
    ad = {"id": "ad", "model": "emulator/collage", "inputs": {"inputImages": [image, image]}}
    text = {"prompts": [ad, {**PROMPTS["prompts"][0], "model": "minimax/hailuo-2-3"}]}
    (folder / "prompts.yaml").write_text(yaml.safe_dump(text))
    result = run("prompts.yaml")
    assert result.exit_code == 0, result.output
    urls = ["https://example.org/a.png"] * 2
    ad["inputs"] = {"inputImages": urls}
    (folder / "prompts.yaml").write_text(yaml.safe_dump(text))
    assert row(run("prompts.yaml").output, "ad") == row(result.output, "ad")


def test_the_prompt_file_comes_from_the_environment_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same variable as in definitions.py; an argument goes before it."""
    monkeypatch.setenv("WIRO_PROMPT_FILE", "prompts.yaml")
    assert "long-cat" in run().output
    (folder / "other.json").write_text('{"prompts": []}')
    assert "long-cat" not in run("other.json").output


def test_wrong_entries_are_named_and_the_others_priced(folder: Path) -> None:
    """The exit code says that not everything could be priced."""
    wrong = {"id": "wrong", "prompt": "x", "inputs": {"resolution": "1080P", "duration": 10}}
    text = yaml.safe_dump({**PROMPTS, "prompts": [*PROMPTS["prompts"], wrong]})
    (folder / "prompts.yaml").write_text(text)
    result = run("prompts.yaml")
    assert result.exit_code == 1
    assert "entry 6 (wrong)" in result.output
    assert "1080P" in result.output
    assert row(result.output, "cat")[2] == "0.28"


def test_models_of_the_project_count(folder: Path) -> None:
    """Entries in models/ are used where they are, and a folder that is given must be there."""
    (folder / "models").mkdir()
    entry = {"slug": "minimax/hailuo-2-3", "prompt": "prompt"}
    entry["inputs"] = [  # type: ignore[assignment]
        {"id": "prompt", "type": "textarea", "required": True},
        {"id": "resolution", "type": "select", "default": "1080P", "options": ["1080P"]},
        {"id": "duration", "type": "select", "default": "6", "options": ["6"]},
    ]
    (folder / "models" / "hailuo.yaml").write_text(yaml.safe_dump(entry))
    assert row(run("prompts.yaml").output, "cat")[2] == "0.49"
    assert isinstance(run("prompts.yaml", "--models", "nowhere").exception, InputError)


def test_without_a_key_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices are Wiro's, so this command needs an account."""
    monkeypatch.delenv("WIRO_API_KEY")
    result = run("prompts.yaml")
    assert isinstance(result.exception, ConfigurationError)
    assert "WIRO_API_KEY" in str(result.exception)
