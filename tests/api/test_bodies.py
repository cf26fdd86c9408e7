"""Request bodies: JSON, and forms with files that are streamed."""

from __future__ import annotations

import json
import tracemalloc
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiro_dagster.api.bodies import LARGEST_FILE_BYTES, JsonBody, MultipartBody, build_body
from wiro_dagster.api.types import LocalFile
from wiro_dagster.errors import InputError


def read_form(body: MultipartBody) -> list[tuple[Any, ...]]:
    """Return name, file name, content type and content of each part, as another parser reads it."""
    head = f"Content-Type: {body.content_type}\r\n\r\n".encode()
    message = message_from_bytes(head + b"".join(body), policy=policy.HTTP)
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get("Content-Type"),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    ]


def test_inputs_without_files_are_json() -> None:
    """Text, numbers, truths and lists keep their kind."""
    inputs = {"a": "ä\n", "b": 1, "c": 2.5, "d": True, "e": ["x", "y"], "f": None}
    body = build_body(inputs)
    assert isinstance(body, JsonBody)
    assert json.loads(b"".join(body)) == inputs


def test_a_form_holds_every_input_in_its_order(tmp_path: Path) -> None:
    """Lists become repeated parts, files and URLs mixed; scalars become text."""
    image = tmp_path / "one.png"
    image.write_bytes(b"\x00\r\n--\xff")
    other = tmp_path / "blob"
    other.write_bytes(b"b")
    body = build_body(
        {
            "prompt": "line\r\nbreak ä",
            "images": [LocalFile(image), "https://x/y.png", LocalFile(other)],
            "steps": 4,
            "fast": False,
            "video": LocalFile(other, content_type="video/mp4"),
        }
    )
    assert isinstance(body, MultipartBody)
    assert read_form(body) == [
        ("prompt", None, None, "line\r\nbreak ä".encode()),
        ("images", "one.png", "image/png", b"\x00\r\n--\xff"),
        ("images", None, None, b"https://x/y.png"),
        ("images", "blob", "application/octet-stream", b"b"),
        ("steps", None, None, b"4"),
        ("fast", None, None, b"false"),
        ("video", "blob", "video/mp4", b"b"),
    ]


def test_a_file_name_cannot_break_out_of_its_header(tmp_path: Path) -> None:
    """Quotes and line breaks in a name are escaped."""
    path = tmp_path / 'a"b\r\nX-Evil: 1.png'
    path.write_bytes(b"x")
    content = b"".join(MultipartBody({"f": LocalFile(path)}))
    assert b"\r\nX-Evil" not in content
    assert b'filename="a%22b%0D%0AX-Evil: 1.png"' in content


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.text(st.characters(exclude_categories=["Cs"]))
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.booleans(),
    )
)
def test_a_body_is_as_long_as_it_says_each_time_it_is_sent(fields: dict[str, Any]) -> None:
    """Content-Length holds for the first attempt and for every other one."""
    for body in (JsonBody(fields), MultipartBody(fields)):
        first, second = b"".join(body), b"".join(body)
        assert first == second
        assert len(first) == len(body)


def test_a_large_file_is_sent_in_little_memory(tmp_path: Path) -> None:
    """A file of 90 MB passes in pieces of 256 KiB."""
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(90_000_000)
    body = MultipartBody({"video": LocalFile(path)})
    tracemalloc.start()
    sent = sum(len(piece) for piece in body)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent == len(body) > 90_000_000
    assert peak_bytes < 2_000_000


@pytest.mark.parametrize(("size", "is_taken"), [(0, False), (1, True), (LARGEST_FILE_BYTES, True)])
def test_a_file_has_between_one_byte_and_100_mb(tmp_path: Path, size: int, is_taken: bool) -> None:
    """The limits themselves are taken; an empty file is not."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(size)
    if is_taken:
        assert len(MultipartBody({"f": LocalFile(path)})) > size
    else:
        with pytest.raises(InputError, match="empty"):
            MultipartBody({"f": LocalFile(path)})


def test_a_file_over_100_mb_is_refused_before_sending(tmp_path: Path) -> None:
    """One byte too many is an InputError that names file, size and limit."""
    path = tmp_path / "huge.mov"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE_BYTES + 1)
    with pytest.raises(InputError, match=r"f: .*huge\.mov has 100\.0 MB; Wiro takes 100 MB"):
        MultipartBody({"f": LocalFile(path)})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """What cannot be opened is an InputError with the system's reason."""
    with pytest.raises(InputError, match="cannot be read"):
        MultipartBody({"f": LocalFile(tmp_path)})


def test_a_file_that_shrinks_while_it_is_sent_is_never_sent_whole(tmp_path: Path) -> None:
    """The body breaks off, so that the server cannot take half a file for a whole one."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    body = MultipartBody({"f": LocalFile(path)})
    path.write_bytes(b"x" * 50)
    with pytest.raises(OSError, match="became shorter"):
        b"".join(body)


def test_a_file_that_grows_while_it_is_sent_is_sent_as_it_was_announced(tmp_path: Path) -> None:
    """Content-Length stays true."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    body = MultipartBody({"f": LocalFile(path)})
    path.write_bytes(b"x" * 500)
    assert len(b"".join(body)) == len(body)


@pytest.mark.parametrize("value", [None, {"a": 1}, b"bytes", object(), "\ud800"])
def test_a_value_without_a_form_as_text_is_refused(value: object) -> None:
    """Beside a file only text, numbers and truths can be sent."""
    with pytest.raises(InputError, match="field"):
        MultipartBody({"field": value})
