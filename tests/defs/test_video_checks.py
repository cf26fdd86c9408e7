"""Whether a delivered video is what was ordered: verdicts, and the checks that carry them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from tests.support.media_samples import moving, write_film
from tests.support.project import QUICK, Project
from wiro_dagster.catalogue import read_local_file
from wiro_dagster.defs import video_checks
from wiro_dagster.defs.process_cache import ProcessCache
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.ledger import Order
from wiro_dagster.ledger.schema import orders
from wiro_dagster.media import inspect
from wiro_dagster.orders.findings import Findings, find_out
from wiro_dagster.orders.verdicts import VideoChecks, find_unseen, judge_order
from wiro_dagster.prompts import inputs_to_json

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
DOG = {"id": "dog", "prompt": "A dog in the surf"}
FULL_HD = {"width": 1920, "height": 1080}
FRAMES_A_SECOND = 12

Luma = Callable[[int, int, int], int]
BARE = Order(
    id=1,
    collection="video",
    partition="cat",
    account="a",
    model_slug="minimax/hailuo-2-3",
    inputs={},
    fingerprint="f" * 64,
    take=1,
    state="stored",
    marker="m",
    created_at=0.0,
)


def deliver(path: Path, inputs: dict[str, Any] | None = None, **changes: Any) -> Order:
    """An order whose video is this file."""
    seen = inspect(path, "video/mp4")
    facts, findings = seen.facts.to_json(), find_out(seen, inputs or {}).to_json()
    size_bytes = path.stat().st_size
    order = dataclasses.replace(
        BARE,
        inputs=inputs or {},
        outputs=({"size_bytes": size_bytes},),
        files=({"size_bytes": size_bytes, "media": facts, "findings": findings},),
    )
    return dataclasses.replace(order, **changes)


def film(folder: Path, luma: Luma = moving, seconds: float = 2.0, **options: Any) -> Path:
    return write_film(
        folder / "film.mp4", luma=luma, seconds=seconds, fps=FRAMES_A_SECOND, **options
    )


def with_media(order: Order, **facts: int) -> Order:
    (file,) = order.files
    return dataclasses.replace(order, files=({**file, "media": {**file["media"], **facts}},))


def write_image(path: Path, width: int, height: int) -> dict[str, Any]:
    from PIL import Image

    Image.new("RGB", (width, height), "teal").save(path)
    return inputs_to_json({"inputImageFirst": read_local_file(path)})


def test_a_video_as_ordered_passes_what_can_be_judged(tmp_path: Path) -> None:
    """Right length, size, bytes and cost; without an image there is no shape to compare."""
    inputs = {"duration": "2", "resolution": "1080P"}
    order = deliver(film(tmp_path), inputs, cost_usd=Decimal("0.4"), quote_usd=Decimal("0.4"))
    verdicts = judge_order(with_media(order, **FULL_HD), VideoChecks())
    assert verdicts == dict.fromkeys(
        ("playable", "duration", "resolution", "black", "frozen", "cost", "size"), ""
    )


def test_a_short_video_names_its_last_frame_and_second(tmp_path: Path) -> None:
    """What was ordered and where the film ends."""
    verdicts = judge_order(deliver(film(tmp_path), {"duration": "6"}), VideoChecks())
    assert verdicts["duration"] == "It ends at 2.00 s, after frame 23; 6 s were ordered."


@pytest.mark.parametrize("ordered", ["6", 6, "6s", "6.0"])
def test_a_tenth_less_is_let_pass(tmp_path: Path, ordered: Any) -> None:
    """Models that are sold by six seconds make a little less."""
    verdicts = judge_order(
        deliver(film(tmp_path, seconds=5.5), {"duration": ordered}), VideoChecks()
    )
    assert verdicts["duration"] == ""


@pytest.mark.parametrize(
    ("ordered", "width", "height", "verdict"),
    [
        ("768P", 1366, 768, ""),
        ("768P", 768, 1366, ""),
        ("1080p", 1920, 1088, ""),
        ("1280x720", 1280, 720, ""),
        ("1280*720", 720, 1280, ""),
        ("4K", 3840, 2160, ""),
        ("1080P", 1366, 768, "It is 1366x768; 1080P was ordered."),
        ("1280x720", 960, 720, "It is 960x720; 1280x720 was ordered."),
        ("best", 64, 36, None),
    ],
)
def test_resolution_in_all_its_spellings(
    tmp_path: Path, ordered: str, width: int, height: int, verdict: str | None
) -> None:
    """Lines mean the short side; two sides mean both; what is no size is not judged."""
    order = with_media(
        deliver(film(tmp_path, seconds=0.5), {"resolution": ordered}), width=width, height=height
    )
    assert judge_order(order, VideoChecks()).get("resolution") == verdict


def test_a_black_stretch_is_named_by_frame_and_share(tmp_path: Path) -> None:
    """From the first black frame on, and how much of the film."""

    def luma(index: int, x: int, y: int) -> int:
        return moving(index, x, y) if index < 12 else 16

    verdict = judge_order(deliver(film(tmp_path, luma)), VideoChecks())["black"]
    assert verdict == "50% of it is black (12 of 24 frames looked at), first frame 12 at 1.00 s."


def test_a_short_fade_is_not_black(tmp_path: Path) -> None:
    """A film may begin in the dark."""

    def luma(index: int, x: int, y: int) -> int:
        return 16 if index < 2 else moving(index, x, y)

    assert judge_order(deliver(film(tmp_path, luma)), VideoChecks())["black"] == ""


def test_a_standing_picture_is_named_by_frame_and_seconds(tmp_path: Path) -> None:
    """Where it stops, and for how long nothing moves."""

    def luma(index: int, x: int, y: int) -> int:
        return moving(min(index, 6), x, y)

    verdict = judge_order(deliver(film(tmp_path, luma)), VideoChecks())["frozen"]
    assert verdict == "Nothing moves for 1.50 of 2.00 s, from frame 6 at 0.50 s on."


def test_the_lines_of_black_and_frozen_can_be_moved(tmp_path: Path) -> None:
    """A share that is let pass is a setting."""

    def luma(index: int, x: int, y: int) -> int:
        return moving(min(index, 6), x, y)

    order = deliver(film(tmp_path, luma))
    assert judge_order(order, VideoChecks(frozen_share=0.8))["frozen"] == ""
    with pytest.raises(ConfigurationError, match="black_share"):
        VideoChecks(black_share=0)


def test_the_shape_of_the_first_image_is_compared(tmp_path: Path) -> None:
    """64x36 from a square image is wrong, from a 16:9 image right."""
    path = film(tmp_path)
    square = write_image(tmp_path / "square.png", 100, 100)
    wide = write_image(tmp_path / "wide.png", 160, 90)
    assert judge_order(deliver(path, wide), VideoChecks())["aspect_ratio"] == ""
    assert judge_order(deliver(path, square), VideoChecks())["aspect_ratio"] == (
        "Its width is 1.778 times its height; its first image's 1.000 times."
    )


def test_an_image_that_has_changed_since_is_not_compared(tmp_path: Path) -> None:
    """Only what was sent says what shape the video should have."""
    inputs = write_image(tmp_path / "image.png", 100, 100)
    write_image(tmp_path / "image.png", 160, 90)
    assert "aspect_ratio" not in judge_order(deliver(film(tmp_path), inputs), VideoChecks())


def test_a_cost_over_the_quote_names_both(tmp_path: Path) -> None:
    """What Wiro charged and what was expected."""
    order = deliver(film(tmp_path), cost_usd=Decimal("0.58"), quote_usd=Decimal("0.49"))
    verdict = judge_order(order, VideoChecks())["cost"]
    assert verdict == "Wiro charged 0.58 USD; the quote was 0.49 USD."


def test_other_bytes_than_announced_name_both(tmp_path: Path) -> None:
    """A file may be taken in the end though it is not as long as announced."""
    order = deliver(film(tmp_path), outputs=({"size_bytes": 5},))
    stored = order.files[0]["size_bytes"]
    verdict = judge_order(order, VideoChecks())["size"]
    assert verdict == f"{stored} bytes are stored; Wiro announced 5."


def test_a_file_that_does_not_decode_is_named(tmp_path: Path) -> None:
    """What is paid for is owned in any case; the check says what is wrong with it."""
    path = film(tmp_path)
    path.write_bytes(path.read_bytes()[:700])
    order = deliver(path)
    findings = order.files[0]["findings"]
    assert Findings.from_json(findings).to_json() == findings
    assert judge_order(order, VideoChecks())["playable"].startswith("It does not decode")


def test_what_was_not_looked_at_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    """The checks that need decoding make no verdict, and it is told why."""
    seen = inspect(film(tmp_path), "video/mp4", verify="bytes")
    file = {
        "size_bytes": 5,
        "media": seen.facts.to_json(),
        "findings": find_out(seen, {}).to_json(),
    }
    order = dataclasses.replace(
        BARE, inputs={"duration": "2"}, outputs=({"size_bytes": 5},), files=(file,)
    )
    assert judge_order(order, VideoChecks()) == {"size": ""}
    assert find_unseen(order) == seen.unseen


@pytest.mark.parametrize(
    ("media", "inputs", "verdicts"),
    [
        (
            {"kind": "image", "width": 1024, "height": 1024},
            {"size": "2048x2048"},
            {"resolution": "It is 1024x1024; 2048x2048 was ordered."},
        ),
        (
            {"kind": "image", "width": 2048, "height": 2048},
            {"size": "2048x2048"},
            {"resolution": ""},
        ),
        ({"kind": "image", "width": 2048, "height": 2048}, {"size": "2K"}, {}),
        ({"kind": "audio", "duration_seconds": 9.8}, {"duration": "10"}, {"duration": ""}),
        (
            {"kind": "audio", "duration_seconds": 4.0},
            {"seconds": 10},
            {"duration": "It ends at 4.00 s; 10 s were ordered."},
        ),
        (
            {"kind": "audio", "duration_seconds": 4.0},
            {"videoSeconds": "10 secs"},  # priced, so checked
            {"duration": "It ends at 4.00 s; 10 s were ordered."},
        ),
        (
            {"kind": "video", "width": 640, "height": 480},
            {"width": 1280, "height": "720"},
            {"resolution": "It is 640x480; 1280x720 was ordered."},
        ),
        ({"kind": "image", "duration_seconds": 2.0}, {"duration": "10"}, {}),
        ({"kind": "file"}, {"duration": "10", "resolution": "768P"}, {}),
    ],
)
def test_what_is_no_video_is_judged_by_what_fits_it(
    media: dict[str, Any], inputs: dict[str, Any], verdicts: dict[str, str]
) -> None:
    """Cost and bytes of anything, sides of an image, length of a sound; no frames."""
    order = dataclasses.replace(
        BARE,
        inputs=inputs,
        outputs=({"size_bytes": 7, "url": "https://cdn/x"},),
        files=({"size_bytes": 7, "media": media},),
        cost_usd=Decimal("0.2"),
        quote_usd=Decimal("0.1"),
    )
    assert judge_order(order, VideoChecks()) == {
        "cost": "Wiro charged 0.2 USD; the quote was 0.1 USD.",
        "size": "",
        **verdicts,
    }


def test_text_has_no_announced_size() -> None:
    """It comes in the answer itself, in whatever encoding."""
    output = {"size_bytes": 3, "content": "a fox"}
    order = dataclasses.replace(BARE, outputs=(output,), files=({"size_bytes": 5},))
    assert judge_order(order, VideoChecks()) == {}


def test_a_severity_that_does_not_exist_is_refused() -> None:
    """The message names the check and the choices."""
    with pytest.raises(ConfigurationError, match=r'"cost" is set to "loud".*error, warn, off'):
        VideoChecks(cost="loud")  # type: ignore[arg-type]


def evaluations(project: Project, name: str) -> list[dg.AssetCheckEvaluation]:
    """The newest first."""
    key = dg.AssetCheckKey(project.collection.video_key, name)
    records = project.instance.event_log_storage.get_asset_check_execution_history(key, limit=20)
    events = [record.event.dagster_event for record in records if record.event]
    found = [event.event_specific_data for event in events if event]
    return [event for event in found if isinstance(event, dg.AssetCheckEvaluation)]


def test_every_delivery_evaluates_the_checks(project: Project) -> None:
    """A second delivery is a second evaluation, and the failing partitions are named in it."""
    project.write_prompts(CAT, DOG)
    project.order("cat")
    project.settle()
    project.order("dog")
    project.settle()
    newest, first = evaluations(project, "resolution_as_ordered")
    assert newest.severity == dg.AssetCheckSeverity.ERROR
    assert (first.metadata["wiro/videos"].value, newest.metadata["wiro/videos"].value) == (1, 2)
    # The shared emulator's videos are small stand-ins.
    assert newest.metadata["wiro/failures"].value == {
        "cat": "It is 64x36; 768P was ordered.",
        "dog": "It is 64x36; 768P was ordered.",
    }
    assert [check.passed for check in evaluations(project, "playable")] == [True, True]
    assert len(project.videos("cat")) == len(project.videos("dog")) == 1


def test_while_many_videos_arrive_the_checks_are_evaluated_seldom(project: Project) -> None:
    """Not with each delivery while files are on their way, and once when they have come."""
    bird = {"id": "bird", "prompt": "A bird in the rain"}
    project.write_prompts(CAT, DOG, bird)
    project.order("cat")
    project.settle()
    project.order("bird")
    put(project, "bird", state="finished", due_at=time.time() + 1000)
    project.order("dog")
    while not project.videos("dog"):
        project.tick()
    assert len(evaluations(project, "playable")) == 1
    put(project, "bird", state="cancelled", due_at=None)
    project.tick()
    assert evaluations(project, "playable")[0].metadata["wiro/videos"].value == 2


def put(project: Project, partition: str, **values: Any) -> None:
    """Change an order behind the product's back."""
    with project.ledger.writing() as connection:
        mine = orders.c.partition == partition
        connection.execute(sa.update(orders).where(mine).values(values))


