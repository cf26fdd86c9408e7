"""The emulator's files: real media of the ordered shape and length, and every way to spoil them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
import requests
from av.container import InputContainer
from PIL import Image

from tests.support.emulator_calls import HAILUO, Caller
from wiro_dagster.emulator import Emulator

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Caller:
    return Caller(wiro_emulator)


@pytest.fixture(scope="module")
def real_caller() -> Iterator[Caller]:
    """An emulator that makes videos of their full size."""
    with Emulator.start(task_seconds=0) as emulator:
        yield Caller(emulator)


def fetch(task: dict[str, Any], index: int = 0) -> bytes:
    output = task["outputs"][index]
    answer = requests.get(output["url"], timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == output["contenttype"]
    assert len(answer.content) == int(output["size"])
    return answer.content


def opened(content: bytes) -> InputContainer:
    return av.open(io.BytesIO(content), "r")


def decode(content: bytes) -> tuple[int, int, float, int]:
    """Width, height, seconds and number of frames, decoded to the last one."""
    with opened(content) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        frames = len(list(container.decode(stream)))
        assert stream.duration is not None
        assert stream.time_base is not None
        seconds = float(stream.duration * stream.time_base)
        return stream.width, stream.height, seconds, frames


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({}, (1366, 768, 6.0)),
        ({"duration": "10"}, (1366, 768, 10.0)),
        ({"resolution": "1080P"}, (1920, 1080, 6.0)),
    ],
)
def test_a_video_has_the_ordered_length_and_resolution(
    real_caller: Caller, inputs: dict[str, str], expected: tuple[int, int, float]
) -> None:
    """H.264 in yuv420p, 12 frames a second, with its index in front of its frames."""
    content = fetch(real_caller.ended("a fox in the snow", **inputs))
    width, height, seconds, frames = decode(content)
    assert (width, height, seconds) == expected
    assert frames == seconds * 12
    assert content.index(b"moov") < content.index(b"mdat")


def picture(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(target, "PNG")
    return target.getvalue()


def test_a_video_keeps_the_shape_of_its_first_image(real_caller: Caller) -> None:
    """A portrait of 3:4 makes a portrait video; even noise fits into the announced size."""
    files = {"inputImageFirst": ("fox.png", picture(300, 400), "image/png")}
    run = real_caller.post(f"Run/{HAILUO}", data={"prompt": "a fox"}, files=files).json()
    width, height, *_ = decode(fetch(real_caller.detail(run["taskid"])))
    assert (width, height) == (768, 1024)


def test_a_first_image_may_be_uploaded_before(real_caller: Caller) -> None:
    """Its URL counts as well as the file itself."""
    files = {"file": ("fox.png", picture(400, 400), "image/png")}
    url = real_caller.post("File/Upload", files=files).json()["list"][0]["url"]
    task = real_caller.ended("a fox", inputImageFirstUrl=url)
    assert decode(fetch(task))[:2] == (768, 768)


def test_an_image_that_cannot_be_decoded_or_reached_makes_16_to_9(real_caller: Caller) -> None:
    """The emulator never reaches out to other machines for it."""
    task = real_caller.ended("a fox", inputImageFirstUrl="https://example.org/fox.png")
    assert decode(fetch(task))[:2] == (1366, 768)


def test_a_video_moves_and_is_not_black(real_caller: Caller) -> None:
    """First and last frame differ, and both are bright enough to see."""
    content = fetch(real_caller.ended("a fox in the snow"))
    with opened(content) as container:
        luma = [bytes(frame.planes[0]) for frame in container.decode(video=0)]
    first, last = luma[0], luma[-1]
    assert sum(first) / len(first) > 40
    differing = sum(abs(one - other) > 12 for one, other in zip(first, last, strict=True))
    assert differing > len(first) // 10


def test_the_same_file_comes_every_time_and_no_other_task_has_it(real_caller: Caller) -> None:
    """Two tasks of one prompt differ, two downloads of one task do not."""
    one, other = real_caller.ended("a fox"), real_caller.ended("a fox")
    assert fetch(one) == fetch(one)
    assert fetch(one) != fetch(other)


def test_tiny_videos_are_real_and_differ_by_task(caller: Caller) -> None:
    """64x36 with the ordered length, unique bytes, and the announced size."""
    contents = [fetch(caller.ended("a fox", duration="10")) for _ in range(5)]
    assert decode(contents[0])[:3] == (64, 36, 10.0)
    assert len({hashlib.sha256(content).hexdigest() for content in contents}) == 5


@pytest.mark.parametrize("file_format", ["png", "webp"])
def test_images_have_the_ordered_size(caller: Caller, file_format: str) -> None:
    """Each output of several is a picture of its own."""
    task = caller.ended(
        "a fox", model="bytedance/seedream-v4-5", outputFormat=file_format, maxImages=2
    )
    for index in range(2):
        image = Image.open(io.BytesIO(fetch(task, index)))
        image.load()
        assert (image.format, image.size) == (file_format.upper(), (1024, 1024))


@pytest.mark.parametrize("file_format", ["wav", "mp3"])
def test_speech_is_as_long_as_its_text(caller: Caller, file_format: str) -> None:
    """Fifteen letters a second: 45 letters make three seconds."""
    task = caller.ended("x" * 45, model="openbmb/voxcpm", outputFormat=file_format)
    with opened(fetch(task)) as container:
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        assert samples / stream.rate == pytest.approx(3, abs=0.2)


def test_files_are_served_from_another_host_than_the_api(caller: Caller) -> None:
    """Another name and another port; no key is needed there, and one that comes is told of."""
    task = caller.ended()
    url = task["outputs"][0]["url"]
    assert url.startswith(f"http://{caller.emulator.cdn_host}/")
    assert caller.emulator.cdn_host.startswith("localhost:")
    assert caller.emulator.base_url.startswith("http://127.0.0.1:")
    fetch(task)
    requests.get(url, headers={"x-api-key": "secret"}, timeout=60)
    honest, leaky = caller.emulator.journal(kind="download", task_id=task["id"])
    assert "must never" not in honest["note"]
    assert "must never" in leaky["note"]


def test_a_player_can_ask_for_a_part(caller: Caller) -> None:
    """One range of bytes, to the end or not; none behind the end."""
    task = caller.ended()
    whole, url = fetch(task), task["outputs"][0]["url"]

    def part(wanted: str) -> requests.Response:
        return requests.get(url, headers={"range": wanted}, timeout=60)

    assert part("bytes=10-19").content == whole[10:20]
    assert part("bytes=100-").content == whole[100:]
    assert part("bytes=10-19").status_code == 206
    assert part(f"bytes={len(whole)}-").status_code == 416


def test_outputs_expire(caller: Caller) -> None:
    """After their lifetime they are forbidden, and before their task's end unknown."""
    caller.emulator.freeze()
    task = caller.ended()
    url = task["outputs"][0]["url"]
    assert int(task["outputs"][0]["expiretime"]) > caller.emulator.now()
    caller.emulator.advance(3 * 86_400)
    assert requests.get(url, timeout=60).status_code == 403
    running = caller.run()
    other = url.replace(url.split("/")[3], f"{running}-0")
    assert requests.get(other, timeout=60).status_code == 404


