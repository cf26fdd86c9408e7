"""What makes two prompts the same video: fingerprints, and inputs on their way to Wiro."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import unicodedata
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiro_dagster.api.types import LocalFile
from wiro_dagster.catalogue import (
    AssetFileInput,
    Catalogue,
    LocalFileInput,
    StoredFileInput,
    read_local_file,
)
from wiro_dagster.errors import InputError
from wiro_dagster.prompts import (
    Prompt,
    fingerprint_of,
    inputs_from_json,
    inputs_to_json,
    load_prompt_rows,
    wire_inputs,
)

MODEL = "minimax/hailuo-2-3"
PROMPT = Prompt("a", MODEL, {"prompt": "A fox", "duration": "6"})


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "face.jpg"
    path.write_bytes(b"face")
    return path


def test_the_canonical_json_is_what_the_documentation_says() -> None:
    """A fingerprint in a ledger must still be found by a later version."""
    inputs = {
        "prompt": "Füchse\n🦊",
        "duration": 6,
        "scale": 0.5,
        "on": True,
        "image": LocalFileInput(Path("/x"), "ab" * 32, 3),
        "more": ("https://e.org/1", LocalFileInput(Path("/y"), "cd" * 32, 4)),
    }
    canonical = (
        '{"inputs":{"duration":"6","image":{"sha256":"' + "ab" * 32 + '"},'
        '"more":["https://e.org/1",{"sha256":"' + "cd" * 32 + '"}],"on":"true",'
        '"prompt":"F\\u00fcchse\\n\\ud83e\\udd8a","scale":"0.5"},'
        '"model":"minimax/hailuo-2-3","take":2,"version":1}'
    )
    expected = hashlib.sha256(canonical.encode()).hexdigest()
    assert fingerprint_of(MODEL, inputs, 2) == expected


def test_fingerprints_do_not_change_between_versions() -> None:
    """This one was computed once and for all."""
    assert PROMPT.fingerprint == "dec0620d15234204c7120bca0ce30467343f8cff0cbc46680a7fe68737ac0dd6"


@pytest.mark.parametrize("six", [6, "6", 6.0])
def test_spellings_of_one_value_are_one_video(six: object) -> None:
    """A number and its text look the same on the wire."""
    assert fingerprint_of(MODEL, {"duration": six}) == fingerprint_of(MODEL, {"duration": "6"})


def test_the_order_of_inputs_does_not_count() -> None:
    """Keys are sorted."""
    turned = dict(reversed(list(PROMPT.inputs.items())))
    assert replace(PROMPT, inputs=turned).fingerprint == PROMPT.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        replace(PROMPT, model_slug="minimax/text-to-video-hailuo-02"),
        replace(PROMPT, take=2),
        replace(PROMPT, inputs={"prompt": "A fox", "duration": "10"}),
        replace(PROMPT, inputs={"prompt": "A fox"}),
        replace(PROMPT, inputs={"prompt": "A fox!", "duration": "6"}),
    ],
)
def test_whatever_changes_the_video_changes_the_fingerprint(other: Prompt) -> None:
    """Model, take and every input count."""
    assert other.fingerprint != PROMPT.fingerprint


def test_the_id_is_no_part_of_the_fingerprint() -> None:
    """A ledger looks for it within a partition."""
    assert replace(PROMPT, id="b").fingerprint == PROMPT.fingerprint


def test_a_file_counts_by_its_bytes(image: Path) -> None:
    """A moved or copied image is the same image, an edited one is not."""
    copied = image.with_name("other.jpg")
    copied.write_bytes(b"face")
    first, second = (fingerprint_of(MODEL, {"i": read_local_file(p)}) for p in (image, copied))
    assert first == second
    copied.write_bytes(b"farce")
    assert fingerprint_of(MODEL, {"i": read_local_file(copied)}) != first


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
_WIRE = _TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
_FACTS = (
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.integers(1, 10**8),
    st.sampled_from([None, "imageUrl"]),
)
_FILES = st.builds(LocalFileInput, st.just(Path("/images/a.jpg")), *_FACTS) | st.builds(
    StoredFileInput, st.just("a.jpg"), *_FACTS
)
_INPUTS = st.dictionaries(
    _TEXT, _WIRE | _FILES | st.lists(_TEXT | _FILES, min_size=1, max_size=3).map(tuple), max_size=4
)


@settings(deadline=None)
@given(inputs=_INPUTS, take=st.integers(1, 99))
def test_inputs_survive_the_ledger(inputs: dict[str, Any], take: int) -> None:
    """Through JSON and back they are equal, and have the same fingerprint."""
    stored = json.loads(json.dumps(inputs_to_json(inputs)))
    read = inputs_from_json(stored)
    assert read == inputs
    assert inputs_to_json(read) == stored
    assert fingerprint_of(MODEL, read, take) == fingerprint_of(MODEL, inputs, take)


def test_a_stored_file_states_path_hash_and_size(image: Path) -> None:
    """That is all another process needs to send it, or to see that it has changed."""
    file = read_local_file(image)
    assert inputs_to_json({"image": file}) == {
        "image": {"file": str(image.resolve()), "sha256": file.sha256, "size_bytes": 4}
    }


def test_a_file_of_the_store_is_the_same_input_as_a_local_one(image: Path) -> None:
    """Where its bytes lie is no part of a fingerprint."""
    file = read_local_file(image)
    kept = StoredFileInput("face.jpg", file.sha256, file.size_bytes)
    assert fingerprint_of(MODEL, {"i": file}) == fingerprint_of(MODEL, {"i": kept})
    sent = wire_inputs({"i": kept}, open_stored=lambda _: image)
    assert sent == wire_inputs({"i": file})
    with pytest.raises(InputError, match="is in the video store, which cannot be reached here"):
        wire_inputs({"i": kept})


def test_an_assets_file_must_be_looked_up_before_it_is_ordered() -> None:
    """Nothing can be paid for under a name that may mean other bytes tomorrow."""
    with pytest.raises(InputError, match=r"a/b\[c\] has not been looked up"):
        inputs_to_json({"i": AssetFileInput("a/b", "c")})


def test_urls_go_where_their_inputs_take_them(image: Path) -> None:
    """One, several beside others, in place; and a file stays where nobody knows a place."""
    file = read_local_file(image)
    one, many, both = (replace(file, url_input=name) for name in ("oneUrl", "manyUrl", "both"))
    inputs = {
        "one": one,
        "many": (many, many),
        "manyUrl": "https://e.org/1",
        "both": (both, "https://e.org/2"),
        "unknown": file,
    }
    assert wire_inputs(inputs, urls={file.sha256: "https://cdn/a,b"}) == {
        "oneUrl": "https://cdn/a,b",
        "manyUrl": "https://e.org/1,https://cdn/a%2Cb,https://cdn/a%2Cb",
        "both": ["https://cdn/a,b", "https://e.org/2"],
        "unknown": LocalFile(image.resolve()),
    }


def test_wire_inputs_are_what_the_client_takes(image: Path) -> None:
    """Local files become the client's, tuples become lists, the rest stays."""
    file = read_local_file(image)
    wire = wire_inputs({"image": file, "many": (file, "https://e.org/1"), "duration": "6", "n": 2})
    local = LocalFile(image.resolve())
    assert wire == {
        "image": local,
        "many": [local, "https://e.org/1"],
        "duration": "6",
        "n": 2,
    }


