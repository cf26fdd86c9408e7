"""Requests as Wiro's official clients send them, sent to the emulator word for word.

The bodies are those of the wire fixtures that Swift-QuickStart and Wiro-MCP publish with their
tests (November 2026). `official.json` beside this file has the models that they name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.caller import WireCaller
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.catalogue import schema_from_model_detail
from wiro_dagster.emulator import Emulator

FAST = "minimax/hailuo-2-3-fast"
RUNS: list[tuple[str, dict[str, Any]]] = [
    (
        FAST,
        {
            "inputImage": ["https://example.com/in.png"],
            "duration": "6",
            "prompt": "zoom",
            "promptOptimizer": "true",
            "resolution": "768P",
        },
    ),
    (
        "kwaivgi/kling-v3",
        {
            "mode": "pro",
            "duration": "5",
            "ratio": "1:1",
            "sound": "on",
            "multiPrompt": "",
            "prompt": "walk",
        },
    ),
    (
        "black-forest-labs/flux-2-pro",
        {"prompt": "lake", "width": 1024, "callbackUrl": "https://example.com/hook"},
    ),
]


@pytest.fixture(scope="module")
def official() -> Iterator[Emulator]:
    models = Path(__file__).with_name("official.json")
    with Emulator.start(options=["--models", str(models)], tiny_videos=True) as started:
        started.freeze()
        yield started


@pytest.fixture
def wire(official: Emulator) -> WireCaller:
    return WireCaller(official.base_url, official.api_key, official.api_secret)


@pytest.mark.parametrize(("model", "body"), RUNS, ids=[model for model, _ in RUNS])
def test_a_run_of_an_official_client_is_accepted(
    wire: WireCaller, model: str, body: dict[str, Any]
) -> None:
    """And its inputs are echoed as they were sent."""
    answer = wire.call(f"Run/{model}", **body)
    (task,) = wire.call("Task/Detail", tasktoken=answer["socketaccesstoken"])["tasklist"]
    sent = {name: value for name, value in body.items() if name != "callbackUrl"}
    assert task["parameters"] == sent
    assert task["callbackurl"] == body.get("callbackUrl", "")


@pytest.mark.parametrize("key", ["taskid", "tasktoken", "socketaccesstoken"])
def test_a_task_is_killed_and_cancelled_by_every_name_of_it(wire: WireCaller, key: str) -> None:
    """Swift kills by socketaccesstoken, Wiro-MCP cancels by taskid, older clients by tasktoken."""
    run = wire.call(f"Run/{FAST}", **RUNS[0][1])
    value = run["taskid"] if key == "taskid" else run["socketaccesstoken"]
    assert wire.call("Task/Cancel", **{key: value})["result"] is True
    assert wire.refusal("Task/Kill", **{key: value})[0] == 1  # it has ended


def test_the_models_are_listed_as_official_clients_ask(wire: WireCaller) -> None:
    """With categories, a summary, an owner and numbers as texts."""
    found = wire.call(
        "Tool/List",
        start="0",
        limit="20",
        search="kling",
        categories=[],
        sort="relevance",
        hideworkflows=True,
        summary=True,
        order="DESC",
        slugowner="kwaivgi",
    )
    assert [tool["slugproject"] for tool in found["tool"]] == ["kling-v3"]


def test_our_client_sends_newer_inputs_as_official_clients_do(official: Emulator) -> None:
    """The live schema decides: `inputImage` goes out as a list of URLs."""
    body = RUNS[0][1]
    with WiroClient(
        Credentials(official.api_key, official.api_secret),
        base_url=official.base_url,
        cdn_hosts=[official.cdn_host],
    ) as client:
        schema = schema_from_model_detail(client.get_model(FAST))
        sent, problems = schema.validate({**body, "inputImage": "https://example.com/in.png"})
        assert not problems
        task = client.get_task(client.submit(FAST, sent).task_id)
    assert task.inputs["inputImage"] == body["inputImage"]
    assert {name: task.inputs[name] for name in ("duration", "resolution")} == {
        "duration": "6",
        "resolution": "768P",
    }
