"""What `make dev` starts: emulator, webserver, daemon, code server; one of each for all tests.

First in a real browser: order by clicking, watch, look, play. Then the main job with backfills.
With `WIRO_SCREENSHOTS=docs/images` the pictures that the tests take are kept, for the README.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.browser import TELEPHONE, needs_browser, open_browser, open_page
from tests.support.dagster_dev import IN_PROCESS, DagsterDev, wiro_dev
from wiro_dagster.emulator import EmulatorControl

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WINDOW = (1280, 800)
PICTURE_BYTES = 150_000
PATIENCE_SECONDS = 300.0
"""For what the daemon does in its own time."""

PROMPTS = [
    {
        "id": "lighthouse-dawn",
        "prompt": "A white lighthouse on a cliff at dawn, gulls circling, long waves below.",
    },
    {
        "id": "night-market",
        "prompt": "A rainy night market full of paper lanterns, reflections in the puddles.",
        "inputs": {"resolution": "1080P"},
    },
    {
        "id": "paper-crane",
        "prompt": "A paper crane lifts its wings and takes off towards the moon. [fail]",
    },
]
MORE_PROMPTS = [
    {"id": "lighthouse", "prompt": "A lighthouse in a storm"},
    {"id": "market", "prompt": "A market at dawn"},
    {"id": "harbour", "prompt": "A harbour at night"},
    {"id": "broken", "prompt": "A broken thing [fail]"},
    {"id": "patience", "prompt": "A snail crosses a road [slow]"},
]
REASON = "The model could not make anything of this input."
IS_DRAWN = """
(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
  .data.some((value) => value > 0)
"""
PLAY = "(film) => { film.muted = true; return film.play(); }"


@dataclass
class Work:
    """What `make dev` started, and the file of prompts that it reads."""

    dev: DagsterDev
    emulator_url: str
    prompt_file: Path

    def list_videos(self, names: set[str]) -> list[dict[str, Any]]:
        """The materializations of these prompts' videos."""
        return [
            event for event in self.dev.materializations("video") if event["partition"] in names
        ]


@dataclass
class Studio:
    """A person's screen: Dagster's UI in a browser, and where pictures of it go, if anywhere."""

    dev: DagsterDev
    emulator_url: str
    browser: Browser
    page: Page
    pictures: Path | None

    @contextmanager
    def open(self, url: str, *, height: int = WINDOW[1]) -> Iterator[Page]:
        """Go to an address, in one page for all tests: each new one would start a process."""
        self.page.set_default_timeout(PATIENCE_SECONDS * 1000)
        self.page.set_viewport_size({"width": WINDOW[0], "height": height})
        self.page.goto(url)
        yield self.page
        self.page.goto("about:blank")  # a page that nobody looks at would go on asking

    @contextmanager
    def open_asset(self, name: str, tab: str) -> Iterator[Page]:
        """An asset's page, with one of its tabs clicked."""
        with self.open(f"{self.dev.url}/assets/{name}") as page:
            page.get_by_role("tab", name=tab).click()
            yield page

    def take_picture(self, page: Page, name: str) -> None:
        """A screenshot, in fewer colours where it would be a large file."""
        if self.pictures is None:
            return
        from PIL import Image

        page.wait_for_timeout(500)  # dialogs and plots fade in
        path = self.pictures / f"{name}.png"
        with Image.open(io.BytesIO(page.screenshot())) as image:
            picture = image.convert("RGB")
        picture.save(path, optimize=True)
        if path.stat().st_size > PICTURE_BYTES:
            palette = picture.quantize(256)
            picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(
                path, optimize=True
            )


@pytest.fixture(scope="module")
def work() -> Iterator[Work]:
    """Dagster with the emulator, as `make dev` starts them."""
    with tempfile.TemporaryDirectory(prefix="wiro-") as name:
        folder = Path(name)
        prompt_file = folder / "prompts.yaml"
        settings = {
            "WIRO_PROMPT_FILE": str(prompt_file),
            "WIRO_VIDEO_STORE": str(folder / "videos"),
        }
        write_prompts(prompt_file, *PROMPTS)
        with wiro_dev(folder, settings, task_seconds=1) as dev:
            url = str(dev.find_in_log(r"Emulator of Wiro: (\S+)"))
            yield Work(dev, url, prompt_file)


@pytest.fixture(scope="module")
def studio(work: Work) -> Iterator[Studio]:
    """Three prompts, and a browser."""
    EmulatorControl(work.emulator_url).script_fault("http_502", endpoint="Task/Detail")
    wanted = os.environ.get("WIRO_SCREENSHOTS")
    if wanted:
        Path(wanted).mkdir(parents=True, exist_ok=True)
    with open_browser() as browser, open_page(browser, WINDOW) as page:
        work.dev.wait_for(
            lambda: len(work.dev.partition_keys("video_order")) == 3,
            seconds=PATIENCE_SECONDS,
            what="partitions",
        )
        pictures = Path(wanted) if wanted else None
        yield Studio(work.dev, work.emulator_url, browser, page, pictures)


@pytest.fixture(scope="module")
def ordered(studio: Studio) -> Studio:
    """Two prompts ordered together and the failing one alone, all by clicking."""
    with studio.open_asset("video_order", "Partitions") as page:
        page.get_by_text("Hide navigation").click()  # more room on the pictures
        page.get_by_role("button", name="Materialize").first.click(modifiers=["Shift"])
        page.get_by_text("dry_run").first.wait_for()
        studio.take_picture(page, "launch")
    with studio.open_asset("video_order", "Partitions") as page:
        page.get_by_role("button", name="Materialize").first.click()
        page.get_by_text("Select a partition").click()
        for name in ("lighthouse-dawn", "night-market"):
            page.get_by_role("menuitem").filter(has_text=name).click()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Launch backfill").click()
        page.get_by_text("Created backfill").wait_for()
        # One run after the other: Dagster dates checks by the second, and takes those of one run
        # for older than what another materialized in the same second.
        studio.dev.wait_for(
            lambda: len(studio.dev.materializations("video_order")) == 2,
            seconds=PATIENCE_SECONDS,
            what="the first two orders",
        )
        choose_partition(page, "paper-crane")
        page.get_by_role("button", name="Materialize").first.click()
        page.get_by_role("button", name="Launch 1 run").click()
        page.get_by_text("Launched run").wait_for()
    return studio


@pytest.fixture(scope="module")
def finished(ordered: Studio) -> Studio:
    """All three orders have ended, and Dagster knows it.

    So does the run that turns the failed partition red: a page that is open does not show it later.
    """
    ordered.dev.wait_for(
        lambda: (
            len(ordered.dev.materializations("video")) == 2
            and "paper-crane" in ordered.dev.observed_partitions("video_order")
            and ordered.dev.count_failed_partitions("video") == 1
        ),
        seconds=PATIENCE_SECONDS,
        what="the end of all orders",
    )
    return ordered


@needs_browser
def test_ordered_prompts_become_videos_to_look_at(finished: Studio) -> None:
    """Both partitions are green; each has a moving preview, and a link that plays it."""
    with finished.open_asset("video", "Partitions") as page:
        page.get_by_text("Materialized (2)").wait_for()
        choose_partition(page, "night-market")
        page.get_by_text("wiro/cost_usd").wait_for()
        finished.take_picture(page, "partitions")

        page.get_by_text("[Show Markdown]").click()
        preview = page.locator('img[src^="data:image/webp"]')
        preview.wait_for()
        assert preview.evaluate("(image) => image.naturalWidth") > 0
        finished.take_picture(page, "video")
        page.get_by_role("button", name="Close").click()

        with page.expect_popup() as opened:
            page.get_by_role("link", name="/night-market-").click()
        wait_until_it_plays(opened.value, "video")


@needs_browser
def test_each_prompt_shows_its_quote(finished: Studio) -> None:
    """Before anything is ordered, on its partition's page."""
    with finished.open_asset("prompt", "Partitions") as page:
        choose_partition(page, "night-market")
        page.get_by_role("row").filter(has_text="wiro/quote_usd").filter(has_text="0.49").wait_for()
        finished.take_picture(page, "quote")


@needs_browser
def test_a_failed_order_shows_its_reason(finished: Studio) -> None:
    """Its partition is red, and its page and the check on all orders say why."""
    with finished.open_asset("video", "Partitions") as page:
        choose_partition(page, "paper-crane")
        page.get_by_text("failed, and did not materialize this asset").wait_for()
        page.get_by_text("Failed (1)").wait_for()
        finished.take_picture(page, "red")
    with finished.open_asset("video_order", "Partitions") as page:
        choose_partition(page, "paper-crane")
        page.get_by_text(REASON).wait_for()
        finished.take_picture(page, "failed")
        page.get_by_role("tab", name="Checks").click()
        page.get_by_text("orders_succeeded").first.click()
        page.get_by_text(f'"paper-crane": Failed: {REASON}').wait_for()


@needs_browser
def test_costs_are_plotted_and_checks_told(finished: Studio) -> None:
    """Numbers become Dagster's plots; every check says how many videos it saw."""
    with finished.open_asset("video", "Overview") as page:
        page.get_by_text("Plots").click()
        page.get_by_text("wiro/cost_usd").wait_for()
        canvas = page.locator("canvas").first
        canvas.wait_for()
        finished.take_picture(page, "plots")
        assert canvas.evaluate(IS_DRAWN)

        page.get_by_role("tab", name="Checks").click()
        page.get_by_text("not_frozen").first.click()
        page.get_by_role("row").filter(has_text="wiro/videos").filter(has_text="2").wait_for()
        assert page.get_by_text("Succeeded", exact=True).count() == 8
        finished.take_picture(page, "checks")


@needs_browser
def test_the_graph_shows_all_from_prompt_to_gallery(finished: Studio) -> None:
    """Four assets, their partitions and their checks."""
    with finished.open(f"{finished.dev.url}/locations/wiro/asset-groups/wiro", height=520) as page:
        for name in ("prompt", "video_order", "video", "video_gallery"):
            page.get_by_text(name, exact=True).first.wait_for()
        page.get_by_text("8 / 8 Passed").wait_for()
        page.get_by_text("5 / 6 Passed").wait_for()
        finished.take_picture(page, "graph")


@needs_browser
def test_the_gallery_opens_by_its_link_and_plays(finished: Studio) -> None:
    """From the asset's page, in a new window; it reads well on a telephone, too."""
    with finished.open_asset("video_gallery", "Overview") as page:
        page.get_by_role("button", name="Materialize").first.click()
        link = page.get_by_role("link", name="gallery.html")
        row = page.get_by_role("row").filter(has_text="wiro/videos")
        row.filter(has_text="2").wait_for()
        with page.expect_popup() as opened:
            link.click()
        gallery = opened.value
        film = '[data-name="night-market"] video'
        for _ in range(int(PATIENCE_SECONDS)):  # a run that began earlier may write its page first
            gallery.wait_for_load_state()
            if gallery.locator(film).count() and gallery.locator(".failed").count():
                break
            gallery.wait_for_timeout(1000)
            gallery.reload()
        wait_until_it_plays(gallery, film)
        assert REASON in gallery.locator(".failed").inner_text()
        finished.take_picture(gallery, "gallery")
        url = gallery.url
    with open_page(finished.browser, TELEPHONE) as telephone:
        telephone.goto(url)
        assert telephone.locator("article").count() == 3
        finished.take_picture(telephone, "gallery-narrow")


@needs_browser
def test_the_emulator_shows_what_happened(finished: Studio) -> None:
    """Its tasks, its faults and its journal."""
    with finished.open(finished.emulator_url, height=1450) as page:
        page.get_by_text("night market").first.wait_for()
        page.get_by_text("http_502").first.wait_for()
        page.get_by_text("Task/Detail").first.wait_for()
        finished.take_picture(page, "emulator")


def test_the_main_job_with_a_real_daemon(work: Work) -> None:
    """A backfill of `video_order` does not wait, one of `video` does, and both tell the truth.

    The sensor delivers what nobody waits for, also where a waiting run was terminated.
    """
    dev, emulator = work.dev, EmulatorControl(work.emulator_url)
    names = {str(prompt["id"]) for prompt in MORE_PROMPTS}
    bought_before = emulator.billable_tasks()
    write_prompts(work.prompt_file, *PROMPTS, *MORE_PROMPTS)
    dev.wait_for(
        lambda: names <= {*dev.partition_keys("video")}, seconds=PATIENCE_SECONDS, what="partitions"
    )
    ordered = dev.launch_backfill("video_order", ["lighthouse", "market"], config=IN_PROCESS)
    waited = dev.launch_backfill("video", ["harbour", "broken"], config=IN_PROCESS)
    terminated = dev.launch_backfill("video", ["patience"])

    run_id = dev.wait_for(
        lambda: emulator_has(emulator, "snail") and dev.started_run(terminated),
        seconds=PATIENCE_SECONDS,
        what="the run that waits",
    )
    dev.terminate_run(run_id)
    dev.wait_for(
        lambda: dev.backfill_runs(terminated) == ["CANCELED"],
        seconds=PATIENCE_SECONDS,
        what="its termination",
    )
    # Most of the minute that a slow task takes. A whole one would set the clocks too far apart.
    emulator.advance(50)
    ended = {
        backfill: dev.wait_for(
            lambda backfill=backfill: dev.ended_status(backfill),
            seconds=PATIENCE_SECONDS,
            what="its end",
        )
        for backfill in (ordered, waited)
    }
    assert ended == {ordered: "COMPLETED_SUCCESS", waited: "COMPLETED_FAILED"}
    assert dev.backfill_runs(ordered) == ["SUCCESS"]
    assert dev.backfill_runs(waited) == ["FAILURE"]

    videos = dev.wait_for(
        lambda: len(found := work.list_videos(names)) == 4 and found,
        seconds=PATIENCE_SECONDS,
        what="the videos",
    )
    runs = {event["partition"]: event["runId"] for event in videos}
    assert {partition for partition, run in runs.items() if not run} == {
        "lighthouse",
        "market",
        "patience",
    }
    assert runs["harbour"]
    for event in videos:
        entries = {entry["label"]: entry for entry in event["metadataEntries"]}
        assert entries["wiro/cost_usd"]["floatValue"] == pytest.approx(0.28)
        assert entries["wiro/output_urls"]["url"].startswith("http")
        assert "data:image/webp" in entries["wiro/preview"]["mdStr"]
    assert emulator.billable_tasks() - bought_before == 5


def write_prompts(path: Path, *prompts: dict[str, Any]) -> None:
    content = {"defaults": {"model": "minimax/hailuo-2-3"}, "prompts": list(prompts)}
    path.write_text(yaml.safe_dump(content))


def emulator_has(emulator: EmulatorControl, words: str) -> bool:
    return any(words in str(task["parameters"]) for task in emulator.tasks())


def choose_partition(page: Page, name: str) -> None:
    page.locator("span").get_by_text(name, exact=True).first.click()


def wait_until_it_plays(page: Page, css: str) -> None:
    film = page.locator(css)
    film.evaluate(PLAY)
    page.wait_for_function("(film) => film.currentTime > 0.3", arg=film.element_handle())
    assert film.evaluate("(film) => film.videoWidth") > 0
