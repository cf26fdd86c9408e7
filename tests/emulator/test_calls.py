"""Every endpoint of the emulator, its envelope, its refusals and its two kinds of project."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import requests

from tests.support.emulator_calls import HAILUO, Caller, sign
from wiro_dagster.emulator import Emulator

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]

_IMAGE = b"\x89PNG\r\n\x1a\n not really an image"


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Caller:
    return Caller(wiro_emulator)


def test_an_accepted_run_answers_with_id_and_token(caller: Caller) -> None:
    """The envelope says result and no errors; id and token are strings; fields may be unknown."""
    answer = caller.call(f"Run/{HAILUO}", prompt="a fox")
    assert answer["result"] is True
    assert answer["errors"] == []
    assert answer["taskid"].isdecimal()
    assert len(answer["socketaccesstoken"]) == 30
    assert "servedby" in answer


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "Project authorization is not founded."),
        ({"x-api-key": "other"}, "Project authorization is not founded."),
        (
            {"x-api-key": "emulator-api-key"},
            "Project requires signature authentication. "
            "x-signature and x-nonce headers are required.",
        ),
        (
            {"x-api-key": "emulator-api-key", "x-nonce": "1", "x-signature": "00"},
            "Project authorization is not valid.",
        ),
        (
            {
                "x-api-key": "emulator-api-key",
                "x-nonce": "soon",
                "x-signature": sign("emulator-api-key", "emulator-api-secret", "soon"),
            },
            "Project authorization is not valid.",
        ),
    ],
)
def test_a_caller_without_a_right_signature_is_refused_with_401(
    caller: Caller, headers: dict[str, str], message: str
) -> None:
    """Unknown key, missing and wrong signature, and a nonce that is no integer: 401, code 0."""
    answer = caller.post("Task/List", {}, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {"result": False, "errors": [{"code": 0, "message": message}]}


def test_a_key_only_project_takes_the_key_alone() -> None:
    """The other kind of project asks for no signature, and still for the right key."""
    with Emulator.start(key_only=True) as emulator:
        caller = Caller(emulator)
        assert emulator.api_secret is None
        assert caller.call("Task/List")["result"]
        assert caller.post("Task/List", {}, headers={"x-api-key": "x"}).status_code == 401


def test_an_unknown_endpoint_is_a_404_with_an_envelope(caller: Caller) -> None:
    """Code 0, HTTP 404, and only POST is an endpoint at all."""
    answer = caller.post("Task/Nothing", {})
    assert answer.status_code == 404
    assert answer.json()["errors"] == [{"code": 0, "message": "Error parsing url."}]
    by_get = requests.get(
        f"{caller.emulator.base_url}/Task/List", headers=caller.headers(), timeout=5
    )
    assert by_get.status_code == 404


@pytest.mark.parametrize(
    ("model", "inputs", "expected"),
    [
        (HAILUO, {}, (0, "Request parameter [prompt] required")),
        (HAILUO, {"prompt": ""}, (0, "Request parameter [prompt] required")),
        (
            HAILUO,
            {"prompt": "x", "duration": "7"},
            (0, "Request parameter [duration] must be one of 6, 10"),
        ),
        (HAILUO, {"prompt": "x", "duration": 6}, (0, "Request parameters are invalid.")),
        (
            HAILUO,
            {"prompt": "x", "resolution": "1080P", "duration": "10"},
            (0, "1080P videos are 6 seconds long at most"),
        ),
        (
            HAILUO,
            {"prompt": "x", "inputImageFirst": "https://example.org/a.png"},
            (0, "Request parameters are invalid."),
        ),
        (
            "minimax/hailuo-2-3-fast",
            {"prompt": "x"},
            (0, "Request files [inputImageFirst] required"),
        ),
        (
            "bytedance/image-to-video-seedance-pro-v1",
            {"prompt": "x", "inputImageUrl": "https://example.org/a.png", "duration": 99},
            (0, "Request parameter [duration] must be between 3 and 12"),
        ),
        (
            "bytedance/image-to-video-seedance-pro-v1",
            {"prompt": "x", "inputImageUrl": "https://example.org/a.png", "duration": "long"},
            (0, "Request parameter [duration] must be integer or float"),
        ),
        (
            "emulator/spellings",
            {"style": "plain"},
            (0, "Request parameter [prompt] required"),
        ),
        ("wiro/product-ads", {}, (0, "Request files [inputImage] required")),
        ("minimax/hailuo-9", {"prompt": "x"}, (1, "slug-owner-project-not-exist")),
        ("MiniMax/hailuo-2.3", {"prompt": "x"}, (1, "slug-owner-project-not-exist")),
        ("emulator/private", {"prompt": "x"}, (1, "tool-not-accessible")),
        ("emulator/members-only", {"prompt": "x"}, (98, "sign in to run this model")),
    ],
)
def test_a_run_with_wrong_inputs_is_refused_and_creates_nothing(
    caller: Caller, model: str, inputs: dict[str, Any], expected: tuple[int, str]
) -> None:
    """The model's schema decides; the texts are the service's; nothing becomes billable."""
    assert caller.refusal(f"Run/{model}", **inputs) == expected
    assert caller.emulator.billable_tasks() == 0


def test_a_model_without_a_schema_takes_anything(caller: Caller) -> None:
    """With `parameters: null` nothing can be checked."""
    caller.run(model="emulator/no-schema", anything=[1, 2], prompt="x")
    assert caller.emulator.billable_tasks() == 1


def test_a_body_that_is_no_object_is_refused(caller: Caller) -> None:
    """A list, text, or half a JSON document are all invalid parameters."""
    for body in (b"[1]", b'"text"', b'{"prompt": '):
        answer = caller.post(f"Run/{HAILUO}", data=body)
        assert answer.json()["errors"][0]["message"] == "Request parameters are invalid."


def test_json_is_read_under_a_multipart_header_without_a_boundary(caller: Caller) -> None:
    """One of the documents' examples sends it so."""
    headers = {**caller.headers(), "content-type": "multipart/form-data"}
    answer = caller.post("Task/List", headers=headers, data=b'{"limit": "1"}')
    assert answer.json()["result"] is True


