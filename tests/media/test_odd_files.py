"""Odd media files, each as it may come from a CDN: owned or not, judged, pictured."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media.odd_files import Odd, bring_in, list_kinds

KINDS = list(list_kinds())


@pytest.mark.parametrize("odd", KINDS, ids=[odd.name for odd in KINDS])
def test_an_odd_file_is_owned_and_judged_for_what_it_is(odd: Odd, tmp_path: Path) -> None:
    """Whole bytes are owned under a name that fits; the verdict and the preview follow."""
    found = bring_in(odd, tmp_path)
    assert (found.file.key[1:] if found.file else None) == odd.stored, found.message
    if found.file is None:
        return
    seen = found.file.inspection
    assert seen is not None
    assert (found.file.problem is None) is odd.is_right, found.message
    assert (seen.preview is not None) is odd.has_preview
    assert (seen.poster is not None) is odd.has_preview


def test_there_are_many_kinds() -> None:
    """65 at least, each with a name of its own."""
    assert len({odd.name for odd in KINDS}) == len(KINDS) >= 65


def test_the_table_in_the_documents_has_every_kind() -> None:
    """With what is owned, and as what."""
    page = (Path(__file__).parents[2] / "docs/odd-files.md").read_text(encoding="utf-8")
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    written = {line[0]: line[1].replace("not owned", "") for line in lines[1:]}
    expected = {odd.name: odd.stored or "" for odd in KINDS}
    # Some codecs are not in every build of FFmpeg.
    assert expected.items() <= written.items()
