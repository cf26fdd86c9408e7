"""Quotes for every price method, and which of several prices counts."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiro_dagster.api.models import ModelDetail, read_model
from wiro_dagster.catalogue import LocalFileInput
from wiro_dagster.pricing import Quote, RunFacts, quote

FILE = LocalFileInput(Path("/a.png"), "ab" * 32, 1)
HAILUO_PRICES = [
    {"inputs": {"resolution": "768P", "duration": "6"}, "price": 0.28, "priceMethod": "cpr"},
    {"inputs": {"resolution": "768P", "duration": "10"}, "price": 0.56, "priceMethod": "cpr"},
    {"inputs": {"resolution": "1080P", "duration": "6"}, "price": 0.49, "priceMethod": "cpr"},
]


def price(amount: object, method: str, extra: dict[str, Any] | None = None, **inputs: str) -> Any:
    return {"inputs": inputs, "price": amount, "priceMethod": method, **(extra or {})}


def model_of(*prices: Any, inputs: tuple[tuple[str, str], ...] = (), **fields: Any) -> ModelDetail:
    """A model as Wiro's JSON states it; `inputs` are pairs of an id and a type."""
    items = [{"id": name, "type": kind} for name, kind in (("prompt", "textarea"), *inputs)]
    wire = {"dynamicprice": json.dumps(prices) if prices else None, "parameters": items}
    return read_model("acme/model", wire | fields)


def figures(found: Quote) -> tuple[Any, ...]:
    return found.kind, found.amount_usd, found.ceiling_usd


def exactly(amount: str) -> tuple[Any, ...]:
    return "exact", Decimal(amount), Decimal(amount)


@pytest.mark.parametrize(
    ("resolution", "duration", "amount"),
    [("768P", "6", "0.28"), ("768P", 10, "0.56"), ("1080P", "6", "0.49")],
)
def test_a_video_costs_what_its_settings_cost(
    resolution: str, duration: object, amount: str
) -> None:
    """Each combination has its own price per run, exact to the digit."""
    found = quote(
        model_of(*HAILUO_PRICES), {"resolution": resolution, "duration": duration, "prompt": "x"}
    )
    assert figures(found) == exactly(amount)
    assert (found.method, found.note) == ("cpr", f"{amount} USD a run.")


def test_the_most_specific_price_counts_and_the_highest_bounds_it() -> None:
    """The estimate believes the closest entry, the guard the dearest one."""
    model = model_of(
        price(0.1, "cpr", resolution="768P", duration="6"),
        price(0.4, "cpr", resolution="768P"),
        price(0.3, "cpr"),
        price(9, "cpr", resolution="1080P"),
    )
    found = quote(model, {"resolution": "768P", "duration": "6"})
    assert figures(found) == ("estimate", Decimal("0.1"), Decimal("0.4"))


def test_equally_specific_prices_count_as_the_dearest() -> None:
    """Two entries that say the same of the run: the higher one is believed."""
    model = model_of(price(0.1, "cpr", a="1"), price(0.2, "cpr", b="2"))
    assert figures(quote(model, {"a": "1", "b": "2"})) == exactly("0.2")


def test_a_price_that_nothing_bounds_takes_the_ceiling_away() -> None:
    """A guard cannot rely on the other entry."""
    model = model_of(price(0.1, "cpr", a="1"), price(0.2, "cpt"))
    assert figures(quote(model, {"a": "1"})) == ("estimate", Decimal("0.1"), None)


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        ({"images": (FILE, FILE)}, "2"),
        ({"images": (FILE,)}, "1"),
        ({"images": FILE}, "1"),
        ({"imagesUrl": "https://e.org/1,https://e.org/2"}, "2"),
        ({"images": (FILE,), "imagesUrl": "https://e.org/1"}, "2"),
        ({"images": [{"file": "/a", "sha256": "", "size_bytes": 1}]}, "1"),
        ({"images": (FILE, FILE, FILE)}, "5"),
        ({}, "5"),
    ],
)
def test_prices_may_depend_on_the_number_of_files(given: dict[str, Any], amount: str) -> None:
    """`QUANTITY:n` counts files and URLs together; inputs may come from the ledger too."""
    model = model_of(
        price(5, "cpr"),
        price(1, "cpr", images="QUANTITY:1"),
        price(2, "cpr", images="QUANTITY:2"),
        inputs=(("images", "multifileinput"),),
    )
    assert quote(model, given).amount_usd == Decimal(amount)


@pytest.mark.parametrize(
    ("wanted", "given"), [("true", True), ("6", 6), ("0.50", 0.5), ("", None), ("6", "6")]
)
def test_a_price_s_condition_is_compared_as_text_on_the_wire(wanted: str, given: object) -> None:
    """Numbers and truths match their texts, and an empty condition an input left out."""
    inputs = {} if given is None else {"x": given}
    assert figures(quote(model_of(price(1, "cpr", x=wanted)), inputs)) == exactly("1")


