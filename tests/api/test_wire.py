"""Wiro's JSON, translated: every spelling is read, and nothing odd costs a whole answer."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiro_dagster.api.inputs import InputOption, InputSpec
from wiro_dagster.api.models import PriceEntry, find_summary, read_model
from wiro_dagster.api.types import OutputFile, Task, TaskPage, find_page, find_task
from wiro_dagster.api.wire import (
    find_decimal,
    find_text,
    find_truth,
    find_whole,
    parse_json,
    read_words,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("6.0000", "6"),
        ("0.003510000000", "0.00351"),
        (0.1, "0.1"),
        (7, "7"),
        (" 5 ", "5"),
        ("-1.5", "-1.5"),
        ("1e3", "1000"),
        (Decimal("0.3"), "0.3"),
        (True, None),
        (None, None),
        ("", None),
        ("free", None),
        ("1_000", None),
        ("NaN", None),
        (math.inf, None),
        ("1e999999", None),
        ([], None),
    ],
)
def test_a_number_is_read_exactly_or_not_at_all(value: object, number: str | None) -> None:
    """Strings and numbers give the same Decimal; anything else gives None."""
    assert find_decimal(value) == (None if number is None else Decimal(number))


@pytest.mark.parametrize("value", [True, "true", "TRUE", 1, "1", "yes", " True "])
def test_every_spelling_of_true_is_true(value: object) -> None:
    """`required` and `result` come as truths, words and numbers."""
    assert find_truth(value) is True


@pytest.mark.parametrize("value", [False, "false", 0, "0", "no", ""])
def test_every_spelling_of_false_is_false(value: object) -> None:
    """An empty text counts as false."""
    assert find_truth(value) is False


@pytest.mark.parametrize("value", [None, "perhaps", 2, [], {}, [True]])
def test_what_is_neither_true_nor_false_is_neither(value: object) -> None:
    """A doubtful answer must not pass for a clear one."""
    assert find_truth(value) is None


def test_small_conversions_take_each_form() -> None:
    """Counts are whole and not negative, words come in lists or with commas."""
    assert [find_whole(value) for value in ("12", 12.0, "12.5", -1, "x")] == [
        12,
        12,
        None,
        None,
        None,
    ]
    assert (
        read_words('["a", "b"]')
        == read_words("a, b,")
        == read_words(["a", "b", None])
        == ("a", "b")
    )
    scalars: list[object] = [True, 5, 0.5, Decimal("0.10"), Decimal("NaN"), None, [], "\ud800"]
    texts = ["true", "5", "0.5", "0.10", None, None, None, "?"]
    assert [find_text(scalar) for scalar in scalars] == texts


def test_an_error_about_json_never_quotes_it() -> None:
    """A broken text may hold a token; neither the error nor its chain repeats it."""
    with pytest.raises(ValueError, match="not JSON") as caught:
        parse_json('{"socketaccesstoken": "t0k"')
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


TASK = {
    "id": "534574",
    "uuid": "u",
    "socketaccesstoken": "t0k",
    "parameters": {"prompt": "x", "duration": "6", "callbackUrl": "https://me/h", "projectid": "1"},
    "status": "task_postprocess_end",
    "pexit": "0",
    "debugoutput": "out",
    "debugerror": "",
    "createtime": "1734513807",
    "starttime": "1734513813",
    "endtime": "1734513833",
    "elapsedseconds": "6.0000",
    "totalcost": "0.003510000000",
    "modelslugowner": "minimax",
    "modelslugproject": "hailuo-2-3",
    "outputs": [
        {
            "id": "6bc",
            "name": "0.mp4",
            "contenttype": "video/mp4",
            "size": "202472",
            "url": "https://cdn.wiro.ai/0.mp4",
            "accesskey": "k",
        }
    ],
    "brandnew": {"x": 1},
}


def test_a_task_is_translated_once() -> None:
    """Wire names, strings and options sent beside the inputs do not reach anyone else."""
    task = find_task(TASK)
    assert task is not None
    assert (task.state, task.queue_seconds) == ("succeeded", 6.0)
    assert task == Task(
        id="534574",
        status="task_postprocess_end",
        exit_code="0",
        inputs={"prompt": "x", "duration": "6"},
        outputs=(
            OutputFile(
                id="6bc",
                name="0.mp4",
                url="https://cdn.wiro.ai/0.mp4",
                content_type="video/mp4",
                size_bytes=202472,
            ),
        ),
        cost_usd=Decimal("0.00351"),
        created_at=1734513807.0,
        started_at=1734513813.0,
        ended_at=1734513833.0,
        elapsed_seconds=6.0,
        debug_error="",
        debug_output="out",
        callback_url="https://me/h",
        model_slug="minimax/hailuo-2-3",
        token="t0k",
    )


def test_a_task_that_says_next_to_nothing_is_still_a_task() -> None:
    """Models add and drop fields; only the id is needed."""
    task = find_task({"id": 5})
    assert task is not None
    assert (task.id, task.state, task.is_ended, task.outputs) == ("5", "running", False, ())
    assert (task.cost_usd, task.queue_seconds, task.failure_reason) == (None, None, "")


@pytest.mark.parametrize(
    ("status", "exit_code", "state"),
    [
        ("task_queue", None, "queued"),
        ("task_accept", None, "running"),
        ("task_preprocess_start", None, "running"),
        ("task_assign", None, "running"),
        ("task_start", None, "running"),
        ("task_output", None, "running"),
        ("task_error", None, "running"),
        ("task_error", "1", "running"),
        ("task_error_full", None, "running"),
        ("task_end", "0", "running"),
        ("task_postprocess_start", "0", "running"),
        ("task_postprocess_end", None, "running"),
        ("task_postprocess_end", "0", "succeeded"),
        ("task_postprocess_end", "1", "failed"),
        ("task_postprocess_end", "-9", "failed"),
        ("task_cancel", None, "cancelled"),
        ("task_cancel", "0", "cancelled"),
        ("task_from_the_future", "0", "running"),
        ("", None, "running"),
    ],
)
def test_only_two_statuses_end_a_task(status: str, exit_code: str | None, state: str) -> None:
    """Whatever is not certainly over may still run and be billed."""
    task = find_task({"id": 1, "status": status, "pexit": exit_code})
    assert task is not None
    assert task.state == state


def test_a_language_model_answers_with_text() -> None:
    """`raw` outputs have content in place of a URL; an output with neither is none."""
    task = find_task(
        {
            "id": "1",
            "outputs": [
                {"contenttype": "raw", "content": "hello"},
                {"contenttype": "raw", "content": {"answer": ["hello"]}},
                {"name": "nothing"},
                "junk",
            ],
        }
    )
    assert task is not None
    assert [output.content for output in task.outputs] == ["hello", '{"answer": ["hello"]}']


def test_the_reason_of_a_failure_is_the_end_of_what_was_printed() -> None:
    """`debugerror` goes before `debugoutput`; the last 500 characters say the most."""
    task = find_task({"id": "1", "debugerror": "x" * 900 + "OutOfMemory", "debugoutput": "ok"})
    assert task is not None
    assert len(task.failure_reason) == 500
    assert task.failure_reason.endswith("OutOfMemory")
    fallback = find_task({"id": "1", "debugerror": " ", "debugoutput": "no face"})
    assert fallback is not None
    assert fallback.failure_reason == "no face"


def test_content_that_is_nested_as_deep_as_can_be_read_is_survived() -> None:
    """What the parser just takes may be too deep to write again; it costs that text alone."""
    for depth in range(700, 1000):
        with suppress(ValueError):
            content = parse_json("[" * depth + "]" * depth)
            assert find_task({"id": "1", "outputs": [{"content": content}]}) is not None


def test_an_error_status_is_shown_without_ending_the_task() -> None:
    """`task_error` may recover."""
    task = find_task({"id": "1", "status": "task_error"})
    assert task is not None
    assert (task.has_error_status, task.is_ended) == (True, False)


def test_a_missing_list_is_not_an_empty_one() -> None:
    """None means unreadable, () means that there is nothing."""
    assert find_page({"tasklist": []}) == TaskPage(total=0, tasks=())
    assert find_page({"tasklist": "[]"}) == TaskPage(total=0, tasks=())
    assert find_page({}) is find_page({"tasklist": ["x"]}) is None


def test_an_unreadable_entry_costs_the_page_its_proof_and_no_more() -> None:
    """The other tasks are read; the page says how many entries nobody could read."""
    page = find_page({"tasklist": ["x", {"id": "1"}, {"id": "a b"}]}, skipped=100)
    assert page is not None
    assert ([task.id for task in page.tasks], page.unreadable, page.total) == (["1"], 2, 103)


@given(st.dictionaries(st.sampled_from([*TASK, "content"]), JSON_VALUES))
@settings(max_examples=60)
def test_any_task_is_survived(fields: dict[str, Any]) -> None:
    """No field can be so odd that reading raises; amounts and times are finite."""
    wired = parse_json(json.dumps(fields))
    task = find_task(wired)
    if task is not None:
        assert task.id
        assert "t0k" not in repr(task)
        assert task.cost_usd is None or task.cost_usd.is_finite()
        assert isinstance(task.failure_reason, str)
    find_page({"tasklist": [wired]})


MODEL = {
    "title": "Hailuo 2.3",
    "categories": ["image-to-video"],
    "cps": "0.001",
    "approximatelycost": "0.28",
    "computingtime": "90",
    "parameters": [
        {
            "title": "Inputs",
            "items": [
                {
                    "id": "resolution",
                    "type": "select",
                    "label": "Resolution",
                    "required": "true",
                    "default": "768P",
                    "options": [{"label": "HD", "value": "768P"}, {"value": 1080}, "4K", {}],
                    "note": "n",
                    "placeholder": None,
                },
                {"id": "strength", "type": "RANGE", "min": 0, "max": "1.0", "step": "0.05"},
                {"type": "text"},
            ],
        }
    ],
    "dynamicprice": json.dumps(
        [
            {"inputs": {"resolution": "768P"}, "price": 0.28, "priceMethod": "cpr"},
            {"inputs": {}, "price": "0.5", "priceMethod": "cp-pixel", "priceExtra": 0.1},
        ]
    ),
}


def test_a_model_is_translated_once() -> None:
    """Groups, options, ranges and prices keep their meaning; prices are exact."""
    model = read_model("minimax/hailuo-2-3", MODEL)
    assert model.inputs == (
        InputSpec(
            id="resolution",
            type="select",
            label="Resolution",
            required=True,
            default="768P",
            options=(
                InputOption("768P", "HD"),
                InputOption("1080"),
                InputOption("4K"),
            ),
            note="n",
        ),
        InputSpec(
            id="strength",
            type="range",
            minimum=Decimal(0),
            maximum=Decimal("1.0"),
            step=Decimal("0.05"),
        ),
    )
    assert model.prices == (
        PriceEntry(inputs={"resolution": "768P"}, price=Decimal("0.28"), method="cpr"),
        PriceEntry(price=Decimal("0.5"), method="cp-pixel", price_extra=Decimal("0.1")),
    )
    assert model.price_problem is None
    assert model.cost_per_second_usd == Decimal("0.001")
    assert model.approximate_cost_usd == Decimal("0.28")
    assert (model.computing_seconds, model.categories) == (90.0, ("image-to-video",))


def test_parameters_come_in_several_shapes() -> None:
    """A JSON string, a flat list and null are read; null means that nothing can be validated."""
    inputs = read_model("a/b", MODEL).inputs
    assert read_model("a/b", {"parameters": json.dumps(MODEL["parameters"])}).inputs == inputs
    flat = read_model("a/b", {"parameters": [{"id": "prompt", "type": "text"}]}).inputs
    assert flat == (InputSpec("prompt", "text"),)
    unreadable: tuple[object, ...] = (None, "null", "{broken", 5)
    for value in unreadable:
        assert read_model("a/b", {"parameters": value}).inputs is None


@pytest.mark.parametrize("value", [None, "", [], "[]", "null", {}])
def test_a_model_without_price_list_has_no_problem_with_it(value: object) -> None:
    """Absent is not broken."""
    model = read_model("a/b", {"dynamicprice": value})
    assert (model.prices, model.price_problem) == (None, None)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{broken", "not JSON"),
        ("5", "not a list"),
        ([5], "entry 1 is not an object"),
        ([{"priceMethod": "cpr"}], "entry 1: price is missing"),
        ([{"price": 1}], "entry 1: priceMethod is missing"),
        ([{"price": "free", "priceMethod": "cpr"}], "price is not an amount"),
        ([{"price": -1, "priceMethod": "cpr"}], "price is not an amount"),
        ([{"price": 1, "priceMethod": "cpr", "priceInput": "x"}], "priceInput is not an amount"),
        ([{"price": 1, "priceMethod": "cpr", "inputs": {"a": []}}], "not plain values"),
        ([{"price": 1, "priceMethod": "cpr", "inputs": ["a"]}], "not plain values"),
    ],
)
def test_a_price_list_that_is_partly_readable_is_unreadable(value: object, problem: str) -> None:
    """A lost entry could be the dearest one, so the price is unknown, and the reason is told."""
    good = {"inputs": {}, "price": 1, "priceMethod": "cpr"}
    model = read_model("a/b", {"dynamicprice": value})
    assert model.prices is None
    assert problem in (model.price_problem or "")
    if isinstance(value, list):
        assert read_model("a/b", {"dynamicprice": [*value, good]}).prices is None


def test_prices_in_a_json_string_are_exact() -> None:
    """Seventeen digits survive."""
    text = '[{"inputs": [], "price": 0.12345678901234567, "priceMethod": "cps"}]'
    prices = read_model("a/b", {"dynamicprice": text}).prices
    assert prices == (PriceEntry(price=Decimal("0.12345678901234567"), method="cps"),)


@given(st.dictionaries(st.sampled_from([*MODEL, "slugowner", "slugproject"]), JSON_VALUES))
@settings(max_examples=60)
def test_any_model_is_survived(fields: dict[str, Any]) -> None:
    """No field can be so odd that reading raises."""
    wired = parse_json(json.dumps(fields))
    model = read_model("a/b", wired)
    assert model.prices is None or model.price_problem is None
    find_summary(wired)


@given(st.binary() | st.text())
def test_any_bytes_are_json_or_a_value_error(source: bytes | str) -> None:
    """Nothing else comes out of the parser."""
    with suppress(ValueError):
        parse_json(source, exact_numbers=True)


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        (60, 60.0),
        ("60", 60.0),
        ("60.5", 60.5),
        ("60 seconds", 60.0),
        ("90s", 90.0),
        ("1 minute", 60.0),
        ("2 mins", 120.0),
        ("1m30s", 90.0),
        ("1 hour 5 min", 3900.0),
        ("~20 sec.", 20.0),
        ("1-2 minutes", 120.0),
        ("30 to 60 seconds", 60.0),
        ("about a minute", None),
        ("fast", None),
        ("-5", None),
        ("9" * 400, None),
        ("", None),
        (0, None),
        (True, None),
        (None, None),
    ],
)
def test_computing_times_are_read_in_any_spelling(stated: object, seconds: float | None) -> None:
    """Numbers, units, sums, and of a range its longer end; anything else is not known."""
    assert read_model("a/b", {"computingtime": stated}).computing_seconds == seconds
