"""Prices of /Tool/Detail against the costs of tasks: our quote is what is charged."""

from __future__ import annotations

import io
import itertools
import tempfile
import wave
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from tests.contract.case import case
from tests.contract.models import FOUR_MODELS
from tests.contract.runs import IMAGE_URL
from tests.contract.target import Target
from wiro_dagster.catalogue import Catalogue
from wiro_dagster.orders.models import quote_run
from wiro_dagster.pricing import Quote
from wiro_dagster.prompts import wire_inputs

RESOLUTIONS = ("768P", "1080P")
DURATIONS = ("6", "10")


def quoted_and_charged(
    target: Target, model: str, inputs: Mapping[str, object]
) -> tuple[Quote, Decimal]:
    """What a run was expected to cost, and what its task says it did."""
    catalogue = Catalogue.builtin(target.client.get_model)
    wire, problems = catalogue.get_schema(model).validate(inputs)
    assert problems == ()
    expected = quote_run(catalogue, model, wire)
    submission = target.client.submit(model, wire_inputs(wire))
    target.control.advance(3600)
    cost = target.client.get_task(submission.task_id).cost_usd
    assert cost is not None
    return expected, cost


def _check_exact(target: Target, model: str, inputs: Mapping[str, object]) -> None:
    expected, cost = quoted_and_charged(target, model, inputs)
    assert expected.kind == "exact", expected
    assert expected.amount_usd == expected.ceiling_usd == cost > 0


@case("/Tool/Detail", "price cpr: the four models at each setting")
def _(target: Target) -> None:
    for slug, names in FOUR_MODELS.items():
        image = {"inputImageFirst": IMAGE_URL} if "inputImageFirst" in names else {}
        settings: list[dict[str, object]] = [{}]
        if "duration" in names:
            settings = [
                {"resolution": resolution, "duration": duration}
                for resolution, duration in itertools.product(RESOLUTIONS, DURATIONS)
                if (resolution, duration) != ("1080P", "10")
            ]
        for setting in settings:
            _check_exact(target, slug, {"prompt": "x", **image, **setting})


@case("/Tool/Detail", "price cpr by QUANTITY: the number of input files")
def _(target: Target) -> None:
    prices = []
    for count in (1, 2, 3):
        urls = [f"https://example.org/{number}.png" for number in range(count)]
        expected, cost = quoted_and_charged(target, "emulator/collage", {"inputImages": urls})
        assert expected.amount_usd == cost
        prices.append(cost)
    assert len(set(prices)) == len(prices)


@case("/Tool/Detail", "price cpo: by the output file")
def _(target: Target) -> None:
    for count in ("1", "4"):
        inputs: dict[str, object] = {"prompt": "x", "count": count}
        _check_exact(target, "emulator/picture-set", inputs)


@case("/Tool/Detail", "price cp-pixel: started steps, further ones, input images")
def _(target: Target) -> None:
    model = "bytedance/seedream-v4-5"
    for size in ("1024x1024", "2048x2048", "1536x1024"):
        inputs = {"prompt": "x", "size": size, "inputImage": [IMAGE_URL]}
        expected, cost = quoted_and_charged(target, model, inputs)
        assert expected.amount_usd == cost
        assert expected.ceiling_usd is not None
        assert cost <= expected.ceiling_usd


@case("/Tool/Detail", "price cp-promptlength: by the character")
def _(target: Target) -> None:
    _check_exact(target, "openbmb/voxcpm", {"prompt": "twelve chars"})


@case("/Tool/Detail", "price cp-outputVideoLength: by the second, most specific entry")
def _(target: Target) -> None:
    for resolution in ("480p", "1080p"):
        expected, cost = quoted_and_charged(
            target,
            "bytedance/image-to-video-seedance-pro-v1",
            {"prompt": "x", "inputImage": IMAGE_URL, "resolution": resolution, "duration": 7},
        )
        assert expected.amount_usd == cost
        assert expected.ceiling_usd is not None
        assert cost <= expected.ceiling_usd


@case("/Tool/Detail", "price cp-audiosecondslength: by the second of a local file")
def _(target: Target) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        path.write_bytes(_silence(3.0))
        _check_exact(target, "emulator/dub", {"inputAudio": path})
    unknown, _ = quoted_and_charged(target, "emulator/dub", {"inputAudio": IMAGE_URL})
    assert unknown.kind == "unknown"
    assert unknown.method == "cp-audiosecondslength"


@case("/Tool/Detail", "price cps: an estimate, bounded by the run's deadline")
def _(target: Target) -> None:
    expected, cost = quoted_and_charged(
        target, "wiro/product-ads", {"inputImage": [IMAGE_URL], "prompt": "x"}
    )
    assert expected.kind == "estimate"
    assert expected.ceiling_usd is not None
    assert 0 < cost <= expected.ceiling_usd


@case("/Tool/Detail", "no dynamicprice: cps times the seconds, bounded too")
def _(target: Target) -> None:
    expected, cost = quoted_and_charged(target, "wiro/animated-logo", {"prompt": "ACME"})
    assert expected.method == "cps"
    assert expected.ceiling_usd is not None
    assert 0 < cost <= expected.ceiling_usd


@case("/Tool/Detail", "prices not knowable before the run: unknown, method named")
def _(target: Target) -> None:
    for model, method, inputs in (
        ("emulator/chat", "cpt", {"prompt": "x"}),
        ("emulator/realtime-voice", "cp-realtimeturn", {"prompt": "x"}),
        ("emulator/reader", "cp-readoutput", {"inputImage": IMAGE_URL}),
    ):
        expected, _ = quoted_and_charged(target, model, dict(inputs))
        assert (expected.kind, expected.method) == ("unknown", method)
        assert method in expected.note


def _silence(seconds: float) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(int(2 * 8000 * seconds)))
    return target.getvalue()
