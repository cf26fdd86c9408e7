"""Worlds of the whole service, one by one, over HTTP: gateways, lists, keys, clocks, prices."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.support.emulator_calls import HAILUO, Caller, sign
from wiro_dagster.emulator import Emulator
from wiro_dagster.emulator.worlds.periods import PERIOD_WORLDS

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Caller:
    wiro_emulator.freeze()
    return Caller(wiro_emulator)


def run_status(caller: Caller) -> int:
    return caller.post(f"Run/{HAILUO}", {"prompt": "a fox"}).status_code


def listed(caller: Caller, **wanted: Any) -> list[str]:
    return [task["id"] for task in caller.call("Task/List", **wanted)["tasklist"]]


def price(caller: Caller) -> float:
    model = caller.call("Tool/Detail", slugowner="minimax", slugproject="hailuo-2-3")["tool"][0]
    prices = [entry["price"] for entry in json.loads(model["dynamicprice"])]
    return float(min(prices))


def gateway(status: int, billable: int) -> Callable[[Caller], None]:
    def check(caller: Caller) -> None:
        assert [run_status(caller) for _ in range(3)] == [status] * 3
        assert caller.emulator.billable_tasks() == billable
        assert caller.call("Task/List")["result"]

    return check


def answers(endpoint: str, status: int) -> Callable[[Caller], None]:
    def check(caller: Caller) -> None:
        task_id = caller.emulator.tasks()[0]["id"]
        assert caller.post(endpoint, {"taskid": task_id}).status_code == status
        others = {"Task/List", "Task/Detail"} - {endpoint}
        for other in others:
            assert caller.post(other, {"taskid": task_id}).status_code == 200

    return check


def forgets(caller: Caller) -> None:
    assert caller.refusal("Task/Detail", taskid=caller.emulator.tasks()[0]["id"])[0] == 1


def revoked(caller: Caller) -> None:
    for endpoint in ("Task/List", "Task/Detail", "Tool/List", f"Run/{HAILUO}"):
        assert caller.post(endpoint, {"prompt": "a fox"}).status_code == 401


def list_empty(caller: Caller) -> None:
    answer = caller.call("Task/List")
    assert (answer["result"], answer["total"], answer["tasklist"]) == (True, "30", [])


def list_ascending(caller: Caller) -> None:
    ids = [task["id"] for task in caller.emulator.tasks()]
    assert listed(caller, order="DESC", limit="5") == ids[:5]
    assert listed(caller, order="DESC", start="5", limit="5") == ids[5:10]


def ignores_limit(caller: Caller) -> None:
    assert len(listed(caller, limit="100")) == len(listed(caller, limit="5")) == 20


def ignores_start(caller: Caller) -> None:
    assert listed(caller, start="10", limit="10") == listed(caller, start="0", limit="10")


def total_wrong(caller: Caller) -> None:
    answer = caller.call("Task/List", limit="100")
    assert (answer["total"], len(answer["tasklist"])) == ("1", 30)


def leaves_out(caller: Caller) -> None:
    first = set(listed(caller, limit="100"))
    caller.emulator.advance(1)
    second = set(listed(caller, limit="100"))
    assert 10 < len(first) < 30
    assert first != second


def clock(seconds: float) -> Callable[[Caller], None]:
    def check(caller: Caller) -> None:
        answer = caller.post("Task/Detail", {"taskid": caller.run()})
        stated = parsedate_to_datetime(answer.headers["date"]).timestamp()
        now = int(caller.emulator.now())
        assert stated == int(answer.json()["tasklist"][0]["createtime"]) == now + seconds

    return check


def doubled(caller: Caller) -> None:
    assert price(caller) == 0.56
    task_id = caller.run()
    caller.emulator.advance(3)
    assert caller.detail(task_id)["totalcost"] == "0.560000000000"


def defaults_changed(caller: Caller) -> None:
    task = caller.detail(caller.run())
    caller.emulator.override_task(task["id"], rewrites=["inputs_with_defaults"])
    assert caller.detail(task["id"])["parameters"]["promptOptimizer"] == "false"
    model = caller.call("Tool/Detail", slugowner="minimax", slugproject="hailuo-2-3")["tool"][0]
    items = [item for group in model["parameters"] for item in group["items"]]
    assert {item["id"]: item.get("default") for item in items}["promptOptimizer"] == "false"


def renamed(caller: Caller) -> None:
    assert caller.refusal(f"Run/{HAILUO}", prompt="a fox")[0] == 1
    task = caller.detail(caller.run(model=f"{HAILUO}-v2"))
    assert task["modelslugproject"] == "hailuo-2-3-v2"


CHECKS: Mapping[str, Callable[[Caller], None]] = {
    "gateway_accepts": gateway(504, 33),
    "gateway_accepts_502": gateway(502, 33),
    "gateway_refuses": gateway(504, 30),
    "list_down": answers("Task/List", 503),
    "detail_down": answers("Task/Detail", 500),
    "detail_unauthorized": answers("Task/Detail", 401),
    "detail_forgets": forgets,
    "key_revoked": revoked,
    "list_empty": list_empty,
    "list_ascending": list_ascending,
    "list_ignores_limit": ignores_limit,
    "list_ignores_start": ignores_start,
    "list_total_wrong": total_wrong,
    "list_leaves_out": leaves_out,
    "clock_ahead": clock(3600),
    "clock_behind": clock(-3600),
    "price_doubled": doubled,
    "defaults_changed": defaults_changed,
    "models_renamed": renamed,
}


@pytest.mark.parametrize("name", PERIOD_WORLDS)
def test_the_service_is_in_a_world_for_a_while(caller: Caller, name: str) -> None:
    """Each world of the table, over HTTP; afterwards all is as before."""
    for _ in range(30):
        caller.run()
    caller.emulator.begin_world(name, seconds=60)
    assert [world["name"] for world in caller.emulator.worlds() if world.get("is_active")] == [name]
    CHECKS[name](caller)
    caller.emulator.advance(60)
    assert run_status(caller) == 200
    assert len(listed(caller, limit="100", start="10")) >= 21
    assert caller.detail(caller.run())["status"] == "task_queue"
    assert price(caller) == 0.28


def test_a_world_lasts_until_it_is_ended(caller: Caller) -> None:
    """By its name, or all of them at once; faults are cleared with the worlds."""
    for end in (
        lambda: caller.emulator.end_world("gateway_refuses"),
        caller.emulator.clear_worlds,
        caller.emulator.clear_faults,
        caller.emulator.reset,
    ):
        caller.emulator.begin_world("gateway_refuses")
        caller.emulator.advance(86_400)
        assert run_status(caller) == 504
        end()
        assert run_status(caller) == 200
    with pytest.raises(ValueError, match="no world twin"):
        caller.emulator.begin_world("twin")


def test_a_world_outlives_a_restart(caller: Caller) -> None:
    """As everything does that was scripted."""
    caller.emulator.begin_world("gateway_refuses")
    caller.emulator.set_world_rates({"list_down": 1.0})
    caller.emulator.restart()
    caller.session.close()
    assert run_status(caller) == 504
    assert caller.post("Task/List", {}).status_code == 503


def test_chance_puts_the_service_into_a_world_for_whole_periods(caller: Caller) -> None:
    """Drawn anew for each period, which is the same for all calls in it."""
    caller.emulator.set_world_rates({"list_down": 0.5})
    statuses = []
    for _ in range(20):
        seen = []
        for _ in range(3):
            seen.append(caller.post("Task/List", {}).status_code)
            caller.emulator.advance(100)
        assert len(set(seen)) == 1
        statuses.append(seen[0])
    assert set(statuses) == {200, 503}


def test_every_world_at_once_leaves_something_to_work_with(caller: Caller) -> None:
    """With each at 5 %, calls still get through, and the emulator itself never stumbles."""
    state = caller.emulator.state_path
    caller.emulator.set_every_world_rate(0.05)
    seen = []
    for _ in range(60):
        seen.append(run_status(caller))
        for endpoint in ("Task/List", "Tool/List"):
            caller.post(endpoint, {"limit": "100"})
        caller.emulator.advance(60)
    assert seen.count(200) > 20
    assert state.with_name(f"{state.name}.log").read_text() == ""


def test_a_fault_lasts_for_some_seconds(caller: Caller) -> None:
    """Task/Detail of one task answers 401 for a period, or knows no tasks."""
    one, other = caller.run(), caller.run()
    emulator = caller.emulator
    emulator.script_fault(
        "http_401", endpoint="Task/Detail", matching=one, times=None, lasts_seconds=60
    )
    assert caller.post("Task/Detail", {"taskid": one}).status_code == 401
    assert caller.post("Task/Detail", {"taskid": other}).status_code == 200
    emulator.advance(60)
    assert caller.post("Task/Detail", {"taskid": one}).status_code == 200
    emulator.script_fault("no_tasks", endpoint="Task/Detail")
    assert caller.call("Task/Detail", taskid=one)["tasklist"] == []
    emulator.script_fault("not_found", endpoint="Task/Detail")
    assert caller.refusal("Task/Detail", taskid=one)[0] == 1


class OtherKey(Caller):
    """A caller with a key of its own."""

    def __init__(self, emulator: Emulator, key: str, secret: str | None) -> None:
        super().__init__(emulator)
        self.key, self.secret = key, secret

    def headers(self) -> dict[str, str]:
        if self.secret is None:
            return {"x-api-key": self.key}
        return {
            "x-api-key": self.key,
            "x-nonce": "1",
            "x-signature": sign(self.key, self.secret, "1"),
        }


def test_a_second_key_of_the_account_sees_the_same_tasks(caller: Caller) -> None:
    """A rotation: the old key is revoked while tasks run, the new one goes on."""
    task_id = caller.run()
    caller.emulator.add_key("new-key", "new-secret")
    new = OtherKey(caller.emulator, "new-key", "new-secret")
    assert new.detail(task_id) == caller.detail(task_id)
    caller.emulator.revoke_key(caller.emulator.api_key)
    for endpoint in ("Task/Detail", "Task/List", f"Run/{HAILUO}"):
        assert caller.post(endpoint, {"taskid": task_id, "prompt": "a"}).status_code == 401
    assert listed(new) == [task_id]
    caller.emulator.restore_key(caller.emulator.api_key)
    assert listed(caller) == [task_id]
    caller.emulator.revoke_key("new-key", seconds=60)
    assert new.post("Task/List", {}).status_code == 401
    caller.emulator.advance(60)
    assert listed(new) == [task_id]
    assert "new-secret" not in json.dumps(caller.emulator.journal())


def test_a_key_of_another_account_has_other_tasks_and_its_own_balance(caller: Caller) -> None:
    """The lists are disjoint, and neither can touch the other's tasks."""
    emulator = caller.emulator
    emulator.add_key("team-key", account="team")
    team = OtherKey(emulator, "team-key", None)
    ours, theirs = caller.run(), team.run()
    assert (listed(caller), listed(team)) == ([ours], [theirs])
    for endpoint in ("Task/Detail", "Task/Kill", "Task/Cancel"):
        assert team.refusal(endpoint, taskid=ours)[0] == 1
    emulator.advance(60)
    assert emulator.balance_usd() == Decimal("999.72")
    bills = [(bill["id"], bill["account"], bill["cost_usd"]) for bill in emulator.billed()]
    assert bills == [(ours, "main", "0.28"), (theirs, "team", "0.28")]
    emulator.set_balance("0.10", account="team")
    assert team.refusal(f"Run/{HAILUO}", prompt="a fox")[0] == 97
    assert caller.run()
    with pytest.raises(ValueError, match="no other key has"):
        emulator.add_key("team-key")
    with pytest.raises(ValueError, match="key is unknown"):
        emulator.revoke_key("unknown")


