"""The gallery in a real browser: wide and narrow, playing, filtered, and with hostile words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from PIL import Image

from tests.gallery.test_gallery import materialize_gallery
from tests.support.browser import (
    TELEPHONE,
    WIDE,
    list_messages,
    needs_browser,
    open_browser,
    open_page,
)
from tests.support.project import Project
from wiro_dagster.emulator import Emulator
from wiro_dagster.gallery.page import Card, render_page
from wiro_dagster.gallery.server import serve_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_browser

WORDS = '<img src=x onerror="document.title=1"></p><script>document.title=2</script>'
PROMPTS = (
    {"id": "cat", "prompt": "A cat on a windowsill"},
    {"id": "dog", "prompt": f"A dog in the surf {WORDS}", "inputs": {"duration": 10}},
    {"id": "broken", "prompt": "A broken thing [fail]"},
)


@pytest.fixture(scope="module")
def gallery(shared_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two videos and a failure."""
    shared_emulator.reset()
    folder = tmp_path_factory.mktemp("gallery")
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("home"))) as instance:
        project = Project(folder, shared_emulator, instance)
        project.write_prompts(*PROMPTS)
        project.order(*(str(prompt["id"]) for prompt in PROMPTS))
        project.settle()
        return Path(materialize_gallery(project)["wiro/gallery_file"])


@pytest.fixture(scope="module")
def browser(gallery: Path) -> Iterator[Browser]:
    # After the gallery: Dagster's runs and the browser's driver both want the thread's event loop.
    with open_browser() as started:
        yield started


def shown(page: Page) -> list[str | None]:
    cards = page.locator("article").all()
    return [card.get_attribute("data-name") for card in cards if card.is_visible()]


def test_the_gallery_plays_filters_and_fits(gallery: Path, browser: Browser) -> None:
    """Without a network, on a wide screen and on a telephone."""
    for size in (WIDE, TELEPHONE):
        with open_page(browser, size) as page:
            messages = list_messages(page)
            page.goto(gallery.as_uri())
            assert sorted(map(str, shown(page))) == ["broken", "cat", "dog"]
            film = page.locator('[data-name="cat"] video')
            film.evaluate("(film) => { film.muted = true; return film.play(); }")
            page.wait_for_function("(film) => film.currentTime > 0.3", arg=film.element_handle())
            assert film.evaluate("(film) => film.videoWidth") == 64

            words = page.get_by_role("searchbox")
            words.fill("WINDOWSILL")
            assert shown(page) == ["cat"]
            words.fill("no such words")
            assert shown(page) == []
            assert page.locator(".none").is_visible()
            words.fill("")
            page.get_by_label("Show").select_option("Failed")
            assert shown(page) == ["broken"]
            assert "could not make anything" in page.locator(".failed .note").inner_text()
            page.get_by_label("Show").select_option("All")
            page.get_by_label("Sort by").select_option("Dearest first")
            assert shown(page)[0] == "dog"
            page.get_by_label("Sort by").select_option("By name")
            assert shown(page) == ["broken", "cat", "dog"]

            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert messages == []


def test_all_that_is_shown_can_be_downloaded(gallery: Path, browser: Browser) -> None:
    """From the page's own server; a filter narrows it. Opened as a file, all is there already."""
    with open_page(browser, WIDE) as page:
        page.goto(gallery.as_uri())
        assert not page.locator(".save").is_visible()
    with serve_folder(gallery.parent) as base_url, open_page(browser, WIDE) as page:
        page.goto(f"{base_url}/gallery.html")
        assert page.locator(".save").inner_text() == "Download all (2)"
        page.get_by_role("searchbox").fill("windowsill")
        with page.expect_download() as found:
            page.get_by_role("button", name="Download all (1)").click()
        assert found.value.suggested_filename.startswith("cat-")


def test_an_upright_video_does_not_stretch_its_row(browser: Browser, tmp_path: Path) -> None:
    """All frames of the page have one shape, whatever is in them."""
    upright = BytesIO()
    Image.new("RGB", (180, 320), "navy").save(upright, "webp")
    cards = [
        Card(name, "video", "p", "m", kind="video", source="a.mp4", poster=poster)
        for name, poster in (("lying", None), ("upright", upright.getvalue()))
    ]
    path = tmp_path / "gallery.html"
    path.write_text(render_page("Videos", cards, made_at=1.7e9, missing="gone"), encoding="utf-8")
    with open_page(browser, WIDE) as page:
        page.goto(path.as_uri())
        frames = [frame.bounding_box() for frame in page.locator(".frame").all()]
        heights = {round(frame["height"]) for frame in frames if frame}
        assert len(heights) == 1


def test_hostile_words_stay_words(gallery: Path, browser: Browser) -> None:
    """A prompt with markup is read, not run."""
    with open_page(browser) as page:
        page.goto(gallery.as_uri())
        assert page.title() == "Videos"
        assert WORDS in page.locator('[data-name="dog"] .prompt').inner_text()
        assert page.locator('img[src="x"]').count() == 0


def test_a_video_that_is_not_there_says_so(gallery: Path, browser: Browser, tmp_path: Path) -> None:
    """A page that was moved without its videos tells why nothing plays."""
    moved = shutil.copy(gallery, tmp_path)
    with open_page(browser) as page:
        page.goto(Path(moved).as_uri())
        page.evaluate("document.querySelectorAll('video').forEach((film) => film.load())")
        page.evaluate("document.querySelectorAll('video').forEach((film) => { film.play(); })")
        frame = page.locator('[data-name="cat"] .frame')
        frame.get_by_text("not beside the page").wait_for()


def test_a_dark_screen_gets_a_dark_page(gallery: Path, browser: Browser) -> None:
    """As the system prefers."""
    colours = []
    for is_dark in (False, True):
        with open_page(browser, is_dark=is_dark) as page:
            page.goto(gallery.as_uri())
            colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(246, 246, 244)", "rgb(21, 21, 22)"]
