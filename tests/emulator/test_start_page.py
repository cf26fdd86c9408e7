"""The start page in a browser: the table of worlds, and its buttons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import list_messages, needs_browser, open_browser, open_page
from tests.support.emulator_calls import Caller
from wiro_dagster.emulator import Emulator

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]
pytestmark = needs_browser


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Iterator[Caller]:
    yield Caller(wiro_emulator)
    wiro_emulator.clear_worlds()


def test_the_page_shows_worlds_and_begins_and_ends_them(caller: Caller) -> None:
    """All with their source and rate; those of a task beside the task."""
    emulator = caller.emulator
    emulator.script_task(worlds=["twin", "late_cost"])
    caller.run()
    emulator.set_world_rates({"cost_null": 0.05})
    with open_browser() as browser, open_page(browser) as page:
        messages = list_messages(page)
        page.goto(emulator.start_page_url)
        page.get_by_text("worlds: twin, late_cost").first.wait_for()
        assert page.get_by_text("twin; worlds: twin, late_cost").count() == 1
        page.get_by_text("What the service may do").click()
        rows = page.locator("#worlds tbody tr")
        assert rows.count() == len(emulator.worlds())
        assert "5.0 %" in rows.filter(has_text="cost_null").inner_text()
        gateway = rows.filter(has_text="gateway_refuses")
        gateway.get_by_role("button", name="Begin").click()
        page.get_by_text("now: gateway_refuses").wait_for()
        assert caller.post("Run/minimax/hailuo-2-3", {"prompt": "a fox"}).status_code == 504
        gateway.get_by_role("button", name="End").click()
        page.get_by_text("now: gateway_refuses").wait_for(state="detached")
        assert caller.run()
        page.get_by_role("button", name="End all").click()
        page.get_by_text("1 by chance").wait_for(state="detached")
        assert messages == []
    assert {world["rate"] for world in emulator.worlds()} == {0.0}
