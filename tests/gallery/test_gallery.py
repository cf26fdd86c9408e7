"""The gallery: what is on the page, what cannot get onto it, and who may read the folder."""

from __future__ import annotations

import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dagster as dg
import pytest
import requests

from tests.support.project import Project
from wiro_dagster import FolderVideoStore, VideoCollection
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.gallery.page import Card, render_page
from wiro_dagster.gallery.server import serve_folder

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'${title}&amp;"
FAILING = {"id": "broken", "prompt": "A broken thing [fail]"}
NOW = 1_700_000_000.0


class Elements(HTMLParser):
    """All elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def materialize_gallery(project: Project) -> dict[str, Any]:
    """The metadata of the gallery."""
    job = project.load().resolve_implicit_global_asset_job_def()
    key = dg.AssetKey([*project.collection.video_key.path[:-1], "video_gallery"])
    assert job.execute_in_process(asset_selection=[key], instance=project.instance).success
    (record, *_) = project.instance.fetch_materializations(key, limit=5).records
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def test_the_page_stands_beside_the_videos(project: Project) -> None:
    """Its players name files that are there, posters are inside it, no network is needed."""
    project.write_prompts(CAT, FAILING)
    project.order("cat", "broken")
    project.settle()
    metadata = materialize_gallery(project)
    path = Path(metadata["wiro/gallery_file"])
    assert path == project.folder / "videos" / "gallery.html"
    page = Elements(path.read_text(encoding="utf-8"))
    (film,) = page.all("video")
    assert (path.parent / unquote(str(film["src"]))).is_file()
    assert str(film["poster"]).startswith("data:image/webp;base64,")
    for words in (CAT["prompt"], "minimax/hailuo-2-3", "USD", FAILING["prompt"], "1 failed"):
        assert words in page.text
    broken = project.ledger.find_latest("video", "broken")
    assert broken is not None
    assert str(broken.error) in page.text
    links = [value for _, values in page.found for name, value in values.items() if name == "src"]
    assert [link for link in links if "//" in str(link)] == []
    assert (metadata["wiro/videos"], metadata["wiro/failed"]) == (1, 1)
    assert metadata["wiro/cost_usd"] == pytest.approx(float(project.emulator.spent_usd()))


def test_an_earlier_version_is_kept_and_told_apart(project: Project) -> None:
    """What was paid for is on the page, also when another video stands for its partition now."""
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    project.write_prompts({**CAT, "prompt": "A cat asleep"})
    project.order("cat")
    project.settle()
    page = Elements(Path(materialize_gallery(project)["wiro/gallery_file"]).read_text())
    assert [card["data-state"] for card in page.all("article")] == ["video", "earlier"]


def test_each_collection_has_its_own_page(project: Project) -> None:
    """Both may lie in one store."""
    ads = Project(project.folder, project.emulator, project.instance, name="ads")
    ads.write_prompts(CAT)
    assert Path(materialize_gallery(ads)["wiro/gallery_file"]).name == "ads_gallery.html"
    assert Path(materialize_gallery(project)["wiro/gallery_file"]).name == "gallery.html"


def test_a_served_folder_gives_a_link_to_click(project: Project) -> None:
    """Browsers open no file:// link on Dagster's page; an http link they do."""
    project.write_prompts(CAT)
    with serve_folder(project.folder / "videos") as base_url:
        store = FolderVideoStore(path=str(project.folder / "videos"), base_url=base_url)

        class Served(Project):
            @property
            def resources(self) -> dict[str, Any]:
                return super().resources | {"video_store": store}

        served = Served(project.folder, project.emulator, project.instance)
        link = materialize_gallery(served)["wiro/gallery"]
        assert link == f"{base_url}/gallery.html"
        assert "<!doctype html>" in requests.get(link, timeout=60).text


def test_no_text_becomes_markup() -> None:
    """Prompts, names, models, reasons and links are other people's words."""
    card = Card(HOSTILE, "video", HOSTILE, HOSTILE, kind="video", source=HOSTILE, notes=(HOSTILE,))
    page = render_page(HOSTILE, [card], made_at=NOW, missing=HOSTILE, note=HOSTILE)
    elements = Elements(page)
    assert len(elements.all("script")) == 1
    assert elements.all("img") == []
    assert elements.all("article")[0]["data-name"] == HOSTILE
    assert elements.all("video")[0]["src"] == HOSTILE
    assert [name for _, values in elements.found for name in values if name.startswith("on")] == []


def test_the_page_allows_its_own_script_only() -> None:
    """Its policy names the hash of the one script."""
    page = render_page("Videos", [], made_at=NOW, missing="")
    policy = str(Elements(page).all("meta")[2]["content"])
    assert re.search(r"script-src 'sha256-[\w+/]{43}='", policy)
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("kind", "element"), [("video", "video"), ("image", "img"), ("audio", "audio")]
)
def test_every_kind_of_output_is_shown(kind: Any, element: str) -> None:
    """Images and sounds are paid for too."""
    card = Card("a", "video", "p", "m", kind=kind, source="a.bin", others=("b.bin",))
    page = Elements(render_page("Videos", [card], made_at=NOW, missing=""))
    assert page.all(element)[0]["src"] == "a.bin"
    assert [link["href"] for link in page.all("a")] == ["a.bin", "b.bin"]