def test_another_user_can_run_anything_at_any_time(caller: Caller) -> None:
    """Like a task of ours, or any model with any inputs, earlier or later."""
    emulator = caller.emulator
    ours = caller.run(callbackUrl="http://127.0.0.1:1/ours")
    same = emulator.add_foreign_task(like=ours, callback_url="https://example.org/{number}")
    old = emulator.add_foreign_task(
        model=HAILUO, inputs={"prompt": "theirs"}, age_seconds=600, worlds=["cost_null"]
    )
    assert set(listed(caller)) == {ours, same, old}
    assert caller.detail(same)["parameters"] == caller.detail(ours)["parameters"]
    assert caller.detail(same)["callbackurl"] == f"https://example.org/{same}"
    task = caller.detail(old)
    assert (task["status"], task["totalcost"]) == ("task_postprocess_end", None)
    assert int(task["createtime"]) == int(emulator.now() - 600)
    emulator.advance(60)
    assert (emulator.billable_tasks(), str(emulator.spent_usd())) == (1, "0.28")
    origins = {bill["id"]: bill["origin"] for bill in emulator.billed()}
    assert origins == {ours: "run", same: "foreign", old: "foreign"}
    assert emulator.journal(kind="callback", task_id=same) == []
    with pytest.raises(ValueError, match="task 1 does not exist"):
        emulator.add_foreign_task(like="1")
    with pytest.raises(ValueError, match="name a task"):
        emulator.add_foreign_task(model="no/model")


