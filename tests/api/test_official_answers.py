"""Answers as the tests of Wiro's official clients publish them: facts only, each with its source.

Nobody here has written them, so the emulator cannot share a mistake with them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from wiro_dagster.api.types import Task, find_page, find_task

MCP = "Wiro-MCP 1.5.6, tests, November 2026"
SWIFT = "Swift-QuickStart, tests, November 2026"
DART = "Dart-QuickStart, tests, November 2026"
DOCS = "Wiro-Docs, tasks.md, August 2026"

PNG = {
    "name": "result.png",
    "contenttype": "image/png",
    "size": "2048",
    "url": "https://cdn.example/result.png",
}
BARE = {"id": "123", "socketaccesstoken": "task-token", "parameters": {}}

ANSWERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        f"{MCP}: running",
        {
            **BARE,
            "status": "task_start",
            "pexit": "",
            "debugoutput": "",
            "starttime": "",
            "endtime": "",
            "elapsedseconds": "3",
            "totalcost": "0",
            "outputs": [],
        },
        {"state": "running", "exit_code": None, "outputs": (), "started_at": None},
    ),
    (
        f"{MCP}: completed",
        {
            **BARE,
            "status": "task_postprocess_end",
            "pexit": "0",
            "totalcost": "0.01",
            "starttime": "2026-08-01T10:00:00Z",
            "endtime": "2026-08-01T10:00:04Z",
            "modelslugowner": "owner",
            "modelslugproject": "model",
            "outputs": [PNG],
        },
        {
            "state": "succeeded",
            "cost_usd": Decimal("0.01"),
            "started_at": 1785578400.0,
            "model_slug": "owner/model",
        },
    ),
    (
        f"{MCP}: task_error is no end",
        {**BARE, "status": "task_error", "pexit": "", "debugerror": "User has no output folder"},
        {"state": "running"},
    ),
    (
        f"{SWIFT}: completed, with a file and a text",
        {
            "id": "99",
            "socketaccesstoken": "tok-abc",
            "status": "task_postprocess_end",
            "pexit": "0",
            "elapsedseconds": "1.5",
            "totalcost": "0.04",
            "outputs": [
                {**PNG, "url": "https://cdn.wiro.ai/out.png"},
                {"contenttype": "raw", "content": {"raw": "hello", "answer": ["a1"]}},
            ],
        },
        {"state": "succeeded", "cost_usd": Decimal("0.04"), "is_ended": True},
    ),
    (
        f"{SWIFT}: taskid in the place of id",
        {"taskid": "task-123", "socketaccesstoken": "tok-abc", "status": "task_queue"},
        {"id": "task-123", "state": "queued"},
    ),
    (
        f"{SWIFT}: id and status alone",
        {"id": "42", "status": "task_cancel"},
        {"state": "cancelled", "cost_usd": None},
    ),
    (
        f"{DART}: parameters as text, a time without a zone",
        {
            "id": "2221",
            "parameters": '{"prompt":"A mountain"}',
            "totalcost": "0.4",
            "status": "task_postprocess_end",
            "pexit": "0",
            "starttime": "2026-07-24 09:10:11",
            "endtime": "2026-07-24T09:10:14Z",
            "outputs": [{**PNG, "contenttype": "video/mp4", "size": "1024"}],
        },
        {"inputs": {"prompt": "A mountain"}, "started_at": None, "cost_usd": Decimal("0.4")},
    ),
    (
        f"{DART}: what cannot be read",
        {
            "id": "1",
            "starttime": "not-a-time",
            "endtime": [],
            "pexit": "not-an-integer",
            "parameters": "{invalid",
            "elapsedseconds": "not-a-duration",
            "outputs": [{"contenttype": "image/png", "size": "unknown"}],
        },
        {"inputs": {}, "outputs": (), "started_at": None},
    ),
    (
        f"{DART}: a new status",
        {"id": "1", "status": "task_new_status"},
        {"state": "running", "status": "task_new_status"},
    ),
    (
        f"{DOCS}: the example",
        {
            "id": "534574",
            "parameters": {"prompt": "Hello, world!"},
            "pexit": "0",
            "status": "task_postprocess_end",
            "debugoutput": "",
            "starttime": "1734513809",
            "elapsedseconds": "6.0000",
            "totalcost": "0.003510000000",
            "outputs": [{**PNG, "url": "https://cdn1.wiro.ai/.../0.png"}],
        },
        {"cost_usd": Decimal("0.00351"), "started_at": 1734513809.0, "state": "succeeded"},
    ),
]


@pytest.mark.parametrize(
    ("answer", "facts"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS]
)
def test_the_client_reads_what_official_clients_read(
    answer: dict[str, Any], facts: dict[str, Any]
) -> None:
    """The same state, cost, times and inputs as they make of it."""
    task = find_task(answer)
    assert isinstance(task, Task)
    assert {name: getattr(task, name) for name in facts} == facts


def test_a_list_without_errors_and_total_is_read() -> None:
    """As the Swift client's samples show it; an empty list is an answer, too."""
    page = find_page({"tasklist": [{"id": "42", "status": "task_start"}]})
    assert page is not None
    assert [task.id for task in page.tasks] == ["42"]
    assert find_page({"tasklist": []}) is not None
