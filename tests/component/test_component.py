"""The component: `defs.yaml` in, the same definitions as in Python out, no secret anywhere."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
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
from dagster_aws.s3 import S3Resource

from wiro_dagster import (
    AssetPrompts,
    FilePrompts,
    FolderVideoStore,
    LedgerResource,
    OrderPolicy,
    S3Prompts,
    S3VideoStore,
    VideoChecks,
    VideoCollection,
    WiroResource,
    WiroVideoComponent,
    build_missing_videos_schedule,
    build_video_definitions,
)

ACCOUNT = {"api_key": "{{ env.WIRO_TEST_KEY }}", "api_secret": "{{ env('WIRO_TEST_SECRET') }}"}
DAGSTERS = ("AssetSpec", "Daily", "Hourly", "Static", "TimeWindow", "Weekly")
"""Tables of the schema that describe Dagster's own classes."""

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
    sensors = {
        sensor.name: (sensor.description, sensor.default_status, sensor.minimum_interval_seconds)
        for sensor in defs.sensors or ()
    }
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


# Every setting, with a value that is not its default.
SETTINGS: dict[str, Any] = {
    "prompt_file": "prompts.yaml",
    "name": "ads",
    "auto_order": "new",
    "needs_approval": True,
    "priority": 5,
    "group_name": "marketing",
    "owners": ["team:marketing"],
    "tags": {"campaign": "spring"},
    "pool": "waiting",
    "op_tags": {"team": "media"},
    "retry_policy": {"max_retries": 2, "delay": 5},
    "default_status": "STOPPED",
    "minimum_interval_seconds": 30,
    "dagster_url": "http://127.0.0.1:3000",
    "failures": "event",
    "collect": "runs",
    "collect_batch": 50,
    "collect_runs": 4,
    "on_terminate": "cancel",
    "wait_deadline_seconds": 600,
    "model_folder": "models",
    "input_assets": ["portraits"],
    "allowed_folders": ["../media"],
    "checks": {"frozen": False, "black_share": 0.5},  # as YAML reads a bare `off`
    "policy": {"run_deadline_seconds": 60, "superseded": "cancel"},
    "order_missing": {"cron_schedule": "0 6 * * *", "default_status": "STOPPED"},
    "account": {**ACCOUNT, "concurrent_requests": 4, "websocket_url": "wss://example.com"},
    "ledger": {
        "url": "sqlite:///.wiro/ledger.db",
        "daily_budget_usd": 2.5,
        "total_budget_usd": None,
        "unknown_price": "assume",
        "assumed_price_usd": "0.5",
    },
    "video_store": {
        "bucket": "media",
        "prefix": "videos",
        "server_side_encryption": "aws:kms",
        "kms_key_id": "alias/videos",
        "storage_class": "STANDARD_IA",
        "endpoint_url": "http://127.0.0.1:9000",
        "aws_access_key_id": "{{ env.WIRO_TEST_KEY }}",
        "aws_secret_access_key": "{{ env.WIRO_TEST_SECRET }}",
    },
}


def test_the_component_and_the_builders_make_the_same_definitions(
    sandbox: DefsFolderSandbox,
) -> None:
    """One code path: YAML is another spelling of the Python, in every setting."""
    path = write_component(sandbox, **SETTINGS)
    with sandbox.load_component_and_build_defs(path) as (component, defs):
        assert isinstance(component, WiroVideoComponent)
    root = sandbox.project_root
    collection = VideoCollection(
        prompt_source=FilePrompts(sandbox.defs_folder_path / "ads" / "prompts.yaml"),
        name="ads",
        auto_order="new",
        needs_approval=True,
        priority=5,
        group_name="marketing",
        owners=["team:marketing"],
        tags={"campaign": "spring"},
        pool="waiting",
        op_tags={"team": "media"},
        retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=30,
        dagster_url="http://127.0.0.1:3000",
        failures="event",
        collect="runs",
        collect_batch=50,
        collect_runs=4,
        on_terminate="cancel",
        wait_deadline_seconds=600,
        model_folder=root / "models",
        input_assets=["portraits"],
        allowed_folders=["../media"],
        checks=VideoChecks(frozen="off", black_share=0.5),
        policy=OrderPolicy(run_deadline_seconds=60, superseded="cancel"),
        wiro="ads_wiro",
        ledger="ads_wiro_ledger",
        store="ads_video_store",
    )
    assert component.build_collection(path, root) == collection
    schedule = build_missing_videos_schedule(
        collection, cron_schedule="0 6 * * *", default_status=dg.DefaultScheduleStatus.STOPPED
    )
    written = dg.Definitions.merge(
        build_video_definitions(collection),
        dg.Definitions(
            schedules=[schedule],
            resources={
                "ads_wiro": WiroResource(
                    api_key=dg.EnvVar("WIRO_TEST_KEY"),
                    api_secret=dg.EnvVar("WIRO_TEST_SECRET"),
                    concurrent_requests=4,
                    websocket_url="wss://example.com",
                ),
                "ads_wiro_ledger": LedgerResource(
                    url=f"sqlite:///{root}/.wiro/ledger.db",
                    daily_budget_usd="2.5",
                    unknown_price="assume",
                    assumed_price_usd="0.5",
                ),
                "ads_video_store": S3VideoStore(
                    s3=S3Resource(
                        endpoint_url="http://127.0.0.1:9000",
                        aws_access_key_id=dg.EnvVar("WIRO_TEST_KEY"),
                        aws_secret_access_key=dg.EnvVar("WIRO_TEST_SECRET"),
                    ),
                    bucket="media",
                    prefix="videos",
                    server_side_encryption="aws:kms",
                    kms_key_id="alias/videos",
                    storage_class="STANDARD_IA",
                ),
            },
        ),
    )
    assert snapshot(defs) == snapshot(written)
    dg.Definitions.validate_loadable(defs)


