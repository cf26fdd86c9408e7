"""Rules of `inspect_apart`: the same as `inspect`, and no file takes this process along."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.media_samples import write_film
from wiro_dagster.media import inspect, inspect_apart


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mp4")


def test_it_sees_what_inspect_sees(film: Path) -> None:
    """Facts, measures and pictures, to the byte."""
    assert inspect_apart(film, "video/mp4") == inspect(film, "video/mp4")


def test_a_file_that_takes_too_long_is_stopped(film: Path) -> None:
    """The problem names the time."""
    seen = inspect_apart(film, "video/mp4", seconds=0.01)
    assert seen.problem == "Decoding takes longer than 0.01 s and was stopped."
    assert (seen.facts.kind, seen.unseen) == ("video", None)


def test_a_file_that_kills_its_process_is_told(film: Path) -> None:
    """Too little memory even to load the decoder: the child fails, this process does not."""
    seen = inspect_apart(film, "video/mp4", memory_bytes=10_000_000)
    assert seen.problem
    assert seen.preview is None


def test_what_needs_no_decoding_needs_no_process(tmp_path: Path) -> None:
    """Other files, and media whose decoding is switched off."""
    (tmp_path / "model").write_bytes(b"glTF" * 9)
    assert inspect_apart(tmp_path / "model", "model/gltf-binary", seconds=0).facts.kind == "file"
