"""/Run with files: each kind of file input, as JSON and as a form."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.case import case
from tests.contract.runs import HAILUO, HAILUO_FAST, IMAGE_URL
from tests.contract.target import Target
from wiro_dagster.api.bodies import LARGEST_FILE_BYTES
from wiro_dagster.api.types import LocalFile
from wiro_dagster.catalogue import Catalogue
from wiro_dagster.errors import InputError
from wiro_dagster.prompts import Prompt, wire_inputs

IMAGE = b"\x89PNG\r\n\x1a\n not really an image"
COLLAGE = "emulator/collage"
SEEDREAM = "bytedance/seedream-v4-5"
URLS = ("https://example.org/a.png", "https://example.org/b.png")


@contextmanager
def _folder_of_images(count: int) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"image {number}.png" for number in range(count)]
        for number, path in enumerate(paths):
            path.write_bytes(IMAGE + bytes([number]))
        yield paths


def _wire(target: Target, model: str, inputs: Mapping[str, object]) -> dict[str, object]:
    """Inputs as a prompt file would bring them, through schema and prompt, to the client."""
    schema = Catalogue.builtin(target.client.get_model).get_schema(model)
    checked, problems = schema.validate(inputs)
    assert problems == ()
    return wire_inputs(Prompt("p", model, checked).inputs)


@case("/Run", "fileinput: a URL goes in {id}Url, as JSON")
def _(target: Target) -> None:
    inputs = _wire(target, HAILUO_FAST, {"prompt": "x", "inputImageFirst": IMAGE_URL})
    assert inputs["inputImageFirstUrl"] == IMAGE_URL
    assert not inputs.get("inputImageFirst")
    task = target.control.tasks
    target.client.submit(HAILUO_FAST, inputs)
    assert task()[0]["parameters"]["inputImageFirstUrl"] == IMAGE_URL


@case("/Run", "fileinput: a file goes in {id}, as a form")
def _(target: Target) -> None:
    assert target.control
    with _folder_of_images(1) as (path,):
        inputs = _wire(target, HAILUO_FAST, {"prompt": "x", "inputImageFirst": path})
        assert inputs["inputImageFirst"] == LocalFile(path.resolve())
        assert not inputs.get("inputImageFirstUrl")
        submission = target.client.submit(HAILUO_FAST, inputs)
        echoed = target.wire.task(submission.task_id)["parameters"]
        assert target.fetch(echoed["inputImageFirst"]).content == path.read_bytes()
        assert echoed["prompt"] == "x"


@case("/Run", "fileinput: file and URL together are refused", codes=(0,))
def _(target: Target) -> None:
    refused = target.wire.post(
        f"Run/{HAILUO}",
        data={"prompt": "x", "inputImageFirstUrl": IMAGE_URL},
        files={"inputImageFirst": ("fox.png", IMAGE, "image/png")},
    ).json()
    assert (refused["result"], refused["errors"][0]["code"]) == (False, 0)
    schema = Catalogue.builtin().get_schema(HAILUO)
    with _folder_of_images(1) as (path,):
        both = {"prompt": "x", "inputImageFirst": path, "inputImageFirstUrl": IMAGE_URL}
        assert schema.validate(both)[1]
    assert target.control.billable_tasks() == 0


@case("/Run", "multifileinput: URLs comma-separated in {id}Url, as JSON")
def _(target: Target) -> None:
    inputs = _wire(target, COLLAGE, {"inputImages": list(URLS)})
    assert inputs["inputImagesUrl"] == ",".join(URLS)
    target.client.submit(COLLAGE, inputs)
    assert target.control.tasks()[0]["parameters"]["inputImagesUrl"] == ",".join(URLS)


@case("/Run", "multifileinput: files in repeated {id}, URLs beside them")
def _(target: Target) -> None:
    with _folder_of_images(2) as paths:
        inputs = _wire(target, COLLAGE, {"inputImages": [*paths, *URLS]})
        target.client.submit(COLLAGE, inputs)
        (sent,) = target.control.tasks()
        parameters = sent["parameters"]
        assert parameters["inputImagesUrl"] == ",".join(URLS)
        bodies = [target.fetch(url).content for url in parameters["inputImages"]]
        assert bodies == [path.read_bytes() for path in paths]


@case("/Run", "combinefileinput: a list of URLs, as JSON")
def _(target: Target) -> None:
    inputs = _wire(target, SEEDREAM, {"prompt": "x", "inputImage": list(URLS)})
    target.client.submit(SEEDREAM, inputs)
    assert target.control.tasks()[0]["parameters"]["inputImage"] == list(URLS)


@case("/Run", "combinefileinput: files and URLs in repeated {id}, as a form")
def _(target: Target) -> None:
    with _folder_of_images(2) as paths:
        inputs = _wire(target, SEEDREAM, {"prompt": "x", "inputImage": [*paths, *URLS]})
        target.client.submit(SEEDREAM, inputs)
        (sent,) = target.control.tasks()
        given = sent["parameters"]["inputImage"]
        assert [value for value in given if value in URLS] == list(URLS)
        others = [target.fetch(value).content for value in given if value not in URLS]
        assert others == [path.read_bytes() for path in paths]


@case("/Run", "empty optional inputs may be sent or left out")
def _(target: Target) -> None:
    inputs = {"prompt": "x", "inputImageFirst": "", "inputImageFirstUrl": "", "duration": ""}
    target.run(HAILUO, **inputs)
    assert (
        _wire(target, HAILUO, inputs).keys().isdisjoint({"inputImageFirst", "inputImageFirstUrl"})
    )


@case("/Run", "a file over 100 MB is refused by us before it is sent")
def _(target: Target) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.png"
        path.touch()
        os.truncate(path, LARGEST_FILE_BYTES + 1)
        _, problems = (
            Catalogue.builtin()
            .get_schema(HAILUO_FAST)
            .validate({"prompt": "x", "inputImageFirst": path})
        )
        assert any("100 MB" in problem for problem in problems)
        with pytest.raises(InputError, match="100 MB"):
            target.client.submit(HAILUO_FAST, {"prompt": "x", "inputImageFirst": LocalFile(path)})
    assert target.control.billable_tasks() == 0
