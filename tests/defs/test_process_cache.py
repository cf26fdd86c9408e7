"""What a code location keeps for as long as it lives."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from wiro_dagster.defs.process_cache import freeze_loaded


@pytest.fixture(autouse=True)
def _frozen_only_here() -> Iterator[None]:
    """Leave the collector of the tests as it was."""
    freeze_loaded.cache_clear()
    yield
    gc.unfreeze()


def test_what_is_loaded_is_not_looked_through_again() -> None:
    """It is frozen once: what a later tick leaves behind is still collected."""
    gc.collect()
    freeze_loaded()
    assert gc.get_freeze_count() > 10_000
    freed = Cycle()
    freeze_loaded()
    assert any(found is freed for found in gc.get_objects())


class Cycle:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.me = self
