"""`wiro-dagster models`: files without a network, everything else through the emulator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wiro_dagster.catalogue import Catalogue, load_entry
from wiro_dagster.cli.models import models
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import ConfigurationError, InputError

PAGE = """# Acme Slow Pan
Model name: Acme/Slow Pan Model description: A slow pan.
Model categories: - image-to-video
Run Task Endpoint (POST): https://api.wiro.ai/v1/Run/acme/slow-pan
## Model Inputs:
- name: inputImageUrl
  label: First Image
  help: The first frame.
  type: text
- name: prompt
  label: Prompt
  help: What happens.
  type: textarea
- name: resolution
  label: Resolution
  help: Lines.
  type: select
  default: 720p
  options:
    - value: "720p"
      label: HD
    - value: "1080p"
      label: Full HD
## Integration Header
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder, and an environment that names no account."""
    monkeypatch.chdir(tmp_path)
    for name in ("WIRO_API_KEY", "WIRO_API_SECRET", "WIRO_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def account(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """An environment that names the emulator's account."""
    monkeypatch.setenv("WIRO_API_KEY", emulator.api_key)
    monkeypatch.setenv("WIRO_API_SECRET", emulator.api_secret or "")
    monkeypatch.setenv("WIRO_BASE_URL", emulator.base_url)
    return emulator


def run(*arguments: str) -> Result:
    return CliRunner().invoke(models, arguments, env={"COLUMNS": "200"})


def run_well(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exception is None, result.exception
    return result.output


@pytest.mark.parametrize("page", [PAGE, " ".join(PAGE.split())])
def test_a_saved_page_is_shown_without_network_and_key(folder: Path, page: str) -> None:
    """Also when the page has lost its line breaks."""
    (folder / "llms-full.txt").write_text(page)
    shown = run_well("show", "llms-full.txt")
    assert "acme/slow-pan" in shown
    assert "inputImage or inputImageUrl" in shown
    assert "720p, 1080p" in shown
    assert "Prices: not known here" in shown


def test_a_model_of_the_catalogue_is_shown_without_network_and_key() -> None:
    """With its rules; prices need Wiro, and the output says so."""
    shown = run_well("show", "minimax/hailuo-2-3")
    assert "promptOptimizer" in shown
    assert "With resolution 1080P, duration must be 6" in shown
    assert "WIRO_API_KEY is not set" in shown


def test_a_model_is_shown_with_its_prices(account: Emulator) -> None:
    """Inputs, ranges and the price list with its methods, as Wiro says."""
    shown = run_well("show", "bytedance/image-to-video-seedance-pro-v1")
    assert "3 to 12, step 1" in shown
    assert "cp-outputVideoLength" in shown
    assert "0.12" in shown
    assert "Wiro expects a run to take 90 s." in shown
    assert account.billable_tasks() == 0


def test_a_model_can_be_had_as_data(account: Emulator) -> None:
    """Inputs as in a catalogue entry, prices as Wiro states them."""
    shown = json.loads(run_well("show", "bytedance/image-to-video-seedance-pro-v1", "--json"))
    assert shown["slug"] == "bytedance/image-to-video-seedance-pro-v1"
    assert {"id", "type"} <= set(shown["inputs"][0])
    assert shown["prices"][0]["method"] == "cp-outputVideoLength"
    assert json.loads(run_well("search", "hailuo", "--json"))[0]["slug"].startswith("minimax/")


def test_a_model_that_wiro_does_not_describe_is_said_to_be_so(account: Emulator) -> None:
    """No schema and an unreadable price list are told, not hidden."""
    shown = run_well("show", "emulator/no-schema")
    assert "cannot be validated" in shown
    assert "cannot be read" in shown


def test_without_a_key_an_unknown_model_names_the_variable() -> None:
    """The message says what to set."""
    result = run("show", "acme/slow-pan")
    assert isinstance(result.exception, ConfigurationError)
    assert "WIRO_API_KEY" in str(result.exception)


def test_a_wrong_key_names_the_variables(
    account: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wiro's refusal, with where the credentials come from, and without them."""
    monkeypatch.setenv("WIRO_API_SECRET", "wrong-5c1e")
    result = run("search", "hailuo")
    assert isinstance(result.exception, ConfigurationError)
    assert "WIRO_API_SECRET" in str(result.exception)
    assert "wrong-5c1e" not in str(result.exception)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("MiniMax/hailuo-2.3", "minimax/hailuo-2-3"),
        ("missing.txt", "there is no file"),
        ("missing.yaml", "there is no file"),
    ],
)
def test_what_is_neither_file_nor_slug_is_explained(given: str, message: str) -> None:
    """A title is answered with the slug that was meant."""
    result = run("show", given)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_models_are_searched(account: Emulator) -> None:
    """Slug, title, categories; and how many more there are."""
    shown = run_well("search", "hailuo", "--limit", "2")
    assert "minimax/hailuo-2-3" in shown
    assert "2 of 4" in shown
    assert "no model" in run_well("search", "zzzzzz")


def test_a_model_is_added_as_data_and_counts_from_then_on(account: Emulator, folder: Path) -> None:
    """The entry has what Wiro says, is not written over unasked, and wins over Wiro."""
    assert "overrides Wiro's schema" in run_well("add", "bytedance/seedream-v4-5")
    path = folder / "models" / "bytedance__seedream-v4-5.yaml"
    assert load_entry(path).inputs
    result = run("add", "bytedance/seedream-v4-5")
    assert isinstance(result.exception, InputError)
    assert "--replace" in str(result.exception)
    run_well("add", "bytedance/seedream-v4-5", "--replace")
    path.write_text(path.read_text().replace("default: 1024x1024", "default: 2048x2048"))
    schema = (
        Catalogue.builtin()
        .with_entries_from(folder / "models")
        .get_schema("bytedance/seedream-v4-5")
    )
    assert schema.validate({"prompt": "x"})[0]["size"] == "2048x2048"
    assert "from: entry" in run_well("show", "bytedance/seedream-v4-5")


def test_a_saved_page_is_added_without_network(folder: Path) -> None:
    """The page becomes an entry that can be shown again."""
    (folder / "page.txt").write_text(PAGE)
    run_well("add", "page.txt")
    assert "acme/slow-pan" in run_well("show", "models/acme__slow-pan.yaml")
    assert "acme/slow-pan" in run_well("show", "acme/slow-pan")


def test_a_model_of_the_package_is_added_with_its_rules(folder: Path) -> None:
    """Wiro does not state them, so the entry must not lose them."""
    run_well("add", "minimax/hailuo-2-3")
    schema = load_entry(folder / "models" / "minimax__hailuo-2-3.yaml")
    assert schema.validate({"prompt": "x", "resolution": "1080P", "duration": "10"})[1]
