"""The benchmarks keep up with the code that they measure."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import benchmarks

_NEEDS_SETTINGS = {"auto_project", "plain_dagster"}
_NAMES = {path.stem for path in Path(str(benchmarks.__file__)).parent.glob("[a-z]*.py")}


@pytest.mark.parametrize("name", sorted(_NAMES - _NEEDS_SETTINGS))
def test_every_benchmark_can_be_imported(name: str) -> None:
    """A renamed helper must not break them unseen."""
    import_module(f"benchmarks.{name}")
