"""Files of orders: attached to their runs, or uploaded once for each content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.orders.test_fault_points import Died, Fate, Mortal
from tests.orders.test_limits import Price
from tests.support.images import IMAGE, write_image
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import PRICE, Workshop
from wiro_dagster.api.client import WiroClient
from wiro_dagster.catalogue import Catalogue, StoredFileInput
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import StoreError
from wiro_dagster.orders.likeness import count_surplus
from wiro_dagster.orders.uploads import WEEK_SECONDS
from wiro_dagster.store import FolderStore

UPLOADING = replace(STEADY, local_files="upload")
ADS = "wiro/product-ads"


@pytest.fixture
def open_bench(emulator: Emulator, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    opened: list[Bench] = []

    def open_one(**options: Any) -> Bench:
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        bench = Bench(emulator, url, tmp_path / "videos", **{"policy": UPLOADING, **options})
        opened.append(bench)
        return bench

    yield open_one
    for bench in opened:
        bench.close()


@pytest.fixture
def bench(open_bench: Callable[..., Bench]) -> Bench:
    return open_bench()


def fetch(url: object) -> bytes:
    return requests.get(str(url), timeout=60).content


def test_one_content_is_uploaded_once_for_any_number_of_orders(
    bench: Bench, tmp_path: Path
) -> None:
    """Two orders, also at the same time and by other names: one upload, two tasks, one URL."""
    bench.place("cat", inputImageFirst=write_image(tmp_path, "a.png"))
    bench.place("dog", inputImageFirst=write_image(tmp_path, "b.png"))
    orders = bench.settle()
    assert [order.state for order in orders] == ["delivered", "delivered"]
    assert (bench.calls("File/Upload"), bench.runs()) == (1, 2)
    urls = {task["parameters"]["inputImageFirstUrl"] for task in bench.emulator.tasks()}
    assert len(urls) == 1
    assert fetch(*urls) == IMAGE
    bench.place("owl", inputImageFirst=write_image(tmp_path, "c.png"))
    bench.place("fox", inputImageFirst=write_image(tmp_path, "d.png", IMAGE + b"!"))
    bench.settle()
    assert (bench.calls("File/Upload"), bench.runs()) == (2, 4)
    bench.check_books()
    bench.advance(WEEK_SECONDS)
    bench.place("bat", inputImageFirst=write_image(tmp_path, "a.png"))
    bench.settle()
    assert (bench.calls("File/Upload"), bench.runs()) == (3, 5)


def test_files_are_attached_where_nothing_else_is_asked_for(
    open_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """The default uploads nothing; nor is uploaded what no input is known to take as a URL."""
    image = write_image(tmp_path)
    attaching = open_bench(policy=STEADY)
    attaching.place("cat", inputImageFirst=image)
    attaching.settle()
    uploading = open_bench()
    uploading.place("dog", inputImageFirst=replace(image, url_input=None))
    uploading.settle()
    assert (uploading.calls("File/Upload"), uploading.runs()) == (0, 2)
    assert all(task["parameters"]["inputImageFirst"] for task in uploading.emulator.tasks())


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("http_502", {"times": 4}),
        ("drop", {"moment": "after", "times": 4}),
        ("broken_json", {"moment": "after", "times": 4}),
        ("rate_limited", {"times": 4, "retry_after": "30"}),
    ],
)
def test_a_failed_upload_buys_nothing_and_is_tried_again(
    bench: Bench, tmp_path: Path, fault: str, options: dict[str, Any]
) -> None:
    """Whatever became of it, the order waits as one that was never sent; it is never unknown."""
    bench.emulator.script_fault(fault, endpoint="File/Upload", **options)
    bench.place("cat", inputImageFirst=write_image(tmp_path))
    bench.tick()
    order = bench.order("cat")
    assert (order.state, order.claimed_at, bench.runs()) == ("ordered", None, 0)
    assert "Its files could not be uploaded" in str(order.hold)
    (order,) = bench.settle()
    assert (order.state, bench.runs(), bench.calls("Run")) == ("delivered", 1, 1)


def test_a_file_that_changed_or_went_ends_its_order(bench: Bench, tmp_path: Path) -> None:
    """Nothing is uploaded under the name of other bytes, and nothing is bought."""
    bench.place("changed", inputImageFirst=write_image(tmp_path, "changed.png"))
    bench.place("gone", inputImageFirst=write_image(tmp_path, "gone.png", IMAGE + b"?"))
    (tmp_path / "changed.png").write_bytes(IMAGE + b"!")
    (tmp_path / "gone.png").unlink()
    bench.settle()
    assert (bench.state("changed"), bench.state("gone")) == ("failed", "failed")
    assert "has changed since its prompt was read" in str(bench.order("changed").error)
    assert (bench.calls("File/Upload"), bench.runs()) == (0, 0)


def test_a_refused_key_is_the_accounts_problem(
    open_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """The order waits for a person to correct it, as it does where a run is refused."""
    priced = {"quoter": lambda _slug, _inputs: Price(PRICE, PRICE)}
    wrong = open_bench(api_key="wrong", options=priced)
    wrong.place("cat", inputImageFirst=write_image(tmp_path))
    wrong.tick()
    assert (wrong.state("cat"), wrong.runs()) == ("ordered", 0)
    assert "credentials" in str(wrong.tick().closed_reason)


def test_death_while_uploading_leaves_an_order_that_was_never_sent(
    open_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """It is submitted again when the upload has been silent for long, not looked up at Wiro."""

    def die_uploading(workshop: Workshop) -> dict[str, Any]:
        return {"client": Mortal(workshop.open_client(), ("upload_file",), Fate(dies_at=1))}

    mortal = open_bench(parts=die_uploading)
    mortal.place("cat", inputImageFirst=write_image(tmp_path))
    with suppress(Died):
        mortal.tick()
    assert (mortal.state("cat"), mortal.order("cat").claimed_at) == ("ordered", None)
    alive = open_bench()
    (order,) = alive.settle()
    assert (order.state, order.posts, alive.runs()) == ("delivered", 1, 1)


def test_a_lost_answer_of_a_run_with_an_uploaded_file_is_adopted(
    bench: Bench, tmp_path: Path
) -> None:
    """Wiro shows the file under the name that takes URLs; it is the order's task all the same."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("cat", inputImageFirst=write_image(tmp_path))
    bench.place("plain")
    bench.tick()
    assert "unknown" in {bench.state("cat"), bench.state("plain")}
    assert {order.state for order in bench.settle()} == {"delivered"}
    assert (bench.runs(), bench.calls("Run")) == (2, 2)
    bench.check_books()


