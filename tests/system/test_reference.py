"""The reference of the site: every public name and every setting has a line in it."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import pytest

import wiro_dagster

_SCRIPT = Path(__file__).parents[2] / "docs" / "site" / "reference.py"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_has_a_line_of_documentation(reference: ModuleType) -> None:
    """Of resources, collections, policies, checks and the component."""
    untold = [
        f"{name}.{setting}"
        for name in wiro_dagster.__all__
        if inspect.isclass(kind := getattr(wiro_dagster, name))
        for setting, (_, meaning) in reference.list_settings(kind).items()
        if not meaning
    ]
    assert untold == []


def test_the_reference_has_every_public_name_and_what_it_takes(reference: ModuleType) -> None:
    """Made from the docstrings, so that it is never older than the code."""
    page = reference.build_page()
    assert [name for name in wiro_dagster.__all__ if f"## `{name}" not in page] == []
    assert "### `WiroModels.run(context, model, prompt=…" in page
    assert "| `daily_budget_usd` | `'10'` | The most an account may spend in one day." in page