def test_each_card_links_to_its_partition_in_dagster(project: Project) -> None:
    """Where the UI is, is a setting; names are quoted."""
    odd = "a b?c&d"
    project.collection_options["dagster_url"] = "http://127.0.0.1:3000/"
    project.write_prompts({"id": odd, "prompt": "A cat"}, FAILING)
    project.order(odd, "broken")
    project.settle()
    page = Elements(Path(materialize_gallery(project)["wiro/gallery_file"]).read_text())
    base = "http://127.0.0.1:3000/assets/video?view=partitions&partition="
    links = {link["href"] for link in page.all("a")}
    assert {f"{base}a%20b%3Fc%26d", f"{base}broken"} <= links


def test_where_dagster_is_must_be_an_address() -> None:
    """It becomes a link."""
    with pytest.raises(ConfigurationError, match="Write it as"):
        VideoCollection(prompt_file="a.yaml", dagster_url="javascript:alert(1)")


def test_totals_count_what_failed_and_cost() -> None:
    """Money that was spent on failures is money spent."""
    cards = [
        Card("a", "video", "", "m", cost_usd=Decimal("0.28")),
        Card("b", "video", "", "m", cost_usd=Decimal("0.28")),
        Card("c", "failed", "", "m", cost_usd=Decimal("0.10")),
        Card("a", "earlier", "", "m", cost_usd=Decimal("0.28")),
    ]
    page = render_page("Videos", cards, made_at=NOW, missing="")
    assert "2 videos · 0.94 USD · 1 failed · 1 earlier version" in page


def test_costs_are_added_up_by_model() -> None:
    """With two models or more, each has a line."""
    cards = [
        Card("a", "video", "", "m-1", cost_usd=Decimal("0.28")),
        Card("a", "earlier", "", "m-1", cost_usd=Decimal("0.20")),
        Card("b", "failed", "", "m-2"),
    ]
    page = Elements(render_page("Videos", cards, made_at=NOW, missing=""))
    words = "".join(page.text.split())
    assert "m-1" + "2" + "0" + "0.48" + "m-2" + "0" + "1" + "0.00" in words
    assert Elements(render_page("Videos", cards[:2], made_at=NOW, missing="")).all("details") == []


def test_an_odd_time_spoils_no_page() -> None:
    """It is left out."""
    cards = [Card("a", "video", "", "m", ended_at=1e300)]
    assert "<article" in render_page("Videos", cards, made_at=NOW, missing="")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a b.mp4").write_bytes(b"0123456789")
    (videos / ".hidden").write_text("no")
    (tmp_path / "outside.txt").write_text("no")
    (videos / "link.txt").symlink_to(tmp_path / "outside.txt")
    return videos


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        (None, 200, b"0123456789"),
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-99", 206, b"56789"),
    ],
)
def test_a_browser_may_seek(folder: Path, asked: str | None, status: int, body: bytes) -> None:
    """A part of a file is sent where a part is asked for."""
    headers = {} if asked is None else {"Range": asked}
    with serve_folder(folder) as base_url:
        answer = requests.get(f"{base_url}/a%20b.mp4", headers=headers, timeout=60)
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers["content-type"] == "video/mp4"


@pytest.mark.parametrize(
    "path", ["", ".hidden", "link.txt", "%2e%2e/outside.txt", "none.mp4", "a/../.hidden"]
)
def test_only_the_folders_files_are_shown(folder: Path, path: str) -> None:
    """No list, nothing hidden, nothing from elsewhere."""
    with serve_folder(folder) as base_url:
        assert requests.get(f"{base_url}/{path}", timeout=60).status_code == 404


def test_no_script_of_a_model_runs_on_the_galleries_origin(folder: Path) -> None:
    """SVG and pages are sandboxed, and no type is guessed; our own page and videos are not."""
    (folder / "logo-1-2.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    for name in ("gallery.html", "ads_gallery.html", "gallery-1a2b-77.html", "a.html"):
        (folder / name).write_text("<!doctype html>")
    with serve_folder(folder) as base_url:
        for name in ("logo-1-2.svg", "gallery-1a2b-77.html", "a.html"):
            answer = requests.get(f"{base_url}/{name}", timeout=60)
            assert answer.headers["Content-Security-Policy"] == "sandbox"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for name in ("gallery.html", "ads_gallery.html", "a%20b.mp4"):
            answer = requests.get(f"{base_url}/{name}", timeout=60)
            assert "Content-Security-Policy" not in answer.headers


def test_another_host_name_is_refused(folder: Path) -> None:
    """A page elsewhere that points its name at this machine reads nothing."""
    with serve_folder(folder) as base_url:
        url = f"{base_url}/a%20b.mp4"
        assert requests.get(url, headers={"Host": "evil.example"}, timeout=60).status_code == 404
        assert requests.head(url, headers={"Host": "localhost:1"}, timeout=60).ok
