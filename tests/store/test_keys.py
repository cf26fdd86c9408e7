"""Rules of stored names: safe everywhere, readable, and never twice the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiro_dagster.errors import StoreError
from wiro_dagster.store import check_key, output_key, suffix_for

FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*%\s]')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=400)


def test_a_name_is_readable() -> None:
    """Partition, digest, task; the number only from the second output on."""
    first = output_key("sunrise at sea", "f" * 64, "534574", suffix=".mp4")
    second = output_key("sunrise at sea", "f" * 64, "534574", 1, ".mp4")
    assert re.fullmatch(r"sunrise-at-sea-[0-9a-f]{10}-534574\.mp4", first)
    assert second == first.replace("-534574.", "-534574-2.")


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.integers(0, 10_000))
def test_any_partition_gives_a_safe_name(
    partition: str, fingerprint: str, task_id: str, index: int
) -> None:
    """No text, however odd, gives a name that some system refuses or that leaves the store."""
    key = output_key(partition, fingerprint, task_id, index, ".webp")
    assert check_key(key) == key
    assert not FORBIDDEN.search(key)
    assert len(key.encode()) <= 150
    assert key[0] not in ".-"
    assert not RESERVED.match(key)
    assert "/" not in key


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.integers(0, 99)), unique=True))
def test_different_outputs_have_different_names(
    outputs: list[tuple[str, str, str, int]],
) -> None:
    """Also where upper and lower case are one, and composed and decomposed letters too."""
    keys = [output_key(*output, suffix=".mp4").casefold() for output in outputs]
    assert len(set(keys)) == len(outputs)


@pytest.mark.parametrize(
    ("one", "other"),
    [("A", "a"), ("a b", "a-b"), ("é", "e\u0301"), ("", "output"), ("a/b", "a\\b"), ("ß", "ss")],
)
def test_partitions_that_look_alike_have_different_names(one: str, other: str) -> None:
    """What is readable is the same for them; the digest is not."""
    keys = {output_key(key, "f", "1").casefold() for key in (one, other)}
    assert len(keys) == 2


def test_number_and_task_cannot_be_confused() -> None:
    """The second output of task 5 and the first of a task called `5-2` are two files."""
    keys = {output_key("p", "f", "5", 1), output_key("p", "f", "5-2"), output_key("p", "f", "52")}
    assert len(keys) == 3


@pytest.mark.parametrize("partition", ["日の出", "закат", "सूर्योदय", "Größe", "café"])
def test_letters_of_all_scripts_stay(partition: str) -> None:
    """A name in its own script is readable to whoever wrote it."""
    assert output_key(partition, "f", "1").startswith(f"{partition}-")


@pytest.mark.parametrize("partition", ["CON", "nul", "COM1", "..", "../../etc/passwd", "a\0b", "~"])
def test_names_that_systems_keep_for_themselves_are_harmless(partition: str) -> None:
    """Reserved and dangerous names become ordinary ones."""
    check_key(output_key(partition, "f", "1", suffix=".mp4"))


@pytest.mark.parametrize(
    "key",
    [
        *("", "/a", "a/", "a//b", "..", "a/../b", ".hidden", ".staging/a", "a\\b", "C:a", "a\0b"),
        *("CON", "con.mp4", "a/nul", "lpt1.txt", "a.", "a ", "a\nb", "a?b", "\ud800", "é" * 76),
    ],
)
def test_unsafe_keys_are_refused(key: str) -> None:
    """Whatever would leave the store, hide in it, or fail on another system."""
    with pytest.raises(StoreError, match="not a safe file name"):
        check_key(key)


def test_keys_in_folders_are_fine() -> None:
    """A store may be divided."""
    assert check_key("2026/a-b.mp4") == "2026/a-b.mp4"


def test_the_suffix_comes_from_the_content_type() -> None:
    """Parameters and case do not matter; an unknown type has none."""
    types = ("video/mp4", "Image/PNG", "text/plain; charset=utf-8", "x/y", None)
    assert [suffix_for(name) for name in types] == [".mp4", ".png", ".txt", "", ""]


def test_names_do_not_change_between_versions() -> None:
    """A file that was stored by an earlier version must be found again."""
    key = output_key("sunrise", "abc", "534574", suffix=".mp4")
    assert key == "sunrise-7a3a7e3086-534574.mp4"
