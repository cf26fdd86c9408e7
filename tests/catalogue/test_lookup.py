"""Finding models: slugs, the cache of Wiro's answers, and changes between two of them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.conftest import Clock
from wiro_dagster.api.models import ModelDetail, read_model
from wiro_dagster.catalogue import CachedModel, Catalogue, MemorySchemaCache
from wiro_dagster.errors import InputError, NotFound, ServiceUnreachable

DETAIL = read_model(
    "acme/model",
    {
        "parameters": [{"title": "", "items": [{"id": "prompt", "type": "textarea"}]}],
        "dynamicprice": '[{"inputs": {"a": "1"}, "price": 0.1, "priceMethod": "cpr"}]',
        "cps": "0.003510000000",
        "computingtime": "12.5",
        "categories": ["text-to-video"],
    },
)
CHANGED = DETAIL.model_copy(update={"inputs": ()})


class Wiro:
    """Answers look-ups with what it holds, and counts them."""

    def __init__(self, *details: ModelDetail) -> None:
        self.details = {detail.slug: detail for detail in details}
        self.asked: list[str] = []
        self.is_reachable = True

    def __call__(self, slug: str) -> ModelDetail:
        self.asked.append(slug)
        if not self.is_reachable:
            raise ServiceUnreachable("connection refused")
        if slug not in self.details:
            raise NotFound("tool-not-accessible", code=1)
        return self.details[slug]


@pytest.mark.parametrize("given", ["minimax/hailuo-2-3", " MiniMax/Hailuo-2-3 "])
def test_letter_case_and_blanks_of_a_slug_do_not_count(given: str) -> None:
    """Slugs are lower case, whoever writes them."""
    assert Catalogue.builtin().get_schema(given).slug == "minimax/hailuo-2-3"


@pytest.mark.parametrize(
    "given",
    [
        "MiniMax/hailuo-2.3",
        "minimax/hailuo 2.3",
        "https://wiro.ai/models/minimax/hailuo-2-3",
        "minimax/hailuo-23",
        "hailuo-2-3",
    ],
)
def test_a_wrong_slug_is_explained(given: str) -> None:
    """Titles, page addresses and typing errors lead to the model that was meant."""
    with pytest.raises(InputError, match="Did you mean 'minimax/hailuo-2-3'"):
        Catalogue.builtin().get_schema(given)


@pytest.mark.parametrize("given", ["", "/", "nothing/like-it", "a/b/c", "ä/ö"])
def test_what_is_like_no_model_is_refused(given: str) -> None:
    """Find gives None, get raises."""
    assert Catalogue.builtin().find_schema(given) is None
    with pytest.raises(InputError, match="owner/model in lower case"):
        Catalogue.builtin().get_schema(given)


def test_the_package_knows_four_models() -> None:
    """They need no network."""
    assert Catalogue.builtin().slugs == (
        "minimax/hailuo-2-3",
        "minimax/hailuo-2-3-fast",
        "minimax/image-to-video-hailuo-01-subject",
        "minimax/text-to-video-hailuo-02",
    )


def test_wiro_is_asked_for_other_models_only_and_once(clock: Clock) -> None:
    """A model of the package costs no request, another one costs one until it is old."""
    wiro = Wiro(DETAIL)
    catalogue = Catalogue.builtin(wiro, max_age_seconds=100, clock=clock)
    catalogue.get_schema("minimax/hailuo-2-3")
    assert wiro.asked == []
    for _ in range(3):
        assert catalogue.get_schema("acme/model").names == {"prompt"}
    assert wiro.asked == ["acme/model"]
    clock.advance(100)
    catalogue.get_schema("acme/model")
    assert wiro.asked == ["acme/model"] * 2


def test_prices_come_from_wiro_for_the_package_s_models_too(clock: Clock) -> None:
    """The package states inputs, never prices."""
    wiro = Wiro(DETAIL.model_copy(update={"slug": "minimax/hailuo-2-3"}))
    catalogue = Catalogue.builtin(wiro, clock=clock)
    detail = catalogue.find_detail("minimax/hailuo-2-3")
    assert detail is not None
    assert detail.cost_per_second_usd == Decimal("0.00351")
    assert catalogue.find_detail("acme/none") is None
    assert Catalogue.builtin().find_detail("minimax/hailuo-2-3") is None


def test_a_model_that_is_not_there_is_not_asked_for_again_at_once(clock: Clock) -> None:
    """A typing error in a prompt file is not a request at every tick."""
    wiro = Wiro()
    catalogue = Catalogue.builtin(wiro, clock=clock)
    assert [catalogue.find_schema("acme/model") for _ in range(3)] == [None] * 3
    assert len(wiro.asked) == 1
    wiro.details["acme/model"] = DETAIL
    clock.advance(3600)
    assert catalogue.find_schema("acme/model") is not None


def test_an_old_answer_counts_while_wiro_cannot_be_reached(clock: Clock) -> None:
    """Prompts stay right through an outage; a model never seen is an error, not an absence."""
    wiro = Wiro(DETAIL)
    catalogue = Catalogue.builtin(wiro, max_age_seconds=1, clock=clock)
    catalogue.get_schema("acme/model")
    clock.advance(10)
    wiro.is_reachable = False
    assert catalogue.get_schema("acme/model").names == {"prompt"}
    with pytest.raises(ServiceUnreachable):
        catalogue.get_schema("acme/other")


def test_a_change_is_remembered_with_what_was_before(clock: Clock) -> None:
    """The cache keeps both schemas, so that every process can tell what has changed."""
    wiro, cache = Wiro(DETAIL), MemorySchemaCache()
    catalogue = Catalogue.builtin(wiro, cache, max_age_seconds=1, clock=clock)
    catalogue.get_schema("acme/model")
    assert catalogue.find_change("acme/model") is None
    clock.advance(2)
    wiro.details["acme/model"] = CHANGED
    catalogue.get_schema("acme/model")
    seen_at = clock.now
    clock.advance(2)
    wiro.details["acme/model"] = CHANGED.model_copy(update={"title": "Only the title is new"})
    catalogue.get_schema("acme/model")
    change = Catalogue.builtin(None, cache).find_change("acme/model")
    assert change is not None
    assert change.seen_at == seen_at
    assert (set(change.old.names), set(change.new.names)) == ({"prompt"}, set())


def test_a_cached_model_is_plain_json() -> None:
    """It goes into a database column and comes back the same, money to the last digit."""
    cached = CachedModel(DETAIL, 5.0).followed_by(CHANGED, 9.0)
    stored = json.loads(json.dumps(cached.to_json()))
    assert CachedModel.from_json(stored) == cached
    assert cached.previous == DETAIL


def test_every_kind_of_input_survives_the_cache() -> None:
    """Bounds, options and a type that we do not know come back as Wiro stated them."""
    items = [
        {"id": "speed", "type": "range", "min": "0.10", "max": 20, "step": "0.1"},
        {"id": "size", "type": "select", "options": [{"value": 1, "label": "one"}, "2"]},
        {"id": "shape", "type": "hologram", "required": True, "default": "round"},
    ]
    cached = CachedModel(read_model("acme/odd", {"parameters": items}), 5.0)
    assert CachedModel.from_json(json.loads(json.dumps(cached.to_json()))) == cached


@pytest.mark.parametrize("stored", [{}, {"detail": None, "previous": None, "fetched_at": 1}])
def test_a_cached_model_of_another_version_is_refused(stored: dict[str, object]) -> None:
    """The database's reader then asks Wiro again."""
    with pytest.raises(ValueError, match="cached model"):
        CachedModel.from_json(stored)