def fields_of(made: type) -> set[str]:
    return {field.name for field in fields(made)}


def test_yaml_can_set_whatever_python_can() -> None:
    """A setting that a class gets later is also the component's, or this test names it."""
    schema = WiroVideoComponent.model().model_json_schema()
    tables = {name: set(table["properties"]) for name, table in schema["$defs"].items()}
    python_only = {"prompt_source", "translator", "timing", "cache"}
    ours = set(schema["properties"]) | tables["ResourceKeysModel"] | python_only
    assert fields_of(VideoCollection) <= ours
    assert tables["PolicyModel"] == fields_of(OrderPolicy) - {"timing"}
    assert tables["ChecksModel"] == fields_of(VideoChecks)
    assert tables["PromptTableModel"] == fields_of(AssetPrompts)
    assert tables["S3FileModel"] == fields_of(S3Prompts)
    assert tables["WiroAccount"] == set(WiroResource.model_fields)
    assert tables["WiroLedger"] == set(LedgerResource.model_fields)
    stores: set[str] = set().union(
        *(kind.model_fields for kind in (FolderVideoStore, S3VideoStore, S3Resource))
    )
    assert tables["WiroVideoStore"] == stores - {"s3"}
    schedule = inspect.signature(build_missing_videos_schedule).parameters
    assert tables["MissingVideosScheduleModel"] == set(schedule) - {"collection"}


def needed_by(defs: dg.Definitions, name: str) -> set[str]:
    """The resources that an asset needs, whether or not they are there."""
    assets = [asset for asset in defs.assets or () if isinstance(asset, dg.AssetsDefinition)]
    (found,) = [asset for asset in assets if dg.AssetKey(name) in asset.keys]
    return set(found.op.required_resource_keys)


def test_several_collections_share_the_resources_of_the_project(
    sandbox: DefsFolderSandbox,
) -> None:
    """What is left out of the YAML comes from the project, under its usual name."""
    defs = load(sandbox, prompt_file="prompts.yaml")
    assert set(defs.resources or {}) == {"video_io_manager"}
    assert needed_by(defs, "video_order") == {"wiro", "wiro_ledger", "video_store"}


@pytest.mark.parametrize(
    ("attributes", "source"),
    [
        ({"prompt_file": "s3://bucket/prompts.yaml"}, S3Prompts("s3://bucket/prompts.yaml")),
        (
            {"prompt_file": {"uri": "s3://bucket/prompts.yaml", "s3": "media"}},
            S3Prompts("s3://bucket/prompts.yaml", s3="media"),
        ),
        (
            {
                "prompt_asset": {
                    "asset_key": "marketing/prompts",
                    "defaults": {"model": "minimax/hailuo-2-3"},
                    "value_type": "decimal.Decimal",
                }
            },
            AssetPrompts(
                dg.AssetKey(["marketing", "prompts"]),
                defaults={"model": "minimax/hailuo-2-3"},
                value_type=Decimal,
            ),
        ),
        ({"prompt_file": "/texts/a.csv"}, FilePrompts(Path("/texts/a.csv"))),
    ],
)
def test_prompts_come_from_a_file_from_s3_or_from_an_asset(
    sandbox: DefsFolderSandbox, attributes: dict[str, Any], source: object
) -> None:
    """The same sources as in Python, with all that they can be told."""
    path = write_component(sandbox, **attributes)
    with sandbox.load_component_and_build_defs(path) as (component, _):
        assert isinstance(component, WiroVideoComponent)
        assert component.build_source(path) == source


