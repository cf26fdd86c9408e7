"""The emulator as a process: state, clock, journal, control, command line, life and death."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

import wiro_dagster.emulator
from tests.support.emulator_calls import HAILUO, Caller
from wiro_dagster.emulator import EMULATOR_API_KEY, Emulator, EmulatorControl
from wiro_dagster.emulator.command import emulator_command

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Caller:
    return Caller(wiro_emulator)


def test_state_survives_a_killed_emulator(tmp_path: Path) -> None:
    """Tasks, balance, journal, clock, faults, scripts and settings are there after a SIGKILL."""
    path = tmp_path / "state.db"
    with Emulator.start(state_path=path, balance_usd="50", tiny_videos=True) as emulator:
        caller = Caller(emulator)
        paid = caller.ended()
        emulator.freeze()
        queued = caller.run()
        emulator.script_fault("http_502", endpoint="Task/List")
        emulator.change_settings(listing_delay_seconds=3)
        before = emulator.summary()
        url = emulator.base_url
        emulator.kill()
        emulator.restart()
        assert emulator.base_url == url
        assert emulator.summary() == before
        assert emulator.spent_usd() == Decimal("0.28")
        assert caller.detail(queued)["status"] == "task_queue"
        assert requests.get(paid["outputs"][0]["url"], timeout=60).status_code == 200
        assert caller.post("Task/List", {}).status_code == 502
        assert emulator.journal(endpoint="Run")[0]["task_id"] == paid["id"]
    assert path.exists()


def test_tasks_go_on_while_the_emulator_is_down(tmp_path: Path) -> None:
    """Time passes on the clock, not in the process: the bill comes with the restart."""
    with Emulator.start(state_path=tmp_path / "state.db", task_seconds=0.2) as emulator:
        task_id = Caller(emulator).run()
        emulator.kill()
        time.sleep(0.3)
        emulator.restart()
        assert Caller(emulator).detail(task_id)["status"] == "task_postprocess_end"
        assert emulator.spent_usd() == Decimal("0.28")


def test_a_temporary_state_goes_with_the_emulator() -> None:
    """Nothing is left behind by a test."""
    with Emulator.start() as emulator:
        path = emulator.state_path
        assert path.exists()
    assert not path.parent.exists()
    assert emulator.process.poll() is not None


def test_a_state_of_another_schema_is_refused(tmp_path: Path) -> None:
    """With a text that says what to do."""
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute("INSERT INTO kept VALUES ('schema_version', '999')")
    with pytest.raises(RuntimeError, match="choose another --state path"):
        Emulator.start(state_path=path)


def test_a_port_in_use_is_told(caller: Caller, tmp_path: Path) -> None:
    """The error carries the last words of the process."""
    port = int(caller.emulator.base_url.split(":")[2].split("/")[0])
    with pytest.raises(RuntimeError, match=r"did not start: .*in use"):
        Emulator.start(port=port, state_path=tmp_path / "state.db")


_STARTER = """
import sys, time
from wiro_dagster.emulator import Emulator
emulator = Emulator.start(keep=sys.argv[1] == "keep")
print(emulator.process.pid, emulator.state_path, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().split(") ")[1][0] != "Z"


@pytest.mark.parametrize(("policy", "lives_on"), [("end", False), ("keep", True)])
def test_the_emulator_ends_with_whoever_started_it(policy: str, lives_on: bool) -> None:
    """However that one dies, a temporary state included, unless it was told to keep it."""
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER, policy], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    pid_text, _, state_path = starter.stdout.readline().strip().partition(" ")
    pid, folder = int(pid_text), Path(state_path).parent
    starter.kill()
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + (1.5 if lives_on else 60)
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_alive(pid) == lives_on
    assert folder.exists() == lives_on
    if lives_on:
        os.kill(pid, signal.SIGTERM)
        shutil.rmtree(folder)