def test_files_and_urls_of_one_input_go_together(bench: Bench, tmp_path: Path) -> None:
    """Several pictures: uploaded ones join the URLs that were given, and are recovered too."""
    (tmp_path / "a,b.png").write_bytes(IMAGE)
    detail = bench.workshop.open_client().get_model(ADS)
    schema = Catalogue(lookup=lambda _slug: detail).get_schema(ADS)
    given = {"inputImage": [tmp_path / "a,b.png", "https://example.com/x.png"], "style": "lively"}
    inputs, problems = schema.validate(given)
    assert problems == ()
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("ad", model=ADS, **inputs)
    (order,) = bench.settle()
    (task,) = bench.emulator.tasks()
    first, second = task["parameters"]["inputImageUrl"].split(",")
    assert (first, fetch(second)) == ("https://example.com/x.png", IMAGE)
    assert (order.state, bench.runs()) == ("delivered", 1)


class LostStore(FolderStore):
    """A store that cannot be reached for a while."""

    is_away = True

    def find_size(self, key: str) -> int | None:
        if self.is_away:
            raise StoreError("The video store cannot be reached.")
        return super().find_size(key)


@pytest.mark.parametrize("local_files", ["attach", "upload"])
def test_a_file_of_a_store_that_is_away_waits_for_it(
    open_bench: Callable[..., Bench], tmp_path: Path, local_files: str
) -> None:
    """Nothing was sent: the order is sent when the store is back, and what it lost is told."""
    store = LostStore(tmp_path / "videos")
    store.root.mkdir()
    image = write_image(store.root, "kept.png")
    kept = StoredFileInput("kept.png", image.sha256, image.size_bytes, image.url_input)
    policy = replace(UPLOADING, local_files=local_files)
    bench = open_bench(policy=policy, parts=lambda _workshop: {"store": store})
    bench.place("cat", inputImageFirst=kept)
    bench.tick()
    order = bench.order("cat")
    assert (order.state, bench.runs()) == ("ordered", 0)
    assert "cannot be reached" in str(order.hold)
    store.is_away = False
    bench.settle()
    assert (bench.state("cat"), bench.runs()) == ("delivered", 1)
    (store.root / "kept.png").unlink()
    bench.place("dog", inputImageFirst=replace(kept, sha256="0" * 64))
    bench.settle()
    assert (bench.state("dog"), bench.runs()) == ("failed", 1)
    assert "kept.png is gone" in str(bench.order("dog").error)


def test_an_uploaded_file_is_no_surplus(bench: Bench, tmp_path: Path) -> None:
    """A run without the file fits worse: it is another order's."""
    order = bench.place("cat", inputImageFirst=write_image(tmp_path))
    bench.settle()
    client: WiroClient = bench.workshop.open_client()
    task = client.get_task(str(bench.order("cat").task_id))
    assert count_surplus(order, task) == 0
    plain = replace(order, inputs={k: v for k, v in order.inputs.items() if "Image" not in k})
    assert count_surplus(plain, task) == 1
