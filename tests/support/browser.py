"""Debian's Chromium without a window, for tests that look at pages as people do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE = (1400, 900)
TELEPHONE = (390, 844)

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
)


def _find_chromium() -> str | None:
    return next((path for path in map(shutil.which, _NAMES) if path), None)


def why_no_browser() -> str | None:
    """What is missing for browser tests, `None` where nothing is."""
    if find_spec("playwright") is None:
        return "playwright is not installed (pip install playwright)"
    if _find_chromium() is None:
        return "no Chromium (apt-get install chromium)"
    return None


# In CI nothing is skipped: there `open_browser` fails where something is missing.
needs_browser = pytest.mark.skipif(
    why_no_browser() is not None and os.environ.get("CI") != "true", reason=why_no_browser() or ""
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The machine's own Chromium; nothing is downloaded."""
    assert why_no_browser() is None, why_no_browser()
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=_find_chromium(), args=_SWITCHES) as browser,
    ):
        yield browser


@contextmanager
def open_page(
    browser: Browser, size: tuple[int, int] = WIDE, *, is_dark: bool = False
) -> Iterator[Page]:
    """A window of this many CSS pixels, with cookies and a cache of its own."""
    with browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if is_dark else "light",
        is_mobile=size == TELEPHONE,
        has_touch=size == TELEPHONE,
        locale="en-GB",
        timezone_id="UTC",
    ) as context:
        yield context.new_page()


def list_messages(page: Page) -> list[str]:
    """What the page says on its console, and its errors; it grows while the page is open."""
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    return messages