def test_a_folder_is_meant_from_the_project_and_resources_can_have_other_names(
    sandbox: DefsFolderSandbox,
) -> None:
    """A store is a text or a mapping; `resource_keys` names what the project has."""
    for store in ("clips", {"path": "clips", "base_url": "http://127.0.0.1:8379"}):
        defs = load(
            sandbox, prompt_file="a.yaml", video_store=store, resource_keys={"wiro": "second"}
        )
        made = (defs.resources or {})["video_store"]
        assert made.path == str(sandbox.project_root / "clips")
        assert "second" in needed_by(defs, "video_order")


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
        (
            {"video_store": {"bucket": "media", "aws_secret_access_key": SECRET}},
            "video_store.aws_secret_access_key",
        ),
    ],
)
def test_a_secret_in_the_file_is_refused_without_showing_it(
    sandbox: DefsFolderSandbox, attributes: dict[str, Any], field: str
) -> None:
    """Nor does one go through that a template pieces together."""
    with pytest.raises(ComponentTreeException) as caught:
        load(sandbox, prompt_file="prompts.yaml", **attributes)
    assert f"{field} holds a secret" in str(caught.value.__cause__)
    assert re.match(r"/.+/defs\.yaml:\d+: ", str(caught.value.__cause__))
    chain: BaseException | None = caught.value
    while chain is not None:
        assert KEY not in str(chain)
        assert SECRET not in str(chain)
        chain = chain.__cause__


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"name": "ads"}, "Give either prompt_file or prompt_asset"),
        (
            {"prompt_file": "a.yaml", "prompt_asset": {"asset_key": "b"}},
            "Give either prompt_file or prompt_asset",
        ),
        ({"prompt_file": "ftp://a/b.yaml"}, "s3://bucket/key.yaml"),
        ({"prompt_file": "a.yaml", "name": "no blanks"}, "letters, digits"),
        ({"prompt_file": "a.yaml", "checks": {"black_share": 2}}, "up to 1"),
        (
            {
                "prompt_file": "a.yaml",
                "ledger": {"url": "sqlite:///l.db", "daily_budget_usd": "ten"},
            },
            "12.50",
        ),
        ({"prompt_file": "a.yaml", "video_store": {"prefix": "a"}}, "either a path"),
        (
            {"prompt_asset": {"asset_key": "a", "value_type": "no.such_thing"}},
            "such as pandas.DataFrame",
        ),
    ],
)
def test_settings_that_do_not_fit_say_where_and_what_to_write(
    sandbox: DefsFolderSandbox, attributes: dict[str, Any], message: str
) -> None:
    """Errors begin with file and line, and end with the next step."""
    with pytest.raises(ComponentTreeException) as caught:
        load(sandbox, **attributes)
    assert message in str(caught.value.__cause__)
    assert re.match(r"/.+/defs\.yaml:\d+", str(caught.value.__cause__))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"auto_order": "always"}, "'never', 'new' or 'new_and_changed'"),
        ({"name": "my ads"}, "letters, digits"),
        ({"account": {"api_key": "{{ env.A }}", "api_secrt": "x"}}, "api_secrt"),
        ({"account": {"api_key": "{{ env.A }}", "cdn_hosts": [1]}}, "cdn_hosts"),
        ({"checks": {"black": "never"}}, "'error', 'warn', 'off'"),
        ({"policy": {"run_deadline_seconds": "long"}}, "run_deadline_seconds"),
        ({"policy": {"nonsense": 1}}, "nonsense"),
        ({"video_store": "ftp://videos"}, "Name a folder"),
        ({"wait_deadline_seconds": "soon"}, "valid number"),
        ({"tags": {"campaign": 1}}, "campaign"),
        ({"translation": {"group": "x"}}, "group"),
    ],
)
def test_an_unknown_key_or_a_wrong_value_is_refused_with_file_and_line(
    sandbox: DefsFolderSandbox, attributes: dict[str, Any], words: str
) -> None:
    """A wrong `defs.yaml` fails when it is loaded, and the message says where to look."""
    with pytest.raises(ComponentTreeException) as caught:
        load(sandbox, **{"prompt_file": "prompts.yaml", **SETTINGS, **attributes})
    message = str(caught.value.__cause__)
    assert words in message
    assert re.search(r"/.+/defs\.yaml:\d+", message)


def test_a_translation_changes_how_single_assets_look(sandbox: DefsFolderSandbox) -> None:
    """Keys, descriptions and owners follow the template; the ledger's name does not."""
    translation = {
        "key_prefix": "media",
        "description": "The {{ asset }} of {{ collection }}",
        "owners": ["team:media"],
    }
    needed = {name: SETTINGS[name] for name in ("prompt_file", "account", "ledger", "video_store")}
    path = write_component(sandbox, **needed, name="ads", translation=translation)
    with sandbox.load_component_and_build_defs(path) as (component, defs):
        assert isinstance(component, WiroVideoComponent)
        collection = component.build_collection(path, sandbox.project_root)
    assert collection.ledger_name == "ads/video"
    graph = defs.resolve_asset_graph()
    for name in ("prompt", "video_order", "video", "video_gallery", "video_costs"):
        node = graph.get(dg.AssetKey(["media", "ads", name]))
        assert (node.description, node.owners) == (f"The {name} of ads", ["team:media"])
    dg.Definitions.validate_loadable(defs)


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


def test_every_setting_has_a_description() -> None:
    """Editors show it while one writes `defs.yaml`."""
    schema = WiroVideoComponent.model().model_json_schema()
    ours = [table for name, table in schema["$defs"].items() if not name.startswith(DAGSTERS)]
    bare = [
        f"{table['title']}.{name}"
        for table in [schema, *ours]
        for name, field in table["properties"].items()
        if not field.get("description")
    ]
    assert bare == []