def test_a_model_changes_its_price_default_and_name_at_a_moment(caller: Caller) -> None:
    """Runs from before keep what they were sent under."""
    before = caller.run()
    caller.emulator.advance(1)
    caller.emulator.change_model(HAILUO, price_times=2, defaults={"duration": "10"})
    assert price(caller) == 0.56
    after = caller.run()
    caller.emulator.advance(60)
    assert caller.detail(before)["totalcost"] == "0.280000000000"
    assert Decimal(caller.detail(after)["totalcost"]) > Decimal("0.56")
    caller.emulator.change_model(HAILUO, renamed_to="minimax/hailuo-2-4")
    assert caller.refusal(f"Run/{HAILUO}", prompt="a fox")[0] == 1
    renamed = caller.run(model="minimax/hailuo-2-4")
    assert caller.detail(renamed)["modelslugproject"] == "hailuo-2-4"
    assert caller.detail(before)["modelslugproject"] == "hailuo-2-3"
    with pytest.raises(ValueError, match="does not exist"):
        caller.emulator.change_model("no/model", price_times=2)
    with pytest.raises(ValueError, match="price_times must be"):
        caller.emulator.change_model("minimax/hailuo-2-4", price_times=1e11)


def test_a_model_can_be_shown_with_any_json_values(caller: Caller) -> None:
    """In Tool/Detail, while runs are checked and billed by the truth; inputs can be added."""
    item = {"id": "watermark", "type": "select", "label": "", "default": "no"}
    item["options"] = [{"label": "", "value": "no"}, {"label": "", "value": "yes"}]
    caller.emulator.change_model(
        HAILUO, added_inputs=[item], shown={"dynamicprice": "1e11", "taskstat.runcount": None}
    )
    model = caller.call("Tool/Detail", slugowner="minimax", slugproject="hailuo-2-3")["tool"][0]
    assert (model["dynamicprice"], model["taskstat"]["runcount"]) == ("1e11", None)
    assert model["parameters"][-1]["items"] == [item]
    assert caller.refusal(f"Run/{HAILUO}", prompt="a fox", watermark="maybe")[0] == 0
    assert caller.ended(watermark="yes")["totalcost"] == "0.280000000000"