def test_the_clock_stands_moves_and_runs(caller: Caller) -> None:
    """It goes forward only, and from wall time on."""
    emulator = caller.emulator
    assert emulator.now() == pytest.approx(time.time(), abs=20)
    frozen = emulator.freeze()
    time.sleep(0.05)
    assert emulator.now() == frozen
    assert emulator.advance(100) == frozen + 100
    emulator.resume()
    time.sleep(0.05)
    assert frozen + 100 < emulator.now() < frozen + 110
    with pytest.raises(ValueError, match="forward"):
        emulator.advance(-1)


def test_the_journal_has_every_call_and_no_secret(tmp_path: Path) -> None:
    """Keys, signatures, nonces, tokens and callback paths are redacted, in the file as well."""
    key, secret = "recognisable-key", "recognisable-secret"
    path = tmp_path / "state.db"
    with Emulator.start(api_key=key, api_secret=secret, state_path=path) as emulator:
        caller = Caller(emulator)
        callback = "https://example.org/hook/recognisable-token"
        prompt = f"a fox {secret}"
        run = caller.call(f"Run/{HAILUO}", prompt=prompt, callbackUrl=callback)
        token = run["socketaccesstoken"]
        caller.call("Task/Detail", tasktoken=token)
        caller.call("Task/InputOutputDelete", tasktoken=token)
        journal = emulator.journal()
        assert [line["endpoint"] for line in journal] == [
            f"Run/{HAILUO}",
            "Task/Detail",
            "Task/InputOutputDelete",
        ]
        assert journal[0]["request"]["callbackUrl"] == "https://example.org/[redacted]"
        assert journal[0]["request"]["prompt"] == "a fox [redacted]"
        assert journal[0]["answer"]["taskid"] == run["taskid"]
        assert emulator.tasks()[0]["callbackurl"] == callback
        text = json.dumps(journal)
        for kept_from_it in (key, secret, token, "recognisable"):
            assert kept_from_it not in text
        assert secret not in repr(emulator)
        command_line = Path(f"/proc/{emulator.process.pid}/cmdline")
        if command_line.exists():
            assert b"recognisable" not in command_line.read_bytes()


def test_the_journal_is_read_in_parts(caller: Caller) -> None:
    """By kind, endpoint, task and number."""
    first, second = caller.run(), caller.run()
    caller.detail(second)
    emulator = caller.emulator
    assert [line["task_id"] for line in emulator.journal(endpoint="Run")] == [first, second]
    assert len(emulator.journal(task_id=second)) == 2
    last = emulator.journal()[-1]["number"]
    assert emulator.journal(after=last) == []
    assert emulator.journal(kind="download") == []


def test_control_can_be_taken_by_anyone_who_knows_the_address(caller: Caller) -> None:
    """An emulator started by hand is steered the same way."""
    caller.run()
    control = EmulatorControl(caller.emulator.start_page_url)
    assert control.billable_tasks() == 1
    assert control.tasks()[0]["model"] == HAILUO
    control.reset()
    assert caller.emulator.tasks() == []


def test_a_web_page_cannot_steer_the_emulator(caller: Caller) -> None:
    """A form of another site sends no JSON content type without asking first."""
    url = f"{caller.emulator.start_page_url}_emulator/balance"
    answer = requests.post(url, data='{"balance_usd": "0"}', timeout=60)
    assert answer.status_code == 415
    assert caller.emulator.balance_usd() == 1000


def test_reset_leaves_nothing_but_the_task_numbers(caller: Caller) -> None:
    """Ids never come twice, so that a late reader cannot mistake one task for another."""
    emulator = caller.emulator
    emulator.change_settings(dialect="alternate")
    emulator.set_balance("3")
    emulator.set_every_fault_rate(0.0)
    emulator.script_task(outcome="fail")
    old = caller.run()
    emulator.reset()
    assert emulator.tasks() == emulator.journal() == []
    assert emulator.balance_usd() == 1000
    assert emulator.faults()["scripted"] == emulator.faults()["task_scripts"] == []
    assert int(caller.run()) > int(old)
    assert caller.ended()["pexit"] == "0"