def test_parameters_callback_and_project_are_echoed(caller: Caller) -> None:
    """Task/Detail shows the inputs as sent, without what is no input."""
    task_id = caller.run(
        "a fox", duration="6", callbackUrl="https://example.org/hook", projectid="77"
    )
    task = caller.detail(task_id)
    assert task["parameters"] == {"prompt": "a fox", "duration": "6"}
    assert task["callbackurl"] == "https://example.org/hook"
    assert task["projectid"] == "77"
    assert (task["modelslugowner"], task["modelslugproject"]) == ("minimax", "hailuo-2-3")


def test_numbers_of_a_task_are_strings(caller: Caller) -> None:
    """Times, sizes, costs and the total come as strings."""
    task = caller.ended()
    assert caller.call("Task/Detail", taskid=task["id"])["total"] == "1"
    for name in ("createtime", "starttime", "endtime", "elapsedseconds", "totalcost", "size"):
        assert isinstance(task[name], str)
        Decimal(task[name])
    assert task["totalcost"] == "0.280000000000"
    assert task["outputs"][0]["size"] == task["size"]


def test_a_task_is_found_by_id_or_by_token(caller: Caller) -> None:
    """Both name the same task; neither is an error of its own."""
    run = caller.call(f"Run/{HAILUO}", prompt="a fox")
    token = run["socketaccesstoken"]
    for fields in ({"taskid": run["taskid"]}, {"tasktoken": token}, {"socketaccesstoken": token}):
        assert caller.call("Task/Detail", **fields)["tasklist"][0]["id"] == run["taskid"]
    assert caller.refusal("Task/Detail", taskid="1") == (1, "There is no task yet.")
    assert caller.refusal("Task/Detail", taskid="x") == (1, "There is no task yet.")
    assert caller.refusal("Task/Detail") == (0, "taskid or socketaccesstoken is required")


def test_tasks_are_listed_in_pages_newest_first(caller: Caller) -> None:
    """Pages by start and limit, of 20 unless told, 100 at most, and ascending on request."""
    ids = [caller.run(f"prompt {number}") for number in range(25)]
    first = caller.call("Task/List", type="model", sort="id", order="DESC", start="0", limit="10")
    assert first["total"] == "25"
    assert [task["id"] for task in first["tasklist"]] == ids[:-11:-1]
    last = caller.call("Task/List", start="20", limit="10")
    assert [task["id"] for task in last["tasklist"]] == ids[4::-1]
    assert [t["id"] for t in caller.call("Task/List", order="ASC", limit="2")["tasklist"]] == ids[
        :2
    ]
    assert len(caller.call("Task/List")["tasklist"]) == 20
    assert len(caller.call("Task/List", limit="1000")["tasklist"]) == 25
    assert caller.call("Task/List", start="99")["tasklist"] == []


@pytest.mark.parametrize("name", [HAILUO, "hailuo-2-3", "MiniMax/hailuo-2.3"])
def test_tasks_are_listed_by_model(caller: Caller, name: str) -> None:
    """The filter takes a slug, its second half, or the title."""
    wanted = caller.run()
    caller.run(model="minimax/text-to-video-hailuo-02")
    listed = caller.call("Task/List", modelName=name)
    assert [task["id"] for task in listed["tasklist"]] == [wanted]
    assert listed["total"] == "1"