def spoiled(caller: Caller, kind: str, **options: Any) -> requests.Response:
    task = caller.ended()
    caller.emulator.script_fault(kind, matching=task["id"], **options)
    answer = requests.get(task["outputs"][0]["url"], timeout=60, allow_redirects=False)
    assert len(fetch(task)) == int(task["outputs"][0]["size"])
    return answer


@pytest.mark.parametrize("kind", ["file_drop", "file_cut", "file_long_length", "file_stall"])
def test_a_download_breaks_off(caller: Caller, kind: str) -> None:
    """The connection ends before the announced length has come; the next try is whole."""
    with pytest.raises(requests.exceptions.RequestException):
        spoiled(caller, kind, seconds=0.1)


@pytest.mark.parametrize(
    ("kind", "status", "share"),
    [
        ("file_short", 200, 0.5),
        ("file_short_length", 200, 0.95),
        ("file_no_length", 200, 1.0),
        ("file_no_length_cut", 200, 0.5),
        ("file_empty", 200, 0.0),
        ("file_garbage", 200, 1.0),
    ],
)
def test_a_download_looks_whole_and_is_not(
    caller: Caller, kind: str, status: int, share: float
) -> None:
    """Only the size that the task announced, or a decoder, can tell."""
    answer = spoiled(caller, kind)
    size = int(caller.call("Task/List")["tasklist"][0]["size"])
    assert answer.status_code == status
    assert len(answer.content) == pytest.approx(share * size, rel=0.05)
    assert ("content-length" in answer.headers) == ("no_length" not in kind)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("file_html", 200),
        ("file_not_found", 404),
        ("file_forbidden", 403),
        ("file_http_500", 500),
    ],
)
def test_a_page_comes_in_place_of_a_file(caller: Caller, kind: str, status: int) -> None:
    """HTML, with status 200 as well."""
    answer = spoiled(caller, kind)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("kind", "host"), [("file_redirect", "localhost"), ("file_redirect_elsewhere", "127.0.0.1")]
)
def test_a_download_is_redirected(caller: Caller, kind: str, host: str) -> None:
    """Within the files' host, or to one that a careful client must refuse."""
    answer = spoiled(caller, kind)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(f"http://{host}:")


def test_a_task_can_bring_its_own_file_fault(caller: Caller) -> None:
    """By script or by a marker in its prompt; here for every download."""
    task = caller.ended("a fox [expired-file]")
    for _ in range(2):
        assert requests.get(task["outputs"][0]["url"], timeout=60).status_code == 403


def test_half_a_file_in_the_cache_is_never_served(tmp_path: Path) -> None:
    """What a killed emulator leaves behind is made again."""
    with Emulator.start(task_seconds=0, tiny_videos=True, state_path=tmp_path / "s.db") as emulator:
        caller = Caller(emulator)
        task = caller.ended()
        whole = fetch(task)
        (cached,) = (tmp_path / "s.db.files" / "media").iterdir()
        cached.rename(cached.with_suffix(".part"))
        assert fetch(task) == whole
