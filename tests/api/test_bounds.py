"""The bounds of everything that Wiro states, each at its edge."""

from __future__ import annotations

from decimal import Decimal

import pytest

from wiro_dagster.api.bounds import (
    find_id,
    find_length,
    find_money,
    find_size,
    find_time,
    find_url,
    find_word,
    read_printed,
    read_token,
)
from wiro_dagster.api.types import find_task


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("0", "0"),
        (0, "0"),
        ("0.000000000001", "0.000000000001"),
        ("1000000", "1000000"),
        ("1000000.000000000001", None),
        ("-0.01", None),
        ("1e11", None),
        ("1e20", None),
        ("inf", None),
        ("NaN", None),
        ("0,28", None),
        ("free", None),
        ("", None),
        (None, None),
        (True, None),
        ([], None),
    ],
)
def test_money_is_between_nothing_and_a_million(value: object, amount: str | None) -> None:
    """Anything else is not stated, which is not the same as free."""
    assert find_money(value) == (None if amount is None else Decimal(amount))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("946684800", 946684800.0),
        ("946684799", None),
        ("4102444800", 4102444800.0),
        ("4102444801", None),
        ("1734513809000", None),  # milliseconds
        ("1e29", None),
        ("0", None),
        ("", None),
        (None, None),
        ("yesterday", None),
        ("1734513809.5", 1734513809.5),
    ],
)
def test_times_are_between_2000_and_2100(value: object, seconds: float | None) -> None:
    """Milliseconds, zero and the far future are not stated."""
    assert find_time(value) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("6.0000", 6.0), ("31536000", 31536000.0), ("31536001", None), ("-1", None)],
)
def test_lengths_of_time_are_up_to_a_year(value: object, seconds: float | None) -> None:
    """A task that took longer, or less than nothing, does not say how long it took."""
    assert find_length(value) == seconds


@pytest.mark.parametrize(
    ("value", "size_bytes"), [("0", 0), ("10e14", 10**15), (10**15 + 1, None), ("1.5", None)]
)
def test_sizes_are_whole_and_fit_a_database(value: object, size_bytes: int | None) -> None:
    """A petabyte is the largest."""
    assert find_size(value) == size_bytes


@pytest.mark.parametrize(
    ("value", "task_id"),
    [
        (2221, "2221"),
        (" 5a-Z_:/ö ", "5a-Z_:/ö"),
        ("x" * 255, "x" * 255),
        ("x" * 256, None),
        ("a b", None),
        ("a\u202eb", None),
        ("a\x00b", None),
        ("a\nb", None),
        ("", None),
        (None, None),
        ({}, None),
    ],
)
def test_ids_are_printable_and_fit_a_database(value: object, task_id: str | None) -> None:
    """One to 255 characters, none of them a space or a control character."""
    assert find_id(value) == task_id


def test_addresses_and_tokens_are_whole_or_not_there() -> None:
    """A part of one would lead nowhere."""
    long = "https://cdn.wiro.ai/" + "x" * 8172
    assert [
        find_url(url) for url in (long, long + "x", "https://a/b\n", "https://a/\tb", None)
    ] == [
        long,
        None,
        "https://a/b",
        None,
        None,
    ]
    assert [read_token(token) for token in ("t" * 255, "t" * 256, "a b", None)] == [
        "t" * 255,
        "",
        "",
        "",
    ]


def test_texts_are_cut() -> None:
    """Words keep their start, printed text its end."""
    assert find_word("x" * 255) == "x" * 255
    assert find_word("x" * 256) == "x" * 254 + "…"
    assert read_printed("x" * 20_000) == "x" * 20_000
    assert read_printed("a" + "x" * 20_000) == "…" + "x" * 19_999


@pytest.mark.parametrize("stated", ["1e20", "-5", "null€", "9" * 300])
def test_a_cost_out_of_bounds_is_not_stated(stated: str) -> None:
    """The task is read, and its cost is unknown."""
    task = find_task({"id": "1", "totalcost": stated, "endtime": "1734513809000"})
    assert task is not None
    assert (task.cost_usd, task.ended_at) == (None, None)


@pytest.mark.parametrize(
    ("status", "exit_code", "is_ended", "state"),
    [
        ("task_postprocess_end", "", True, "running"),
        ("task_postprocess_end", None, True, "running"),
        ("task_postprocess_end", "0", True, "succeeded"),
        ("task_cancel", "", True, "cancelled"),
        ("task_end", "0", False, "running"),
    ],
)
def test_an_end_is_told_apart_from_its_outcome(
    status: str, exit_code: str | None, is_ended: bool, state: str
) -> None:
    """A terminal status without an exit code is an end of which nobody knows how it went."""
    task = find_task({"id": "1", "status": status, "pexit": exit_code})
    assert task is not None
    assert (task.is_ended, task.exit_code or None, task.state) == (
        is_ended,
        exit_code or None,
        state,
    )
