"""Debian's Chromium without a window, for tests that look at pages as people do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
)


def why_no_browser() -> str | None:
    """What is missing for browser tests, `None` where nothing is."""
    if find_spec("selenium") is None:
        return "selenium is not installed (pip install selenium)"
    if _find(_BROWSERS) is None or shutil.which("chromedriver") is None:
        return "no Chromium with its driver (apt-get install chromium chromium-driver)"
    return None


@contextmanager
def browser(width: int, height: int, *, is_dark: bool = False) -> Iterator[Chrome]:
    """A window of this many CSS pixels, with all of the page's own log kept."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = _find(_BROWSERS) or ""
    for switch in _SWITCHES:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        # Windows have a smallest width; a telephone's must be pretended.
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield driver
    finally:
        driver.quit()


def _find(names: tuple[str, ...]) -> str | None:
    return next((path for path in map(shutil.which, names) if path), None)