def test_a_new_task_may_be_missing_from_the_list_for_a_while(caller: Caller) -> None:
    """With a listing delay Task/Detail knows it at once, Task/List only later."""
    caller.emulator.change_settings(listing_delay_seconds=5)
    caller.emulator.freeze()
    task_id = caller.run()
    assert caller.call("Task/List")["tasklist"] == []
    assert caller.detail(task_id)["status"] == "task_queue"
    caller.emulator.advance(5)
    assert [task["id"] for task in caller.call("Task/List")["tasklist"]] == [task_id]


def test_a_queued_task_is_cancelled_and_not_killed(caller: Caller) -> None:
    """Cancel works in the queue, and nothing is billed."""
    caller.emulator.freeze()
    task_id = caller.run()
    assert caller.refusal("Task/Kill", taskid=task_id)[0] == 1
    task = caller.call("Task/Cancel", taskid=task_id)["tasklist"][0]
    assert (task["status"], task["totalcost"], task["outputs"]) == ("task_cancel", "0", [])
    assert caller.refusal("Task/Cancel", taskid=task_id)[0] == 1
    assert caller.emulator.spent_usd() == 0


def test_accept_and_preprocess_belong_to_neither_cancel_nor_kill(caller: Caller) -> None:
    """Between queue and assignment both are refused with code 1."""
    caller.emulator.freeze()
    task_id = caller.run()
    caller.emulator.advance(0.3)
    assert caller.detail(task_id)["status"] == "task_preprocess_start"
    assert caller.refusal("Task/Cancel", taskid=task_id) == (
        1,
        "Task is not in a cancellable state.",
    )
    assert caller.refusal("Task/Kill", taskid=task_id) == (
        1,
        "Task could not be killed: task is not assigned yet",
    )


def test_a_running_task_is_killed_and_not_cancelled(caller: Caller) -> None:
    """Kill works after assignment, by id or by token; an ended task cannot be killed."""
    caller.emulator.freeze()
    run = caller.call(f"Run/{HAILUO}", prompt="a fox")
    caller.emulator.advance(1)
    assert caller.refusal("Task/Cancel", taskid=run["taskid"])[0] == 1
    killed = caller.call("Task/Kill", socketaccesstoken=run["socketaccesstoken"])["tasklist"][0]
    assert (killed["status"], killed["totalcost"]) == ("task_cancel", "0")
    assert caller.refusal("Task/Kill", taskid=run["taskid"])[0] == 1


def test_deleted_files_are_gone_and_the_record_stays(caller: Caller) -> None:
    """InputOutputDelete works once the task has ended, and again, and again."""
    run = caller.call(f"Run/{HAILUO}", prompt="a fox")
    token = run["socketaccesstoken"]
    assert caller.refusal("Task/InputOutputDelete", tasktoken=token)[0] == 1
    caller.emulator.advance(10)
    url = caller.detail(run["taskid"])["outputs"][0]["url"]
    assert requests.get(url, timeout=60).status_code == 200
    for _ in range(2):
        assert caller.call("Task/InputOutputDelete", tasktoken=token)["result"]
    assert requests.get(url, timeout=60).status_code == 404
    assert caller.detail(run["taskid"])["status"] == "task_postprocess_end"


def test_a_model_is_described_with_its_inputs_and_prices(caller: Caller) -> None:
    """Tool/Detail has groups of items, prices as a JSON string, and Wiro's own guesses."""
    tool = caller.call("Tool/Detail", slugowner="minimax", slugproject="hailuo-2-3")["tool"][0]
    items = {item["id"]: item for group in tool["parameters"] for item in group["items"]}
    assert list(items) == [
        "inputImageFirst",
        "prompt",
        "promptOptimizer",
        "resolution",
        "duration",
    ]
    assert [option["value"] for option in items["duration"]["options"]] == ["6", "10"]
    assert isinstance(tool["dynamicprice"], str)
    assert tool["approximatelycost"] == "0.28"
    assert caller.refusal("Tool/Detail", slugowner="a", slugproject="b") == (
        1,
        "slug-owner-project-not-exist",
    )
    assert caller.refusal("Tool/Detail", slugowner="emulator", slugproject="private")[0] == 1
    assert caller.refusal("Tool/Detail", slugowner="a")[0] == 0


