"""What was paid for is owned: whatever the decoder, the announcement or the store says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.system.campaigns.bench import STEADY, STEADY_TIMING, Bench
from tests.system.campaigns.workshop import make_prompt
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import StoreError
from wiro_dagster.store import FolderStore


class RefusingStore(FolderStore):
    """A store that takes nothing for a while."""

    error: StoreError | None = None

    @contextmanager
    def staging(self) -> Iterator[Path]:
        if self.error is not None:
            raise self.error
        with super().staging() as staged:
            yield staged


def open_bench(emulator: Emulator, tmp_path: Path, **options: Any) -> Bench:
    return Bench(emulator, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "videos", **options)


def test_a_wrong_number_about_a_file_does_not_lose_it(emulator: Emulator, tmp_path: Path) -> None:
    """The same bytes again and again: soon they are what there is, whatever Wiro announced."""
    bench = open_bench(emulator, tmp_path)
    emulator.script_fault("file_short", times=None)
    bench.place("cat")
    (order,) = bench.settle()
    assert order.state == "delivered"
    assert len(emulator.journal(kind="download")) == 4
    assert order.files[0]["size_bytes"] < order.outputs[0]["size_bytes"]
    bench.close()


def test_a_second_try_decodes_in_a_process_of_its_own(emulator: Emulator, tmp_path: Path) -> None:
    """And sees the same: verdicts, preview, poster."""
    bench = open_bench(emulator, tmp_path)
    emulator.script_fault("file_http_500")
    bench.place("cat")
    (order,) = bench.settle()
    (file,) = order.files
    assert file["problem"] is None
    assert file["findings"]["measures"]["frame_count"] > 1
    assert {"preview_key", "poster_key"} <= file.keys()
    bench.close()


def test_switched_off_decoding_owns_by_size_and_hash(emulator: Emulator, tmp_path: Path) -> None:
    """Nothing is decoded, and the findings say so."""
    bench = open_bench(emulator, tmp_path, policy=replace(STEADY, verify="bytes"))
    bench.place("cat")
    (order,) = bench.settle()
    (file,) = order.files
    assert order.state == "delivered"
    assert file["media"]["kind"] == "video"
    assert "verify" in file["findings"]["unseen"]
    bench.close()


@pytest.mark.parametrize("is_configuration", [True, False])
def test_a_store_that_fails_for_days_costs_no_video(
    emulator: Emulator, tmp_path: Path, is_configuration: bool
) -> None:
    """Full, gone or refusing: nothing is given up, however long it takes to put that right."""
    store = RefusingStore(tmp_path / "videos")
    policy = replace(STEADY, timing=replace(STEADY_TIMING, sure_gone_seconds=100.0))
    bench = open_bench(emulator, tmp_path, policy=policy, parts=lambda _workshop: {"store": store})
    bench.place("cat")
    bench.tick()
    store.error = StoreError("The bucket refuses.", is_configuration=is_configuration)
    for _ in range(12):
        bench.tick()
        bench.advance(100)
    assert bench.state("cat") == "finished"
    store.error = None
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)
    bench.close()


def test_a_renamed_prompt_gets_its_video_free(emulator: Emulator, tmp_path: Path) -> None:
    """A prompt whose id was changed asks for a video that is owned; nothing is bought."""
    bench = open_bench(emulator, tmp_path)
    bench.place("cat")
    bench.settle()
    placed = bench.desk.place("tabby", make_prompt("cat"), present={"tabby"})
    assert placed.outcome == "owned"
    bench.settle()
    assert bench.state("tabby") == "delivered"
    assert bench.runs() == 1
    bench.close()


def test_two_prompts_that_ask_for_the_same_get_two_videos(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A video stays with its prompt as long as that is there."""
    bench = open_bench(emulator, tmp_path)
    bench.place("cat")
    bench.settle()
    placed = bench.desk.place("tabby", make_prompt("cat"), present={"cat", "tabby"})
    assert placed.outcome == "placed"
    bench.settle()
    assert bench.runs() == 2
    bench.close()
