"""What makes two prompts the same video: fingerprints, and inputs on their way to Wiro."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
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
    with pytest.raises(InputError, match="is in the video store, which is not at hand"):
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