def test_a_waiting_run_evaluates_the_checks(project: Project) -> None:
    """Its own deliveries count, in a run over several partitions too, and it does not fail."""
    project.write_prompts(CAT, DOG)
    assert project.materialize(project.collection.video_key, partitions=["cat", "dog"]).success
    newest = evaluations(project, "resolution_as_ordered")[0]
    assert not newest.passed
    assert newest.metadata["wiro/failing"].value == 2


def test_a_severity_is_set_and_a_check_switched_off(project: Project) -> None:
    """The collection's settings decide what a failing check is, and whether there is one."""
    project.collection_options = {"checks": VideoChecks(resolution="warn", size="off")}
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    (warned,) = evaluations(project, "resolution_as_ordered")
    assert (warned.passed, warned.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert evaluations(project, "size_as_announced") == []
    keys = {key.name for key in project.definitions.resolve_asset_graph().asset_check_keys}
    assert "resolution_as_ordered" in keys
    assert "size_as_announced" not in keys


def test_a_new_video_stands_for_its_partition(project: Project) -> None:
    """A replaced video is not judged any more."""
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    project.write_prompts({**CAT, "prompt": "A cat asleep"})
    project.order("cat")
    project.settle()
    assert evaluations(project, "playable")[0].metadata["wiro/videos"].value == 1


def test_execute_judges_from_the_ledger(project: Project) -> None:
    """The button needs no file: what was measured is kept."""
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    for path in (project.folder / "videos").glob("*.mp4"):
        path.unlink()
    job = dg.define_asset_job(
        "judge", dg.AssetSelection.checks_for_assets(project.collection.video_key)
    )
    definitions = dg.Definitions.merge(project.definitions, dg.Definitions(jobs=[job]))
    result = definitions.resolve_job_def("judge").execute_in_process(instance=project.instance)
    assert result.success
    made = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert len(made) == 8
    assert [name for name, passed in made.items() if not passed] == ["resolution_as_ordered"]


def test_very_many_videos_are_judged_in_several_ticks(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a start all are judged once more; no tick takes longer for it than it may."""
    now = 0.0

    def monotonic() -> float:
        nonlocal now
        now += 1.0
        return now

    project.write_prompts({"id": "cat", "prompt": "A cat"}, {"id": "dog", "prompt": "A dog"})
    project.order("cat", "dog")
    project.settle()
    monkeypatch.setattr(video_checks, "_READ_AT_ONCE", 1)
    timing = replace(QUICK, monotonic=monotonic)
    collection = replace(project.collection, cache=ProcessCache(), timing=timing)
    deadline = now + 2.0
    assert not video_checks.judge_videos_until(collection, project.ledger, deadline=deadline)
    first, *_ = video_checks.build_evaluations(collection, project.ledger)
    assert first.metadata["wiro/videos"].value == 1
    assert video_checks.judge_videos_until(collection, project.ledger, deadline=deadline + 2.0)
    first, *_ = video_checks.build_evaluations(collection, project.ledger)
    assert first.metadata["wiro/videos"].value == 2