def test_a_price_per_second_is_an_estimate() -> None:
    """Wiro's computing time makes the amount; only a deadline bounds it."""
    model = model_of(price("0.002", "cps"), computingtime=90)
    assert figures(quote(model, {})) == ("estimate", Decimal("0.18"), None)
    assert figures(quote(model, {}, RunFacts(longest_run_seconds=Decimal(600)))) == (
        "estimate",
        Decimal("0.18"),
        Decimal("1.2"),
    )


def test_a_price_per_second_without_a_time_falls_back() -> None:
    """To Wiro's guess, then to the deadline, then to nothing, with the method named."""
    guessed = model_of(price("0.002", "cps"), approximatelycost="0.2")
    assert figures(quote(guessed, {})) == ("estimate", Decimal("0.2"), None)
    bare = model_of(price("0.002", "cps"))
    assert figures(quote(bare, {}, RunFacts(longest_run_seconds=Decimal(100)))) == (
        "bound",
        Decimal("0.2"),
        Decimal("0.2"),
    )
    unknown = quote(bare, {})
    assert figures(unknown) == ("unknown", None, None)
    assert (unknown.method, "cps" in unknown.note) == ("cps", True)


def test_a_price_per_output_counts_files() -> None:
    """A number that was asked for is exact, none at all is one file."""
    cpo = price("0.02", "cpo")
    one = model_of(cpo)
    assert figures(quote(one, {})) == ("estimate", Decimal("0.02"), Decimal("0.02"))
    many = model_of(cpo, inputs=(("num_images", "select"),))
    assert figures(quote(many, {"num_images": "4"})) == exactly("0.08")
    assert figures(quote(many, {})) == ("estimate", Decimal("0.02"), None)
    assert figures(quote(model_of(cpo, parameters=None), {})) == ("estimate", Decimal("0.02"), None)
    limited = model_of(cpo, inputs=(("maxImages", "range"),))
    assert figures(quote(limited, {"maxImages": 4})) == ("bound", Decimal("0.08"), Decimal("0.08"))


def test_a_price_per_token_cannot_be_quoted() -> None:
    """What a language model writes is counted afterwards."""
    model = model_of(price("0.000002", "cpt"), approximatelycost="0.001")
    found = quote(model, {"prompt": "x"})
    assert figures(found) == ("unknown", None, None)
    assert "tokens (cpt)" in found.note
    assert "0.001" in found.note


@pytest.mark.parametrize(
    ("inputs", "kind", "amount"),
    [
        ({"size": "1024x1024"}, "exact", "0.03"),
        ({"size": "1024x1025"}, "exact", "0.04"),
        ({"size": "2048*2048"}, "exact", "0.06"),
        ({"width": 2048, "height": "1024"}, "exact", "0.04"),
        ({"size": "1024x1024", "image": (FILE, "https://e.org/1")}, "exact", "0.04"),
        ({"resolution": "1080p"}, "bound", "0.05"),
        ({"resolution": "2K"}, "bound", "0.07"),
        ({"size": "2048x2048", "maxImages": 2}, "bound", "0.12"),
    ],
)
def test_a_price_per_pixel_counts_started_megapixels(
    inputs: dict[str, Any], kind: str, amount: str
) -> None:
    """The first one, each further one and each input image have their prices."""
    model = model_of(
        price(0.03, "cp-pixel", {"priceExtra": 0.01, "priceInput": 0.005}),
        inputs=(("image", "combinefileinput"),),
    )
    assert figures(quote(model, inputs)) == (kind, Decimal(amount), Decimal(amount))


def test_a_price_per_pixel_without_a_size_is_unknown() -> None:
    """A word says nothing of pixels."""
    model = model_of(price(0.03, "cp-pixel"))
    assert figures(quote(model, {"size": "large"})) == ("unknown", None, None)


def test_a_price_per_second_of_audio_needs_the_audio_s_length() -> None:
    """Only the caller can measure it."""
    model = model_of(price("0.001", "cp-audiosecondslength"))
    assert "cp-audiosecondslength" in quote(model, {}).note
    assert figures(quote(model, {}, RunFacts(audio_seconds=Decimal("12.5")))) == exactly("0.0125")


def test_a_price_per_character_is_exact() -> None:
    """Whether an emoji is one or two is not documented, so it is bounded."""
    model = model_of(price("0.00005", "cp-promptlength"))
    assert figures(quote(model, {"prompt": "größer"})) == exactly("0.0003")
    assert figures(quote(model, {"prompt": "a🦊"})) == (
        "estimate",
        Decimal("0.0001"),
        Decimal("0.00015"),
    )
    assert quote(model, {}).kind == "unknown"


