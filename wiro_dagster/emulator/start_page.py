"""The page at the root of the API's port: says what this is and shows what happens in it."""

from __future__ import annotations

from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response


@cache
def _page() -> str:
    page = resources.files("wiro_dagster.emulator").joinpath("start_page.html")
    return page.read_text(encoding="utf-8")


async def show_start_page(_request: Request) -> Response:
    """Return the page; it reads the control API and needs nothing from the network."""
    return HTMLResponse(_page())