@pytest.mark.parametrize("name", ["tasktoken", "socketaccesstoken"])
def test_a_task_is_known_by_its_id_and_by_its_token(caller: Caller, name: str) -> None:
    """Detail and Kill take either."""
    answer = caller.call(f"Run/{HAILUO}", prompt="a fox")
    token = {name: answer["socketaccesstoken"]}
    assert caller.call("Task/Detail", **token)["tasklist"][0]["id"] == answer["taskid"]
    caller.emulator.advance(1)
    assert caller.call("Task/Kill", **token)["tasklist"][0]["status"] == "task_cancel"
    assert caller.detail(answer["taskid"])["status"] == "task_cancel"


def test_what_a_task_was_sent_under_stays_when_the_rates_change(caller: Caller) -> None:
    """Its price and its model are those of the moment of its Run."""
    caller.emulator.set_world_rates({"price_doubled": 1.0, "models_renamed": 1.0})
    task_id = caller.run(model=f"{HAILUO}-v2")
    caller.emulator.clear_worlds()
    caller.emulator.advance(60)
    task = caller.detail(task_id)
    assert (task["totalcost"], len(task["outputs"])) == ("0.560000000000", 1)


def test_a_cdn_moves_from_one_day_to_the_next(caller: Caller) -> None:
    """URLs shown afterwards name the second host; the first still has the files."""
    task = caller.ended()
    caller.emulator.change_settings(cdn="second", url_seconds=60)
    moved = caller.detail(task["id"])["outputs"][0]["url"]
    assert f"//{caller.emulator.second_cdn_host}/" in moved
    assert "signature=" in moved
    caller.emulator.restart()
    caller.session.close()
    assert caller.detail(task["id"])["outputs"][0]["url"] == moved
