"""Models of every kind of output in one prompt file: ordered, stored, verified, reported."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.support.project import Project
from wiro_dagster import LedgerResource
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Order
from wiro_dagster.media import probe_media

IMAGE = b"\x89PNG\r\n\x1a\n not really an image"
PROMPTS: list[dict[str, Any]] = [
    {"id": "film", "prompt": "A fox in the snow", "model": "minimax/hailuo-2-3"},
    {"id": "picture", "prompt": "A fox in the snow", "model": "bytedance/seedream-v4-5"},
    {
        "id": "pictures",
        "prompt": "A fox in the snow",
        "model": "emulator/picture-set",
        "inputs": {"count": 3},
    },
    {"id": "speech", "prompt": "A fox walks in the snow.", "model": "openbmb/voxcpm"},
    {"id": "answer", "prompt": "Tell me of a fox", "model": "emulator/chat"},
    {
        "id": "ad",
        "model": "wiro/product-ads",
        "inputs": {"inputImage": ["product.png"], "style": "lively"},
    },
    {"id": "undescribed", "prompt": "A fox", "model": "emulator/no-schema"},
    {"id": "logo", "prompt": "ACME", "model": "wiro/animated-logo"},
]
KINDS = {
    "film": ("video", "video/mp4"),
    "picture": ("image", "image/png"),
    "pictures": ("image", "image/webp"),
    "speech": ("audio", "audio/wav"),
    "answer": ("file", "text/plain"),
    "ad": ("video", "video/mp4"),
    "undescribed": ("image", "image/png"),
    "logo": ("video", "video/mp4"),
}


class OpenProject(Project):
    """A project that orders what has no price before the run."""

    @property
    def resources(self) -> dict[str, Any]:
        ledger = LedgerResource(
            url=f"sqlite:///{self.folder / 'ledger.db'}",
            daily_budget_usd="50",
            unknown_price="assume",
            assumed_price_usd="1",
        )
        return {**super().resources, "wiro_ledger": ledger}


@pytest.fixture
def open_project(tmp_path: Path, emulator: Emulator) -> Iterator[OpenProject]:
    home = tmp_path / "dagster"
    home.mkdir()
    (tmp_path / "product.png").write_bytes(IMAGE)
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        yield OpenProject(tmp_path, emulator, instance)


def run_to_the_end(project: OpenProject) -> dict[str, Order]:
    project.write_prompts(*PROMPTS)
    assert project.order(*(prompt["id"] for prompt in PROMPTS)).success
    return {order.partition: order for order in project.settle()}


def metadata_of(project: OpenProject, partition: str) -> dict[str, Any]:
    (event,) = project.videos(partition)
    return {key: value.value for key, value in event.metadata.items()}


def test_every_kind_of_output_is_stored_verified_and_reported(open_project: OpenProject) -> None:
    """Video, image, several images, sound, text; by run, pixel, file, letter, token and second."""
    orders = run_to_the_end(open_project)
    assert {name: (order.state, order.error) for name, order in orders.items()} == dict.fromkeys(
        KINDS, ("delivered", None)
    )
    assert open_project.emulator.billable_tasks() == len(PROMPTS)
    charged = sum(order.cost_usd or 0 for order in orders.values())
    assert charged == open_project.emulator.spent_usd()
    for name, (kind, content_type) in KINDS.items():
        files = orders[name].files
        assert len(files) == (3 if name == "pictures" else 1), name
        for file in files:
            path = Path(file["uri"].removeprefix("file://"))
            content = path.read_bytes()
            assert len(content) == file["size_bytes"]
            assert hashlib.sha256(content).hexdigest() == file["sha256"]
            assert file["media"]["kind"] == kind, name
            assert (file["content_type"] or "").startswith(content_type), name
            assert probe_media(path, file["content_type"]).kind == kind
    check_records(open_project, orders)


def check_records(open_project: OpenProject, orders: dict[str, Order]) -> None:
    """Lengths where there is a length, sides where there are pictures, text where there is text."""
    records = {name: metadata_of(open_project, name) for name in KINDS}
    for name, record in records.items():
        cost = orders[name].cost_usd
        if name == "undescribed":  # a model without prices, billed at 0: its cost is not stated
            assert cost is None
            assert "wiro/cost_usd" not in record
        else:
            assert record["wiro/cost_usd"] == pytest.approx(float(cost or 0))
        assert record["dagster/uri"].startswith("file://")
        assert ("wiro/duration_seconds" in record) is (KINDS[name][0] in ("video", "audio"))
        assert ("wiro/width" in record) is (KINDS[name][0] in ("video", "image"))
        assert ("wiro/preview" in record) is (KINDS[name][0] in ("video", "image"))
    assert len(records["pictures"]["wiro/files"]) == 3
    assert len(records["pictures"]["wiro/output_urls"]) == 3
    answer = Path(records["answer"]["dagster/uri"].removeprefix("file://")).read_text("utf-8")
    assert answer.endswith("Tell me of a fox")
    assert records["answer"]["wiro/text"] == answer
    assert [name for name in KINDS if "wiro/output_urls" not in records[name]] == ["answer"]
    assert [name for name in KINDS if "wiro/text" in records[name]] == ["answer"]
    check_verdicts(open_project)
    assert records["film"]["wiro/quote_usd"] == records["film"]["wiro/cost_usd"]
    assert records["pictures"]["wiro/quote_usd"] == pytest.approx(0.06)
    assert "wiro/quote_usd" not in records["answer"]


def check_verdicts(open_project: OpenProject) -> None:
    """Of every kind what can be said of it: cost and bytes of all that have a quote or a file."""
    checks = {
        check.check_name: check.metadata["wiro/videos"].value
        for check in newest_evaluations(open_project)
    }
    quoted = [order for order in open_project.ledger.list_orders() if order.quote_usd is not None]
    assert checks["cost_within_quote"] == len(quoted) > 3
    assert checks["size_as_announced"] == len(KINDS) - 1  # text is announced by no size
    assert checks["playable"] == len(KINDS) - 1  # all that can be seen or heard
    assert checks["not_black"] == 3


def newest_evaluations(open_project: OpenProject) -> list[dg.AssetCheckEvaluation]:
    key = open_project.collection.video_key
    job = dg.define_asset_job("judge", dg.AssetSelection.checks_for_assets(key))
    defs = dg.Definitions.merge(open_project.definitions, dg.Definitions(jobs=[job]))
    result = defs.resolve_job_def("judge").execute_in_process(instance=open_project.instance)
    return list(result.get_asset_check_evaluations())


def test_a_local_file_goes_with_the_run_and_its_bytes_are_the_fingerprint(
    open_project: OpenProject,
) -> None:
    """Renaming the file orders nothing new; changing it does."""
    ad = PROMPTS[5]
    open_project.write_prompts(ad)
    open_project.order("ad")
    (order,) = open_project.settle()
    (task,) = open_project.emulator.tasks()
    assert task["parameters"]["inputImage"]
    (open_project.folder / "product.png").rename(open_project.folder / "renamed.png")
    open_project.write_prompts({**ad, "inputs": {**ad["inputs"], "inputImage": ["renamed.png"]}})
    open_project.order("ad")
    assert open_project.settle() == [order]
    (open_project.folder / "renamed.png").write_bytes(IMAGE + b"!")
    open_project.order("ad")
    assert len(open_project.settle()) == 2
    assert open_project.emulator.billable_tasks() == 2
