"""The gallery in a real browser: wide and narrow, playing, filtered, and with hostile words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import browser, why_no_browser
from tests.project import Project
from tests.test_gallery import materialize_gallery

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.skipif(why_no_browser() is not None, reason=why_no_browser() or "")

WIDE = (1400, 900)
TELEPHONE = (390, 844)
WORDS = '<img src=x onerror="document.title=1"></p><script>document.title=2</script>'
PROMPTS = (
    {"id": "cat", "prompt": "A cat on a windowsill"},
    {"id": "dog", "prompt": f"A dog in the surf {WORDS}", "inputs": {"duration": 10}},
    {"id": "broken", "prompt": "A broken thing [fail]"},
)
PLAY = """
const video = document.querySelector('[data-name="cat"] video'), done = arguments[0];
video.muted = true;
video.ontimeupdate = () => { if (video.currentTime > 0.3) { done(video.videoWidth); } };
video.onerror = () => done(video.error.message);
video.play().catch((error) => done(String(error)));
"""


@pytest.fixture
def page(project: Project) -> str:
    """The gallery of two videos and a failure, as a file."""
    project.write_prompts(*PROMPTS)
    for prompt in PROMPTS:
        project.order(str(prompt["id"]))
    project.settle()
    return Path(materialize_gallery(project)["wiro/gallery_file"]).as_uri()


@pytest.fixture(params=[WIDE, TELEPHONE], ids=["wide", "telephone"])
def chrome(request: pytest.FixtureRequest) -> Iterator[Chrome]:
    with browser(*request.param) as driver:
        yield driver


def find(driver: Chrome, css: str) -> Any:
    return driver.find_element("css selector", css)


def shown(driver: Chrome) -> list[str]:
    cards = driver.find_elements("css selector", "article")
    return [str(card.get_attribute("data-name")) for card in cards if card.is_displayed()]


def choose(driver: Chrome, name: str, label: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(find(driver, f"select[name={name}]")).select_by_visible_text(label)


def eventually(look: Callable[[], Any], wanted: Any) -> None:
    deadline = time.monotonic() + 10
    while look() != wanted:
        assert time.monotonic() < deadline, (look(), wanted)
        time.sleep(0.1)


def test_the_gallery_plays_filters_and_fits(page: str, chrome: Chrome) -> None:
    """Without a network, on a wide screen and on a telephone."""
    chrome.set_script_timeout(20)
    chrome.get(page)
    assert sorted(shown(chrome)) == ["broken", "cat", "dog"]
    assert chrome.execute_async_script(PLAY) == 64

    find(chrome, "input[name=words]").send_keys("WINDOWSILL")
    assert shown(chrome) == ["cat"]
    find(chrome, "input[name=words]").clear()
    find(chrome, "input[name=words]").send_keys("no such words")
    assert shown(chrome) == []
    assert find(chrome, ".none").is_displayed()
    find(chrome, "input[name=words]").clear()
    find(chrome, "input[name=words]").send_keys(" ")
    choose(chrome, "state", "Failed")
    assert shown(chrome) == ["broken"]
    assert "could not make anything" in find(chrome, ".failed .note").text
    choose(chrome, "state", "All")
    choose(chrome, "order", "Dearest first")
    assert shown(chrome)[0] == "dog"
    choose(chrome, "order", "By name")
    assert shown(chrome) == ["broken", "cat", "dog"]

    width = chrome.execute_script("return document.documentElement.scrollWidth - innerWidth")
    assert width <= 0
    assert [entry["message"] for entry in chrome.get_log("browser")] == []  # type: ignore[no-untyped-call]


def test_hostile_words_stay_words(page: str, chrome: Chrome) -> None:
    """A prompt with markup is read, not run."""
    chrome.get(page)
    assert chrome.title == "Videos"
    assert WORDS in find(chrome, '[data-name="dog"] .prompt').text
    assert chrome.find_elements("css selector", 'img[src="x"]') == []


def test_a_video_that_is_not_there_says_so(page: str, project: Project) -> None:
    """A page that was moved without its videos tells why nothing plays."""
    for path in (project.folder / "videos").glob("*.mp4"):
        path.unlink()
    with browser(*WIDE) as chrome:
        chrome.get(page)
        chrome.execute_script("document.querySelectorAll('video').forEach((v) => v.load())")
        chrome.execute_script("document.querySelectorAll('video').forEach((v) => v.play())")
        eventually(
            lambda: "not beside the page" in find(chrome, '[data-name="cat"] .frame').text, True
        )


def test_a_dark_screen_gets_a_dark_page(page: str) -> None:
    """As the system prefers."""
    colours = []
    for is_dark in (False, True):
        with browser(*WIDE, is_dark=is_dark) as chrome:
            chrome.get(page)
            colours.append(find(chrome, "body").value_of_css_property("background-color"))
    assert colours == ["rgba(246, 246, 244, 1)", "rgba(21, 21, 22, 1)"]