def test_a_file_that_has_changed_is_not_sent(image: Path) -> None:
    """What is paid for must be what the fingerprint says, even if size and time look the same."""
    stat = image.stat()
    inputs = {"image": read_local_file(image)}
    image.write_bytes(b"fade")
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(InputError, match="has changed since its prompt was read"):
        wire_inputs(inputs)
    image.unlink()
    with pytest.raises(InputError, match="can no longer be read"):
        wire_inputs(inputs)


def test_a_prompt_is_a_frozen_value() -> None:
    """It cannot be changed, and can be compared, copied, pickled and kept in sets."""
    with pytest.raises(FrozenInstanceError):
        PROMPT.take = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        PROMPT.inputs["duration"] = "10"  # type: ignore[index]
    assert pickle.loads(pickle.dumps(PROMPT)) == copy.deepcopy(PROMPT) == PROMPT
    assert len({PROMPT, replace(PROMPT)}) == 1


def test_the_text_comes_from_the_model_s_prompt_input() -> None:
    """Not every model calls it prompt."""
    assert PROMPT.text == "A fox"
    assert Prompt("a", MODEL, {"lyrics": "La"}, prompt_input="lyrics").text == "La"
    assert Prompt("a", MODEL, {"x": "y"}, prompt_input=None).text == ""


class NumpyLike:
    """A scalar as numpy and pandas hand them out."""

    ndim = 0

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


class NotAvailable:
    """A cell like pandas' NA, which refuses to be true or false."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


def test_rows_of_a_table_are_prompts() -> None:
    """Cells may be numpy's, NaN, NA or None, and inputs may be columns or a mapping."""
    nan = float("nan")
    found = load_prompt_rows(
        [
            {"id": NumpyLike(1), "prompt": "A fox", "take": 2.0, "duration": 10.0, "x": nan},
            {
                "id": "b",
                "prompt": "A hare",
                "take": NotAvailable(),
                "inputs": {"duration": Decimal(10)},
            },
            {"id": "c", "prompt": "A hen", "inputs.duration": NumpyLike(10), "model": nan},
            {"id": "d", "prompt": "A dog", "durration": 10},
        ],
        "prompt_table",
        Catalogue.builtin(),
        defaults={"model": MODEL},
    )
    assert list(found.prompts) == ["1", "b", "c"]
    assert {p.inputs["duration"] for p in found.prompts.values()} == {"10"}
    assert [p.take for p in found.prompts.values()] == [2, 1, 1]
    assert [str(p) for p in found.problems] == [
        "prompt_table, entry 4 (d), inputs.durration: minimax/hailuo-2-3 has no such input. "
        "Did you mean 'duration'? It takes 'inputImageFirst', 'inputImageFirstUrl', 'prompt', "
        "'promptOptimizer', 'resolution', 'duration'."
    ]