def test_models_are_searched_and_paged(caller: Caller) -> None:
    """By text, owner and categories; workflows hidden and parameters left out on request."""
    everything = caller.call("Tool/List", limit="100")
    assert int(everything["total"]) == len(everything["tool"])
    slugs = {f"{tool['slugowner']}/{tool['slugproject']}" for tool in everything["tool"]}
    assert {HAILUO, "emulator/workflow"} <= slugs
    assert "emulator/private" not in slugs
    assert caller.call("Tool/List", search="hailuo", start="1", limit="2")["total"] == "4"
    hidden = caller.call("Tool/List", categories=["workflow"], hideworkflows=True, summary=True)
    assert hidden["tool"] == []
    short = caller.call("Tool/List", slugowner="openbmb", summary=True)["tool"]
    assert "parameters" not in short[0]


def test_files_and_folders_are_kept(caller: Caller) -> None:
    """A folder, a file in it, and its bytes at the URL that the answer names."""
    folder = caller.call("File/FolderCreate", name="first-images")["list"][0]
    answer = caller.post(
        "File/Upload",
        data={"folderid": folder["id"]},
        files={"file": ("fox.png", _IMAGE, "image/png")},
    ).json()
    kept = answer["list"][0]
    assert (kept["name"], kept["contenttype"], kept["size"], kept["parentid"]) == (
        "fox.png",
        "image/png",
        str(len(_IMAGE)),
        folder["id"],
    )
    assert requests.get(kept["url"], timeout=60).content == _IMAGE
    for name in ("", "two words", "../up"):
        assert caller.refusal("File/FolderCreate", name=name)[0] == 0
    assert caller.refusal("File/Upload") == (0, "Request files [file] required")


def test_files_of_a_run_are_sent_as_multipart(caller: Caller) -> None:
    """A file goes in the input's own field; a URL beside it is one too many."""
    files = {"inputImageFirst": ("fox.png", _IMAGE, "image/png")}
    both = {"prompt": "a fox", "inputImageFirstUrl": "https://example.org/a.png"}
    refused = caller.post(f"Run/{HAILUO}", data=both, files=files).json()
    assert refused["errors"][0]["message"] == "Request parameters are invalid."
    run = caller.post(
        "Run/minimax/hailuo-2-3-fast",
        data={"prompt": "a fox", "inputImageFirstUrl": ""},
        files=files,
    ).json()
    echoed = caller.detail(run["taskid"])["parameters"]
    assert echoed["prompt"] == "a fox"
    assert requests.get(echoed["inputImageFirst"], timeout=60).content == _IMAGE


def test_several_files_come_in_one_field_or_as_urls(caller: Caller) -> None:
    """Multifileinput takes files and comma-separated URLs, combinefileinput both in one field."""
    files = [("inputImages", (f"{n}.png", _IMAGE, "image/png")) for n in range(2)]
    run = caller.post(
        "Run/emulator/collage",
        data={"inputImagesUrl": "https://example.org/a.png, https://example.org/b.png"},
        files=files,
    ).json()
    assert run["result"], run
    urls = ["https://example.org/a.png", "https://example.org/b.png"]
    caller.run(model="bytedance/seedream-v4-5", inputImage=urls)
    assert caller.refusal("Run/bytedance/seedream-v4-5", prompt="x", inputImage=["a.png"])[0] == 0


def test_the_alternate_dialect_takes_the_other_side_of_each_contradiction(caller: Caller) -> None:
    """Numbers as numbers, objects as text, refusals with statuses of their own, bare errors."""
    caller.emulator.change_settings(dialect="alternate")
    empty = caller.post("Task/List", {})
    assert (empty.status_code, empty.json()["errors"][0]["code"]) == (404, 1)
    invalid = caller.post(f"Run/{HAILUO}", {})
    assert invalid.status_code == 400
    assert invalid.json()["errors"] == ["Request parameter [prompt] required"]
    task = caller.ended("a fox")
    assert task["parameters"] == '{"prompt": "a fox"}'
    assert task["totalcost"] == pytest.approx(0.28)
    assert isinstance(task["createtime"], int)
    tool = caller.call("Tool/Detail", slugowner="minimax", slugproject="hailuo-2-3")["tool"][0]
    assert isinstance(tool["parameters"], str)
    assert isinstance(tool["dynamicprice"], list)
    missing = caller.post("Task/Detail", {"taskid": "1"})
    assert missing.json()["errors"][0] == {"code": 1, "message": "task-not-founded"}


def test_library_user_agents_can_be_refused(caller: Caller) -> None:
    """The front door shows them an HTML page; an agent of one's own gets through."""
    caller.emulator.change_settings(refuse_default_user_agents=True)
    refused = caller.post("Task/List", {})
    assert (refused.status_code, refused.headers["content-type"][:9]) == (403, "text/html")
    headers = {**caller.headers(), "user-agent": "mine/1.0"}
    assert caller.post("Task/List", {}, headers=headers).json()["result"]