@pytest.mark.parametrize("given", ["5", 5, "5s", "5 seconds", 5.0])
def test_a_price_per_second_of_video_uses_the_length_asked_for(given: object) -> None:
    """However the model spells its duration."""
    model = model_of(price("0.06", "cp-outputVideoLength"))
    assert figures(quote(model, {"duration": given})) == exactly("0.3")
    assert quote(model, {"duration": "long"}).kind == "unknown"


@pytest.mark.parametrize("method", ["cp-realtimeturn", "cp-readoutput", "cp-new-idea"])
def test_what_happens_in_the_run_cannot_be_quoted(method: str) -> None:
    """The method is named, also one that is new."""
    found = quote(model_of(price(1, method)), {})
    assert figures(found) == ("unknown", None, None)
    assert found.method == method
    assert method in found.note


def test_without_a_price_list_wiro_s_figures_are_used() -> None:
    """Seconds times rate, else its guess, else nothing."""
    rated = model_of(cps="0.003510000000", computingtime="100")
    assert figures(quote(rated, {})) == ("estimate", Decimal("0.351"), None)
    assert quote(rated, {}).method == "cps"
    guessed = model_of(cps="0", approximatelycost="0.04")
    assert figures(quote(guessed, {})) == ("estimate", Decimal("0.04"), None)
    assert figures(quote(model_of(), {})) == ("unknown", None, None)


def test_inputs_that_no_price_covers_fall_back() -> None:
    """A list without a fitting entry says nothing of this run."""
    model = model_of(*HAILUO_PRICES, approximatelycost="0.3")
    assert figures(quote(model, {"resolution": "4K"})) == ("estimate", Decimal("0.3"), None)


def test_an_unreadable_price_list_is_an_unknown_price() -> None:
    """A guess would hide that the real prices are there and cannot be read."""
    model = read_model("acme/model", {"dynamicprice": "[{", "cps": "0.1", "computingtime": 5})
    found = quote(model, {})
    assert figures(found) == ("unknown", None, None)
    assert "cannot be read" in found.note


_METHODS = [
    "cpr",
    "cps",
    "cpo",
    "cpt",
    "cp-pixel",
    "cp-promptlength",
    "cp-outputVideoLength",
    "new",
]
_PRICES = st.builds(
    lambda amount, method, inputs: price(str(amount), method, **inputs),
    st.decimals(0, 10, places=4),
    st.sampled_from(_METHODS),
    st.dictionaries(st.sampled_from(["a", "b", "duration"]), st.sampled_from(["1", "2"])),
)
_RUNS = st.fixed_dictionaries(
    {"prompt": st.text(st.characters(exclude_categories=["Cs"]), max_size=5)},
    optional={
        "a": st.sampled_from(["1", "2", 1]),
        "b": st.sampled_from(["1", 2.0]),
        "duration": st.sampled_from(["1", "5s"]),
        "size": st.sampled_from(["1024x1024", "1080p", "big"]),
        "count": st.integers(1, 4),
    },
)
_FACTS = st.builds(
    RunFacts,
    longest_run_seconds=st.none() | st.decimals(0, 999, places=1),
)


@settings(deadline=None)
@given(prices=st.lists(_PRICES, max_size=4), run=_RUNS, facts=_FACTS, seconds=st.integers(0, 99))
def test_a_ceiling_is_never_under_the_amount(
    prices: list[Any], run: dict[str, Any], facts: RunFacts, seconds: int
) -> None:
    """And kinds mean what they say."""
    found = quote(model_of(*prices, computingtime=seconds, cps="0.01"), run, facts)
    if found.amount_usd is not None and found.ceiling_usd is not None:
        assert found.ceiling_usd >= found.amount_usd
    assert (found.amount_usd is None) == (found.kind == "unknown")
    if found.kind == "exact":
        assert found.ceiling_usd == found.amount_usd
    assert found.note.endswith(".")


@settings(deadline=None)
@given(
    prices=st.lists(_PRICES, min_size=1, max_size=4),
    run=_RUNS,
    other=_PRICES,
    position=st.integers(0, 4),
)
def test_a_price_for_other_inputs_changes_nothing(
    prices: list[Any], run: dict[str, Any], other: Any, position: int
) -> None:
    """An entry that does not apply is as good as absent, wherever it stands."""
    unrelated = {**other, "inputs": {**other["inputs"], "style": "never given"}}
    more = [*prices[:position], unrelated, *prices[position:]]
    assert quote(model_of(*more), run) == quote(model_of(*prices), run)


@settings(deadline=None)
@given(prices=st.lists(_PRICES, min_size=1, max_size=4), run=_RUNS, data=st.data())
def test_the_order_of_prices_does_not_count(
    prices: list[Any], run: dict[str, Any], data: st.DataObject
) -> None:
    """The figures come from which entries apply, not from where they stand."""
    turned = data.draw(st.permutations(prices))
    assert figures(quote(model_of(*turned), run))[1:] == figures(quote(model_of(*prices), run))[1:]
