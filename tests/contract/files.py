"""/File/FolderCreate, /File/Upload, and the files on the CDN."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.contract.case import case
from tests.contract.target import Target
from wiro_dagster.api.bodies import LARGEST_FILE_BYTES
from wiro_dagster.errors import DownloadError, InputError

IMAGE = b"\x89PNG\r\n\x1a\n not really an image"
PASSING_FAULTS = (
    *("file_drop", "file_cut", "file_long_length", "file_empty"),
    *("file_html", "file_not_found", "file_forbidden", "file_http_500"),
)


@case("/File/FolderCreate", "a folder, and one in it", needs="write")
def _(target: Target) -> None:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    (raw,) = target.wire.call("File/FolderCreate", name=name)["list"]
    assert (raw["name"], bool(raw["id"])) == (name, True)
    inner = target.wire.call("File/FolderCreate", name=f"{name}_inner", parentid=raw["id"])
    assert inner["list"][0]["name"] == f"{name}_inner"


@case("/File/FolderCreate", "a name of other characters is refused", needs="write")
def _(target: Target) -> None:
    for name in ("two words", "../up", ""):
        assert target.wire.call("File/FolderCreate", name=name)["result"] is False


@case("/File/Upload", "multipart file into a folder: id, name, type, size, url", needs="write")
def _(target: Target) -> None:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    (folder,) = target.wire.call("File/FolderCreate", name=name)["list"]
    raw = target.wire.post(
        "File/Upload",
        data={"folderid": folder["id"]},
        files={"file": ("fox.png", IMAGE, "image/png")},
    ).json()["list"][0]
    assert raw.keys() >= {"id", "name", "contenttype", "size", "url"}
    assert int(raw["size"]) == len(IMAGE)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "fox two.png"
        path.write_bytes(IMAGE)
        uploaded = target.client.upload_file(path, folder["id"])
    assert uploaded.size_bytes == len(IMAGE)
    assert uploaded.url is not None
    assert target.fetch(uploaded.url).content == IMAGE


@case("/File/Upload", "without a file: code 0", needs="write", codes=(0,))
def _(target: Target) -> None:
    assert target.wire.refusal("File/Upload") == (0, "Request files [file] required")


@case("/File/Upload", "over 100 MB: refused by us before it is sent", needs="read")
def _(target: Target) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.bin"
        path.touch()
        os.truncate(path, LARGEST_FILE_BYTES + 1)
        with pytest.raises(InputError, match="100 MB"):
            target.client.upload_file(path)


@case("CDN", "an output is as many bytes as announced, from another host", needs="paid")
def _(target: Target) -> None:
    ended = target.ended_task()
    (output,) = target.client.get_task(ended["id"]).outputs
    assert output.url is not None
    assert urlsplit(output.url).netloc != urlsplit(target.wire.base_url).netloc
    with target.client.download(output.url) as download:
        size_bytes = sum(map(len, download.chunks()))
    assert size_bytes == output.size_bytes
    assert download.content_length in (None, size_bytes)


@case("CDN", "public: no API headers are needed, and none are sent")
def _(target: Target) -> None:
    ended = target.ended_task()
    url = ended["outputs"][0]["url"]
    assert target.fetch(url).ok
    with target.client.download(url) as download:
        list(download.chunks())
    seen = str(target.control.journal(kind="download"))
    assert seen
    assert "x-api-key" not in seen


@case("CDN", "cut, empty, wrong, missing files are errors; the next try has them")
def _(target: Target) -> None:
    (output,) = target.client.get_task(target.ended_task()["id"]).outputs
    for kind in PASSING_FAULTS:
        target.control.clear_faults()
        target.control.script_fault(kind)
        with pytest.raises(DownloadError) as caught, target.client.download(output.url or "") as d:
            list(d.chunks())
        assert not caught.value.is_final, kind
        with target.client.download(output.url or "") as download:
            assert sum(map(len, download.chunks())) == output.size_bytes, kind


@case("CDN", "half a file under an honest or no Content-Length shows by the announced size")
def _(target: Target) -> None:
    (output,) = target.client.get_task(target.ended_task()["id"]).outputs
    assert output.size_bytes is not None
    for kind in ("file_short", "file_no_length_cut"):
        target.control.script_fault(kind)
        with target.client.download(output.url or "") as download:
            size_bytes = sum(map(len, download.chunks()))
        assert download.content_length in (None, size_bytes)
        assert size_bytes < output.size_bytes


@case("CDN", "redirects are followed to allowed hosts only")
def _(target: Target) -> None:
    (output,) = target.client.get_task(target.ended_task()["id"]).outputs
    target.control.script_fault("file_redirect")
    with target.client.download(output.url or "") as download:
        assert sum(map(len, download.chunks())) == output.size_bytes
    target.control.script_fault("file_redirect_elsewhere")
    with pytest.raises(DownloadError) as caught, target.client.download(output.url or ""):
        pass
    assert caught.value.is_configuration


@case("CDN", "files expire; the task stays")
def _(target: Target) -> None:
    ended = target.ended_task()
    target.control.change_settings(file_lifetime_seconds=1)
    target.control.advance(60)
    with pytest.raises(DownloadError), target.client.download(ended["outputs"][0]["url"]):
        pass
    assert target.client.get_task(ended["id"]).state == "succeeded"