def test_settings_change_while_it_runs(caller: Caller) -> None:
    """Only those that may, and only to what makes sense."""
    assert caller.emulator.change_settings(task_seconds=0)["task_seconds"] == 0
    assert caller.detail(caller.run())["pexit"] == "0"
    for wrong in ({"api_key": "x"}, {"task_seconds": "soon"}, {"dialect": "klingon"}):
        with pytest.raises(ValueError, match=r"cannot be changed|must be"):
            caller.emulator.change_settings(**wrong)


def test_users_add_models_of_their_own(tmp_path: Path) -> None:
    """From a JSON file, checked when the emulator starts."""
    models = tmp_path / "models.json"
    entry = {
        "slug": "mine/still",
        "parameters": None,
        "dynamicprice": [{"inputs": {}, "price": 0.5, "priceMethod": "cpr"}],
        "output": {"kind": "image", "text": "prompt", "size": {"default": "64x48"}},
    }
    models.write_text(json.dumps([entry]))
    with Emulator.start(options=["--models", str(models)]) as emulator:
        task = Caller(emulator).ended(model="mine/still")
        assert task["totalcost"] == "0.500000000000"
        assert requests.get(task["outputs"][0]["url"], timeout=60).content.startswith(b"\x89PNG")
    models.write_text('[{"slug": "nothing"}]')
    with pytest.raises(RuntimeError, match="owner/project"):
        Emulator.start(options=["--models", str(models)])


def test_the_start_page_says_what_it_is_and_needs_no_network(caller: Caller) -> None:
    """One page, without a reference to any other host."""
    page = requests.get(caller.emulator.start_page_url, timeout=60)
    assert page.status_code == 200
    assert "stand-in for the Wiro API" in page.text
    assert "https://" not in page.text
    assert 'src="' not in page.text


_FREE_PORTS = ["--port", "0", "--files-port", "0"]


def test_the_command_line_explains_itself() -> None:
    """Help without a running server, and wrong values refused by name."""
    runner = CliRunner()
    helped = runner.invoke(emulator_command, ["--help"])
    assert helped.exit_code == 0
    assert "--task-seconds" in helped.output
    assert EMULATOR_API_KEY in helped.output
    for wrong in (["--balance", "lots"], ["--fault-rate", "drop_after"]):
        assert runner.invoke(emulator_command, wrong).exit_code == 2
    unknown = runner.invoke(emulator_command, [*_FREE_PORTS, "--fault-rate", "nonsense=0.5"])
    assert unknown.exit_code == 1
    assert "unknown fault nonsense" in unknown.output


def test_a_state_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    """Its tasks are of the main account, and nobody's twin."""
    path = tmp_path / "state.db"
    with Emulator.start(state_path=path) as emulator:
        task_id = Caller(emulator).run()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP INDEX tasks_listed")
        for table, name in (("tasks", "edition"), ("tasks", "account"), ("tasks", "origin")):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
        connection.execute("ALTER TABLE faults DROP COLUMN ends_at")
    with Emulator.start(state_path=path) as emulator:
        assert Caller(emulator).detail(task_id)["id"] == task_id
        (task,) = emulator.tasks()
        assert (task["account"], task["origin"]) == ("main", "run")


def test_the_examples_in_the_readme_run(emulator: Emulator) -> None:
    """As they stand there; the later ones have an emulator and a task."""
    readme = Path(wiro_dagster.emulator.__file__).with_name("README.md").read_text("utf-8")
    first, *others = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    subprocess.run([sys.executable, "-c", first], check=True, timeout=60)
    for example in others:
        emulator.reset()
        exec(example, {"emulator": emulator, "task_id": Caller(emulator).run()})


def test_importing_the_emulator_loads_no_server() -> None:
    """Nor PyAV, nor Pillow: those belong to its own process."""
    code = (
        "import sys, wiro_dagster.emulator, wiro_dagster.emulator.command;"
        "print({'starlette', 'uvicorn', 'av', 'PIL', 'websockets'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_a_port_in_use_is_one_sentence() -> None:
    """The command names the options that choose others."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        shown = CliRunner().invoke(emulator_command, ["--port", port, "--files-port", "0"])
    assert shown.exit_code == 1
    assert f"Port {port} or 0 is in use" in shown.output