def test_rows_cannot_name_local_files_but_code_can(image: Path) -> None:
    """A table is data from elsewhere; a `Path` was put there by the user's own code."""
    rows: list[dict[str, Any]] = [
        {"id": "text", "prompt": "x", "inputImageFirst": str(image)},
        {"id": "path", "prompt": "x", "inputImageFirst": image},
    ]
    found = load_prompt_rows(rows, "table", Catalogue.builtin(), defaults={"model": MODEL})
    assert list(found.prompts) == ["path"]
    assert found.prompts["path"].inputs["inputImageFirst"] == read_local_file(image)


def test_a_prompt_saved_by_another_editor_is_the_same() -> None:
    """Line ends, blanks at line ends and Unicode forms are no change to a person."""
    text = "A café at dawn,  \nslow dolly in"
    same = [
        text.replace("\n", "\r\n"),
        unicodedata.normalize("NFD", text),
        "A café at dawn,\nslow dolly in\n",
        "\u00a0" + text,
    ]
    prints = {fingerprint_of(MODEL, {"prompt": variant}) for variant in (text, *same)}
    assert len(prints) == 1
    assert fingerprint_of(MODEL, {"prompt": "A café at dawn, slow dolly in"}) not in prints


BASE = "https://media.example.org/a%20b.png?versionId=7"


@pytest.mark.parametrize(
    "signed",
    [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=k%2F2&X-Amz-Date=2&X-Amz-Expires=60"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature={}",
        "AWSAccessKeyId=k&Expires=17&Signature={}%3D",
        "X-Goog-Algorithm=a&X-Goog-Credential=c&X-Goog-Date=2&X-Goog-Expires=6"
        "&X-Goog-SignedHeaders=host&x-goog-signature={}",
        "GoogleAccessId=k&Expires=17&Signature={}",
        "sv=2024&se=2026-01-01&sr=b&sp=r&sig={}",
        "Expires=17&Signature={}&Key-Pair-Id=K",
        "Policy=abc&Signature={}&Key-Pair-Id=K",
        "OSSAccessKeyId=k&Expires=17&Signature={}",
        "ex=1&is=2&hm={}",
    ],
)
def test_a_url_that_is_signed_anew_is_the_same_input(signed: str) -> None:
    """The object counts, not who may fetch it until when."""
    prints = {
        fingerprint_of(MODEL, {"imageUrl": url})
        for url in (BASE, *(f"{BASE}&{signed.format(n)}" for n in ("aa", "bb")))
    }
    assert len(prints) == 1


@pytest.mark.parametrize(
    "other",
    [
        "https://media.example.org/b.png?versionId=7",
        "https://media.example.org/a%20b.png?versionId=8",
        "https://media.example.org/a%20b.png?versionId=7&token=1",
        "https://media.example.org/a%20b.png?versionId=7&expires=1",
        "https://media.example.org/a%20b.png?versionId=7&sig=1",
        "https://media.example.org/a%20b.png?versionId=7&X-Amz-Signature=1&x=2",
    ],
)
def test_another_object_is_another_input(other: str) -> None:
    """A parameter that may choose the object counts: the wrong video would be worse than two."""
    assert fingerprint_of(MODEL, {"i": other}) != fingerprint_of(MODEL, {"i": BASE})


def test_each_of_several_urls_is_compared_without_its_signature() -> None:
    """They are sent as one text divided by commas."""
    urls = "https://e.org/a?Signature={0}&Expires=1,https://e.org/b?Signature={0}&Expires=1"
    first, second = (fingerprint_of(MODEL, {"u": urls.format(n)}) for n in "ab")
    assert first == second == fingerprint_of(MODEL, {"u": "https://e.org/a,https://e.org/b"})


def test_wiros_defaults_are_sent_but_do_not_count() -> None:
    """A default that Wiro changes orders nothing again; one that we state does."""
    checked = PROMPT.inputs | {"style": "film"}
    prompt = replace(PROMPT, inputs=checked, wiro_defaults=frozenset({"style"}))
    assert prompt.fingerprint == PROMPT.fingerprint
    assert replace(prompt, wiro_defaults=frozenset()).fingerprint != PROMPT.fingerprint
    assert pickle.loads(pickle.dumps(prompt)).fingerprint == prompt.fingerprint
