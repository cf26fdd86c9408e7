"""/Tool/Detail and /Tool/List: schemas in all their spellings, and the search."""

from __future__ import annotations

import json

import pytest

from tests.contract.case import case
from tests.contract.runs import HAILUO
from tests.contract.target import CHEAP_MODEL, Target
from wiro_dagster.catalogue import Catalogue, schema_from_model_detail
from wiro_dagster.errors import NotFound
from wiro_dagster.pricing import quote

FOUR_MODELS = {
    HAILUO: ("inputImageFirst", "prompt", "promptOptimizer", "resolution", "duration"),
    "minimax/hailuo-2-3-fast": (
        *("inputImageFirst", "prompt", "promptOptimizer", "resolution", "duration"),
    ),
    CHEAP_MODEL: ("prompt", "promptOptimizer", "resolution", "duration"),
    "minimax/image-to-video-hailuo-01-subject": ("inputImageFirst", "prompt"),
}
SEVEN_TYPES = {
    *("text", "textarea", "select", "range", "fileinput", "multifileinput", "combinefileinput"),
}


@case("/Tool/Detail", "no such model: code 1", needs="read", codes=(1,))
def _(target: Target) -> None:
    code, message = target.wire.refusal(
        "Tool/Detail", slugowner="nobody", slugproject="no-such-model-5c1e"
    )
    assert (code, message) == (1, "slug-owner-project-not-exist")
    with pytest.raises(NotFound):
        target.client.get_model("nobody/no-such-model-5c1e")


@case("/Tool/Detail", "a model that is not ours to use: code 1", codes=(1,))
def _(target: Target) -> None:
    assert target.control
    refusal = target.wire.refusal("Tool/Detail", slugowner="emulator", slugproject="private")
    assert refusal == (1, "tool-not-accessible")


@case(
    "/Tool/Detail",
    "documented fields: parameters, dynamicprice, cps, costs, categories",
    needs="read",
)
def _(target: Target) -> None:
    owner, project = HAILUO.split("/")
    (tool,) = target.wire.call("Tool/Detail", slugowner=owner, slugproject=project)["tool"]
    assert tool.keys() >= {
        *("parameters", "dynamicprice", "cps", "approximatelycost", "computingtime", "categories"),
    }
    for group in tool["parameters"]:
        assert group.keys() >= {"title", "items"}
        for item in group["items"]:
            assert item.keys() >= {"id", "type", "label", "required"}


@case("/Tool/Detail", "the four models take what our catalogue says they take", needs="read")
def _(target: Target) -> None:
    catalogue = Catalogue.builtin()
    for slug, names in FOUR_MODELS.items():
        theirs = schema_from_model_detail(target.client.get_model(slug))
        ours = catalogue.get_schema(slug)
        assert theirs.inputs is not None
        assert ours.inputs is not None
        assert tuple(spec.id for spec in ours.inputs) == names
        assert {spec.id for spec in theirs.inputs} == set(names), slug
        for spec in ours.inputs:
            other = theirs.find_input(spec.id)
            assert other is not None
            assert set(other.option_values) == set(spec.option_values), (slug, spec.id)
            assert other.default == spec.default, (slug, spec.id)
            assert other.required == spec.required, (slug, spec.id)


@case("/Tool/Detail", "dynamicprice as JSON text: the four models are priced", needs="read")
def _(target: Target) -> None:
    for slug in FOUR_MODELS:
        detail = target.client.get_model(slug)
        assert detail.price_problem is None
        inputs, _ = Catalogue.builtin().get_schema(slug).validate({"prompt": "x"})
        found = quote(detail, inputs)
        assert found.amount_usd is not None, slug


@case("/Tool/Detail", "all seven types of parameters are understood")
def _(target: Target) -> None:
    _, models = target.client.list_models(limit=100)
    types: set[str] = set()
    assert target.control
    for model in models:
        schema = schema_from_model_detail(target.client.get_model(model.slug))
        types |= {spec.type for spec in schema.inputs or ()}
    assert types == SEVEN_TYPES


@case("/Tool/Detail", "required as bool, text and number; prices as a list")
def _(target: Target) -> None:
    assert target.control
    detail = target.client.get_model("emulator/spellings")
    schema = schema_from_model_detail(detail)
    assert [spec.required for spec in schema.inputs or ()] == [True, True]
    assert quote(detail, {"prompt": "x", "style": "plain"}).amount_usd is not None


@case(
    "/Tool/Detail", "parameters null: cannot be validated; a price that cannot be parsed: unknown"
)
def _(target: Target) -> None:
    assert target.control
    detail = target.client.get_model("emulator/no-schema")
    schema = schema_from_model_detail(detail)
    assert not schema.can_validate
    assert any("cannot be validated" in note for note in schema.notes)
    assert detail.price_problem is not None
    assert quote(detail, {"prompt": "x"}).kind == "unknown"


@case("/Tool/Detail", "parameters as text, prices the other way round, are read the same")
def _(target: Target) -> None:
    documents = target.client.get_model(HAILUO)
    target.control.change_settings(dialect="alternate")
    owner, project = HAILUO.split("/")
    (tool,) = target.wire.call("Tool/Detail", slugowner=owner, slugproject=project)["tool"]
    assert isinstance(json.loads(tool["parameters"]), list)
    assert target.client.get_model(HAILUO) == documents


@case("/Tool/List", "total and tool, pages by start and limit", needs="read")
def _(target: Target) -> None:
    answer = target.wire.call("Tool/List", start="0", limit="3", hideworkflows=True, summary=True)
    assert int(answer["total"]) >= len(answer["tool"])
    assert len(answer["tool"]) <= 3
    total, first = target.client.list_models(limit=2)
    _, second = target.client.list_models(start=2, limit=2)
    assert total >= len(first)
    assert {model.slug for model in first}.isdisjoint(model.slug for model in second)


@case("/Tool/List", "search finds by text", needs="read")
def _(target: Target) -> None:
    total, found = target.client.list_models("hailuo", limit=50)
    assert total > 0
    assert any(model.slug.startswith("minimax/") for model in found)


@case("/Tool/List", "categories, owner, summary, workflows hidden")
def _(target: Target) -> None:
    assert target.control
    found = target.wire.call("Tool/List", categories=["text-to-speech"])["tool"]
    assert [tool["slugproject"] for tool in found] == ["voxcpm"]
    owned = target.wire.call("Tool/List", slugowner="openbmb", summary=True)["tool"]
    assert [tool["slugproject"] for tool in owned] == ["voxcpm"]
    assert "parameters" not in owned[0]
    hidden = target.wire.call("Tool/List", search="workflow", hideworkflows=True)["tool"]
    assert all("workflow" not in tool["categories"] for tool in hidden)
