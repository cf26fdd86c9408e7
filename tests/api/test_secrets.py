"""Keys, secrets, tokens and callback URLs are not printed, whatever happens."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable

import pytest

from tests.api.test_server import (
    KEY,
    RESET,
    SECRET,
    TOKEN,
    Reply,
    ScriptedServer,
    build_json_reply,
    build_refusal,
)
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.errors import WiroError

CALLBACK_TOKEN = "callback-71bd03aa55"
CALLBACK_URL = f"https://me.example/hook/{CALLBACK_TOKEN}"
SECRETS = (KEY, SECRET, TOKEN, CALLBACK_TOKEN)

LEAKY = json.dumps({"socketaccesstoken": TOKEN, "callbackurl": CALLBACK_URL}).encode()
ECHO = f"{KEY} {SECRET} {TOKEN}"
CALLBACK_ECHO = f"Request parameter [callbackUrl] must not be {CALLBACK_URL} ({CALLBACK_TOKEN})"
ANSWERS = [
    build_json_reply({"result": True, "taskid": "1", "socketaccesstoken": TOKEN}),
    build_json_reply(
        {
            "result": True,
            "tasklist": [
                {
                    "id": "1",
                    "socketaccesstoken": TOKEN,
                    "tasktoken": TOKEN,
                    "callbackurl": CALLBACK_URL,
                    "parameters": {"prompt": "x", "callbackUrl": CALLBACK_URL},
                }
            ],
        }
    ),
    build_json_reply(
        {"result": False, "errors": [{"code": 0, "message": ECHO}], "socketaccesstoken": TOKEN}
    ),
    build_refusal(96, f"{KEY} limit {SECRET}"),
    build_refusal(0, f"Project authorization {KEY} {SECRET} is not valid.", 401),
    Reply(body=LEAKY[:-3]),
    Reply(status=502, body=b"<html>" + LEAKY),
    Reply(raw=LEAKY),
    Reply(raw=b"HTTP/1.1 200 OK\r\nX-A: b\r\n" + LEAKY + b"\r\n\r\n{}"),
    Reply(raw=b"HTTP/1.1 200 OK\r\n" + LEAKY.replace(b":", b"=") + b"\r\n\r\n{}"),
    Reply(raw=b"HTTP/1.1 xx " + LEAKY + b"\r\n\r\n{}"),
    Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + LEAKY + b"\r\n"),
    Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + LEAKY),
    Reply(raw=b"HTTP/1.1 302 x\r\nLocation: //[" + LEAKY + b"\r\nContent-Length: 0\r\n\r\n"),
    Reply(status=429, headers={"Retry-After": "900"}),
    RESET,
]
CALLS: list[Callable[[WiroClient], object]] = [
    lambda client: client.submit("a/b", {"prompt": "x"}, callback_url=CALLBACK_URL),
    lambda client: client.get_task("1"),
    lambda client: client.list_tasks(),
    lambda client: client.delete_task_files(TOKEN),
    lambda client: client.get_model("a/b"),
]


def collect_prints(
    answer: Reply, calls: list[Callable[[WiroClient], object]], caplog: pytest.LogCaptureFixture
) -> str:
    """Return all that a client prints about one answer: results, errors, tracebacks and logs."""
    printed: list[str] = []
    with ScriptedServer().running() as server, caplog.at_level(logging.DEBUG, ""):
        server.script(answer)
        for call in calls:
            client = WiroClient(
                Credentials(KEY, SECRET),
                base_url=server.base_url,
                read_attempts=2,
                sleep=lambda _: None,
            )
            printed.append(repr(client))
            try:
                result = call(client)
                printed += [repr(result), str(result)]
            except WiroError as error:
                printed += [repr(error), str(error), repr(vars(error))]
                printed += traceback.format_exception(error)
            client.close()
    return "\n".join(printed + [record.getMessage() for record in caplog.records])


@pytest.mark.parametrize("answer", ANSWERS)
def test_no_secret_is_printed_whatever_is_answered(
    answer: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """Results, errors with their whole tracebacks, reprs and debug logs are searched."""
    text = collect_prints(answer, CALLS, caplog)
    assert [secret for secret in SECRETS if secret in text] == []


def test_a_callback_url_that_is_echoed_to_its_run_is_not_printed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A refusal of the callback says so without its token."""
    text = collect_prints(build_refusal(0, CALLBACK_ECHO), CALLS[:1], caplog)
    assert "RequestRefused" in text
    assert CALLBACK_TOKEN not in text
