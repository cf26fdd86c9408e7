"""The component: `defs.yaml` in, the same definitions as in Python out, no secret anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

# What a code location tells the webserver; Dagster has no public door to it.
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing.utils import DefsFolderSandbox, create_defs_folder_sandbox

from wiro_dagster import (
    AssetPrompts,
    FilePrompts,
    FolderVideoStore,
    LedgerResource,
    S3Prompts,
    VideoChecks,
    VideoCollection,
    WiroResource,
    WiroVideoComponent,
    build_missing_videos_schedule,
    build_video_definitions,
)

ACCOUNT = {"api_key": "{{ env.WIRO_TEST_KEY }}", "api_secret": "{{ env('WIRO_TEST_SECRET') }}"}
KEY, SECRET = "key-that-nobody-may-see", "secret-that-nobody-may-see"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[DefsFolderSandbox]:
    monkeypatch.setenv("WIRO_TEST_KEY", KEY)
    monkeypatch.setenv("WIRO_TEST_SECRET", SECRET)
    with create_defs_folder_sandbox() as made:
        yield made


def write_component(sandbox: DefsFolderSandbox, **attributes: Any) -> Path:
    contents = {"type": "wiro_dagster.WiroVideoComponent", "attributes": attributes}
    return sandbox.scaffold_component(WiroVideoComponent, "ads", defs_yaml_contents=contents)


def load(sandbox: DefsFolderSandbox, **attributes: Any) -> dg.Definitions:
    path = write_component(sandbox, **attributes)
    with sandbox.load_component_and_build_defs(path) as (_, defs):
        return defs


def snapshot(defs: dg.Definitions) -> Mapping[str, Any]:
    """What Dagster knows of assets, checks, sensors, schedules and resources."""
    graph = defs.resolve_asset_graph()
    assets = {
        key.to_user_string(): (
            sorted(dep.to_user_string() for dep in node.parent_keys),
            node.description,
            node.group_name,
            sorted(node.kinds),
            node.owners,
            node.tags,
            node.code_version,
            str(node.partitions_def),
            str(node.backfill_policy),
            sorted(node.pools or ()),
        )
        for key in graph.get_all_asset_keys()
        for node in [graph.get(key)]
    }
    checks = sorted(key.to_user_string() for key in graph.asset_check_keys)
    sensors = {sensor.name: sensor.description for sensor in defs.sensors or ()}
    schedules = {s.name: s.cron_schedule for s in defs.schedules or ()}
    resources = {
        name: (type(resource).__name__, getattr(resource, "model_dump", dict)())
        for name, resource in (defs.resources or {}).items()
    }
    return {
        "assets": assets,
        "checks": checks,
        "sensors": sensors,
        "schedules": schedules,
        "resources": resources,
    }


def test_the_component_and_the_builders_make_the_same_definitions(
    sandbox: DefsFolderSandbox,
) -> None:
    """One code path: YAML is another spelling of the Python."""
    defs = load(
        sandbox,
        prompt_file="prompts.yaml",
        name="ads",
        orders="new",
        group_name="marketing",
        owners=["team:marketing"],
        tags={"campaign": "spring"},
        pool="waiting",
        checks={"frozen": "off", "black_share": 0.5},
        order_missing={"cron_schedule": "0 6 * * *"},
        account=ACCOUNT,
        ledger={"url": "sqlite:///.wiro/ledger.db", "daily_budget_usd": 2.5},
        video_store="videos",
    )
    collection = VideoCollection(
        prompt_file=sandbox.defs_folder_path / "ads" / "prompts.yaml",
        name="ads",
        orders="new",
        group_name="marketing",
        owners=("team:marketing",),
        tags=(("campaign", "spring"),),
        pool="waiting",
        checks=VideoChecks(frozen="off", black_share=0.5),
        wiro="ads_wiro",
        ledger="ads_wiro_ledger",
        store="ads_video_store",
    )
    schedule = build_missing_videos_schedule(collection, cron_schedule="0 6 * * *")
    root = sandbox.project_root
    written = dg.Definitions.merge(
        build_video_definitions(collection),
        dg.Definitions(
            schedules=[schedule],
            resources={
                "ads_wiro": WiroResource(
                    api_key=dg.EnvVar("WIRO_TEST_KEY"), api_secret=dg.EnvVar("WIRO_TEST_SECRET")
                ),
                "ads_wiro_ledger": LedgerResource(
                    url=f"sqlite:///{root}/.wiro/ledger.db", daily_budget_usd="2.5"
                ),
                "ads_video_store": FolderVideoStore(path=str(root / "videos")),
            },
        ),
    )
    assert snapshot(defs) == snapshot(written)
    dg.Definitions.validate_loadable(defs)


def test_several_collections_share_the_resources_of_the_project(
    sandbox: DefsFolderSandbox,
) -> None:
    """What is left out of the YAML comes from the project, under its usual name."""
    defs = load(sandbox, prompt_file="prompts.yaml")
    assert set(defs.resources or {}) == {"video_io_manager"}
    sensors = {sensor.name: sensor for sensor in defs.sensors or ()}
    needed = sensors["video_order_sensor"].required_resource_keys
    assert needed == {"wiro", "wiro_ledger", "video_store"}


@pytest.mark.parametrize(
    ("attributes", "source"),
    [
        ({"prompt_file": "s3://bucket/prompts.yaml"}, S3Prompts("s3://bucket/prompts.yaml")),
        (
            {"prompt_asset": "marketing/prompts"},
            AssetPrompts(dg.AssetKey(["marketing", "prompts"])),
        ),
        ({"prompt_file": "texts/a.csv"}, FilePrompts(Path("/here/texts/a.csv"))),
    ],
)
def test_prompts_come_from_a_file_from_s3_or_from_an_asset(
    attributes: dict[str, str], source: object
) -> None:
    """A relative file is meant from the folder of `defs.yaml`."""
    assert WiroVideoComponent(**attributes).build_collection(Path("/here")).source == source


def test_a_secret_is_the_name_of_a_variable_to_dagster(sandbox: DefsFolderSandbox) -> None:
    """Settings of resources are shown in the UI: they hold names, and are filled in when used."""
    defs = load(
        sandbox,
        prompt_file="prompts.yaml",
        account=ACCOUNT,
        ledger={"url": "{{ env.WIRO_TEST_SECRET }}"},
        video_store="videos",
    )
    shown = serialize_value(RepositorySnap.from_def(defs.get_repository_def()))
    assert "WIRO_TEST_KEY" in shown
    assert KEY not in shown
    assert SECRET not in shown
    account = (defs.resources or {})["wiro"]
    assert account.api_key == dg.EnvVar("WIRO_TEST_KEY")
    assert account.process_config_and_initialize().api_secret == SECRET


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"account": {"api_key": KEY}}, "account.api_key"),
        ({"account": {**ACCOUNT, "api_secret": f"x{SECRET}"}}, "account.api_secret"),
        ({"account": {"api_key": "{{ env.WIRO_TEST_KEY }}+"}}, "account.api_key"),
        ({"ledger": {"url": f"postgresql://me:{SECRET}@host/db"}}, "ledger.url"),
    ],
)
def test_a_secret_in_the_file_is_refused_without_showing_it(
    sandbox: DefsFolderSandbox, attributes: dict[str, Any], field: str
) -> None:
    """Nor does one go through that a template pieces together."""
    with pytest.raises(ComponentTreeException) as caught:
        load(sandbox, prompt_file="prompts.yaml", **attributes)
    assert f"{field} in defs.yaml holds a secret" in str(caught.value.__cause__)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert KEY not in str(chain)
        assert SECRET not in str(chain)
        chain = chain.__cause__


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "Give either prompt_file or prompt_asset"),
        ({"prompt_file": "a.yaml", "prompt_asset": "b"}, "Give either prompt_file or prompt_asset"),
        ({"prompt_file": "ftp://a/b.yaml"}, "s3://bucket/key.yaml"),
        ({"prompt_file": "a.yaml", "name": "no blanks"}, "letters, digits"),
        ({"prompt_file": "a.yaml", "checks": {"frozn": "off"}}, "frozen"),
        ({"prompt_file": "a.yaml", "checks": {"frozen": "never"}}, "error, warn, off"),
    ],
)
def test_settings_that_do_not_fit_say_what_to_write(
    sandbox: DefsFolderSandbox, attributes: dict[str, Any], message: str
) -> None:
    """Errors end with the next step."""
    with pytest.raises(ComponentTreeException) as caught:
        load(sandbox, **attributes)
    assert message in str(caught.value.__cause__)


def test_a_scaffolded_folder_works_as_it_is(
    sandbox: DefsFolderSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dg scaffold defs` writes a `defs.yaml` and a first prompt; only credentials are missing."""
    monkeypatch.setenv("WIRO_API_KEY", KEY)
    monkeypatch.setenv("WIRO_API_SECRET", SECRET)
    path = sandbox.scaffold_component(WiroVideoComponent, "spring-ads")
    text = (path / "defs.yaml").read_text()
    assert set(yaml.safe_load(text)) == {"type", "attributes", "requirements"}
    with sandbox.load_component_and_build_defs(path) as (component, defs):
        assert isinstance(component, WiroVideoComponent)
        dg.Definitions.validate_loadable(defs)
        with (
            dg.instance_for_test() as instance,
            dg.build_sensor_context(instance=instance, resources=defs.resources) as context,
        ):
            sensor = defs.resolve_sensor_def("spring_ads_prompt_file_sensor")
            result: Any = sensor.evaluate_tick(context)
    (request,) = result.dynamic_partitions_requests
    assert list(request.partition_keys) == ["lighthouse-dawn"]


def test_scaffolding_keeps_a_prompt_file_that_is_there(sandbox: DefsFolderSandbox) -> None:
    """Nobody's prompts are overwritten."""
    folder = sandbox.defs_folder_path / "mine"
    folder.mkdir()
    (folder / "prompts.yaml").write_text("prompts: []\n")
    sandbox.scaffold_component(WiroVideoComponent, "mine")
    assert (folder / "prompts.yaml").read_text() == "prompts: []\n"


def test_every_setting_has_a_description_and_an_example() -> None:
    """Editors show them while one writes `defs.yaml`."""
    schema = WiroVideoComponent.model().model_json_schema()
    tables = [schema, *schema["$defs"].values()]
    bare = [
        f"{table['title']}.{name}"
        for table in tables
        for name, field in table["properties"].items()
        if not (field.get("description") and field.get("examples"))
    ]
    assert bare == []
    assert schema["properties"]["orders"]["enum"] == ["manual", "new", "new_and_changed"]
