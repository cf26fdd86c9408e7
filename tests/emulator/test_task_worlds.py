"""Worlds of single tasks, one by one, over HTTP: by script, by marker, and by chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
import requests

from tests.support.emulator_calls import HAILUO, Caller
from wiro_dagster.emulator import Emulator
from wiro_dagster.emulator.worlds.tasks import TASK_WORLDS, marker_of

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]

PROMPT = "Tom & Jerry run through a very long street"
CALLBACK = "http://127.0.0.1:1/hook?order=1&token=abcdef"
PRICE = "0.280000000000"


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Caller:
    wiro_emulator.freeze()
    return Caller(wiro_emulator)


class World:
    """One task in a world, its clock, and what the calls say of it."""

    def __init__(self, caller: Caller, name: str, **inputs: Any) -> None:
        self.caller, self.emulator = caller, caller.emulator
        self.emulator.script_task(worlds=[name])
        self.id = caller.run(PROMPT, callbackUrl=CALLBACK, **inputs)

    @property
    def detail(self) -> dict[str, Any]:
        return self.caller.detail(self.id)

    @property
    def listed(self) -> dict[str, Any]:
        tasks = self.caller.call("Task/List", limit="100")["tasklist"]
        entry: dict[str, Any] = next(task for task in tasks if task["id"] == self.id)
        return entry

    def ended(self, later: float = 0.0) -> World:
        self.emulator.advance(3 + later)
        return self

    def until(self, field: str, value: Any, then: Any, seconds: float) -> None:
        """A field has one value from the end on, and another after some seconds."""
        self.emulator.advance(2)
        assert self.detail["status"] == "task_postprocess_end"
        assert (self.detail[field], self.listed[field]) == (value, value)
        self.emulator.advance(seconds - 1)
        assert self.detail[field] == value
        self.emulator.advance(1)
        assert (self.detail[field], self.listed[field]) == (then, then)

    @property
    def spent(self) -> str:
        return str(self.emulator.spent_usd())


def late_outputs(world: World) -> None:
    world.ended()
    assert (world.detail["pexit"], world.detail["outputs"]) == ("0", [])
    assert world.detail["totalcost"] == PRICE
    world.emulator.advance(20)
    assert len(world.detail["outputs"]) == len(world.listed["outputs"]) == 1


def never_outputs(world: World) -> None:
    world.ended(later=86_400)
    assert (world.detail["pexit"], world.detail["outputs"]) == ("0", [])
    assert world.spent == "0.28"


def late_cost(world: World) -> None:
    world.until("totalcost", "0", PRICE, 20)
    assert len(world.detail["outputs"]) == 1


def late_exit_code(world: World) -> None:
    world.until("pexit", "", "0", 20)


def never(field: str, value: Any) -> Callable[[World], None]:
    def check(world: World) -> None:
        world.ended(later=86_400)
        assert world.detail.get(field, "missing") == value
        assert world.detail["status"] == "task_postprocess_end"
        assert world.spent == "0.28"

    return check


def first(status: str, exit_code: str) -> Callable[[World], None]:
    def check(world: World) -> None:
        world.ended()
        task = world.detail
        assert (task["status"], task["pexit"], task["totalcost"]) == (status, exit_code, "0")
        assert task["outputs"] == []
        task = world.ended(later=10).detail
        assert (task["status"], task["pexit"]) == ("task_postprocess_end", "0")
        assert (task["totalcost"], len(task["outputs"])) == (PRICE, 1)

    return check


def failed_later(world: World) -> None:
    task = world.ended().detail
    assert (task["pexit"], task["totalcost"], len(task["outputs"])) == ("0", PRICE, 1)
    task = world.ended(later=20).detail
    assert (task["pexit"], task["totalcost"], task["outputs"]) == ("1", "0", [])
    assert world.spent == "0"


def failed_with_cost(world: World) -> None:
    task = world.ended().detail
    assert (task["pexit"], task["totalcost"], task["outputs"]) == ("1", PRICE, [])
    assert world.spent == "0.28"


def cancelled_with_cost(world: World) -> None:
    task = world.ended().detail
    assert (task["status"], task["pexit"]) == ("task_cancel", "0")
    assert (task["totalcost"], len(task["outputs"])) == (PRICE, 1)


def above_price(world: World) -> None:
    assert world.ended().detail["totalcost"] == "0.560000000000"
    assert world.spent == "0.56"


def changes(world: World) -> None:
    world.until("totalcost", PRICE, "0.560000000000", 60)
    assert world.spent == "0.56"


def inputs(expected: Any) -> Callable[[World], None]:
    def check(world: World) -> None:
        shown = world.listed["parameters"]
        assert (shown and shown["prompt"]) == expected
        assert world.detail["parameters"]["prompt"] == PROMPT

    return check


def with_defaults(world: World) -> None:
    assert "resolution" not in world.detail["parameters"]
    assert world.listed["parameters"]["resolution"] == "768P"


def rehosted(world: World) -> None:
    assert world.listed["parameters"]["inputImageFirstUrl"].startswith("https://api.wiro.ai/v1/")
    assert world.detail["parameters"]["inputImageFirstUrl"] == "https://example.com/a.jpg"


def newer_slug(world: World) -> None:
    assert world.listed["modelslugproject"] == "hailuo-2-3-v2"
    assert world.detail["modelslugproject"] == "hailuo-2-3"


def callback(listed: Any, detail: Any = CALLBACK) -> Callable[[World], None]:
    def check(world: World) -> None:
        assert world.listed.get("callbackurl", "missing") == listed
        assert world.detail.get("callbackurl", "missing") == detail

    return check


def behind(world: World) -> None:
    world.ended()
    assert world.detail["status"] == "task_postprocess_end"
    assert world.listed["status"] == "task_queue"
    assert world.ended(later=30).listed["status"] == "task_postprocess_end"


def listed_late(world: World) -> None:
    assert world.caller.call("Task/List")["tasklist"] == []
    assert world.detail
    world.emulator.advance(300)
    assert world.listed


def listed_never(world: World) -> None:
    world.emulator.advance(86_400)
    assert world.caller.call("Task/List")["tasklist"] == []
    assert world.detail


def forgotten(world: World) -> None:
    assert world.detail
    world.emulator.advance(2)
    assert world.caller.refusal("Task/Detail", taskid=world.id)[0] == 1
    world.emulator.advance(60)
    assert world.detail["pexit"] == "0"


def forgotten_empty(world: World) -> None:
    world.emulator.advance(2)
    answer = world.caller.call("Task/Detail", taskid=world.id)
    assert (answer["result"], answer["tasklist"]) == (True, [])
    world.emulator.advance(60)
    assert world.detail["pexit"] == "0"


def in_queue(world: World) -> None:
    world.emulator.advance(86_400)
    assert world.detail["status"] == "task_queue"


def unknown_end(world: World) -> None:
    assert world.ended().detail["status"] == "task_archived"
    assert world.ended(later=60).detail["status"] == "task_postprocess_end"


def kill_refused(world: World) -> None:
    assert world.caller.refusal("Task/Cancel", taskid=world.id)[0] == 1
    world.emulator.advance(1)
    assert world.caller.refusal("Task/Kill", taskid=world.id)[0] == 1
    assert world.ended().detail["pexit"] == "0"


def times(low: float, high: float) -> Callable[[World], None]:
    def check(world: World) -> None:
        now, task = world.emulator.now(), world.ended().detail
        for name in ("createtime", "starttime", "postprocessendtime"):
            assert low <= int(task[name]) / now <= high
        assert task["canceltime"] == "0"

    return check


def no_times(world: World) -> None:
    task = world.ended().detail
    assert not {"createtime", "starttime", "endtime", "canceltime"} & set(task)


def twin(world: World) -> None:
    ours, other = world.emulator.tasks()
    assert (ours["origin"], other["origin"]) == ("run", "twin")
    for name in ("parameters", "callbackurl", "model", "created_at", "account"):
        assert ours[name] == other[name]
    assert world.emulator.tasks_by_callback() == {CALLBACK: [ours["id"], other["id"]]}
    world.ended()
    assert world.emulator.billable_tasks() == 2
    assert world.spent == "0.56"


def foreign(callback_url: str | None) -> Callable[[World], None]:
    def check(world: World) -> None:
        ours, other = world.emulator.tasks()
        assert (other["origin"], other["parameters"]) == ("foreign", ours["parameters"])
        assert other["callbackurl"] == (callback_url and callback_url + other["id"])
        assert len(world.caller.call("Task/List")["tasklist"]) == 2
        world.ended()
        assert (world.emulator.billable_tasks(), world.spent) == (1, "0.28")
        assert world.emulator.balance_usd() == Decimal("999.44")

    return check


def fetch(url: str) -> requests.Response:
    return requests.get(url, timeout=60)


def signed(world: World) -> None:
    old = world.ended().detail["outputs"][0]["url"]
    assert fetch(old).status_code == 200
    assert fetch(old.split("?")[0]).status_code == 403
    assert fetch(old.replace("expires=", "expires=9")).status_code == 403
    world.emulator.advance(60)
    assert fetch(old).status_code == 403
    assert fetch(world.detail["outputs"][0]["url"]).status_code == 200


def vanish(world: World) -> None:
    url = world.ended().detail["outputs"][0]["url"]
    assert fetch(url).status_code == 200
    world.emulator.advance(120)
    assert fetch(url).status_code == 404


def second_cdn(world: World) -> None:
    url = world.ended().detail["outputs"][0]["url"]
    assert f"//{world.emulator.second_cdn_host}/" in url
    assert world.emulator.second_cdn_host != world.emulator.cdn_host
    assert fetch(url).status_code == 200


def size(announced: Callable[[int], int]) -> Callable[[World], None]:
    def check(world: World) -> None:
        output = world.ended().detail["outputs"][0]
        assert int(output["size"]) == announced(len(fetch(output["url"]).content))

    return check


def wrong_type(world: World) -> None:
    output = world.ended().detail["outputs"][0]
    assert output["contenttype"] == "application/octet-stream"
    for _ in range(2):
        assert fetch(output["url"]).headers["content-type"] == "application/octet-stream"


def zero_length(world: World) -> None:
    answer = fetch(world.ended().detail["outputs"][0]["url"])
    assert (answer.headers["content-length"], answer.content) == ("0", b"")


CHECKS: Mapping[str, Callable[[World], None]] = {
    "late_outputs": late_outputs,
    "late_cost": late_cost,
    "late_exit_code": late_exit_code,
    "outputs_never": never_outputs,
    "cost_never": never("totalcost", "0"),
    "exit_code_never": never("pexit", ""),
    "failed_first": first("task_postprocess_end", "1"),
    "cancelled_first": first("task_cancel", ""),
    "failed_later": failed_later,
    "failed_with_cost": failed_with_cost,
    "cancelled_with_cost": cancelled_with_cost,
    "cost_null": never("totalcost", None),
    "cost_missing": never("totalcost", "missing"),
    "cost_negative": never("totalcost", "-0.28"),
    "cost_huge": never("totalcost", "99999999999"),
    "cost_text": never("totalcost", "n/a"),
    "cost_above_price": above_price,
    "cost_changes": changes,
    "list_inputs_null": inputs(None),
    "list_inputs_cut": inputs("Tom & Jerry run thro"),
    "list_inputs_escaped": inputs(PROMPT.replace("&", "&amp;")),
    "list_inputs_upper_case": inputs(PROMPT.upper()),
    "list_inputs_with_defaults": with_defaults,
    "list_inputs_rehosted": rehosted,
    "list_slug_newer": newer_slug,
    "list_callback_missing": callback("missing"),
    "list_callback_null": callback(None),
    "list_callback_cut": callback(CALLBACK[:20]),
    "list_callback_escaped": callback(CALLBACK.replace("&", "&amp;")),
    "callback_missing": callback("missing", "missing"),
    "list_behind": behind,
    "listed_late": listed_late,
    "listed_never": listed_never,
    "forgotten": forgotten,
    "forgotten_empty": forgotten_empty,
    "stuck_in_queue": in_queue,
    "unknown_end": unknown_end,
    "kill_refused": kill_refused,
    "times_in_milliseconds": times(999, 1001),
    "times_far_future": times(1.5, 3),
    "times_negative": times(-1.01, -0.99),
    "times_missing": no_times,
    "twin": twin,
    "foreign": foreign(None),
    "foreign_with_callback": foreign("https://studio.example.org/hooks/render?job="),
    "signed_urls": signed,
    "files_vanish": vanish,
    "second_cdn": second_cdn,
    "size_wrong": size(lambda size_bytes: size_bytes + 1000),
    "size_zero": size(lambda _size_bytes: 0),
    "type_wrong": wrong_type,
    "length_zero": zero_length,
}
MORE_INPUTS = {"list_inputs_rehosted": {"inputImageFirstUrl": "https://example.com/a.jpg"}}


@pytest.mark.parametrize("name", TASK_WORLDS)
def test_a_task_is_in_the_world_that_its_script_names(caller: Caller, name: str) -> None:
    """Each world of the table, over HTTP."""
    CHECKS[name](World(caller, name, **MORE_INPUTS.get(name, {})))


@pytest.mark.parametrize("dialect", ["documents", "alternate"])
def test_every_world_works_in_both_dialects(caller: Caller, dialect: str) -> None:
    """Where numbers are numbers and inputs are JSON text, too."""
    caller.emulator.change_settings(dialect=dialect)
    for name in TASK_WORLDS:
        caller.emulator.script_task(worlds=[name])
        caller.run(callbackUrl=CALLBACK)
    for _ in range(2):
        caller.emulator.advance(3)
        assert caller.call("Task/List", limit="100")["result"]


def test_a_world_has_its_own_seconds(caller: Caller) -> None:
    """And several worlds of one task add up."""
    caller.emulator.script_task(worlds={"late_cost": 5, "late_outputs": 10, "twin": None})
    task_id = caller.run()
    seen = []
    for seconds in (2, 5, 5):
        caller.emulator.advance(seconds)
        task = caller.detail(task_id)
        seen.append((float(task["totalcost"]), len(task["outputs"])))
    assert seen == [(0.0, 0), (0.28, 0), (0.28, 1)]
    assert caller.emulator.billed()[0]["worlds"] == ["late_cost", "late_outputs", "twin"]


def test_a_task_can_be_put_into_a_world_later(caller: Caller) -> None:
    """Its earlier worlds stay."""
    caller.emulator.script_task(worlds=["cost_null"])
    task_id = caller.run()
    caller.emulator.set_task(task_id, worlds=["list_callback_null"])
    caller.emulator.advance(3)
    assert caller.detail(task_id)["totalcost"] is None
    assert caller.call("Task/List")["tasklist"][0]["callbackurl"] is None


def test_an_odd_cost_can_become_right(caller: Caller) -> None:
    """For ever without seconds, and for so many with them."""
    caller.emulator.script_task(worlds={"cost_negative": 20})
    task_id = caller.run()
    caller.emulator.advance(2)
    assert caller.detail(task_id)["totalcost"] == "-0.28"
    caller.emulator.advance(20)
    assert caller.detail(task_id)["totalcost"] == PRICE


@pytest.mark.parametrize(
    ("worlds", "message"),
    [
        (["nonsense"], "no world nonsense"),
        ({"twin": 5}, "no seconds to choose"),
        ("late_cost", "must be a list"),
        (["gateway_accepts"], "no world gateway_accepts"),
    ],
)
def test_a_world_that_a_task_cannot_have_is_refused(
    caller: Caller, worlds: Any, message: str
) -> None:
    """With a text that says which it can."""
    with pytest.raises(ValueError, match=message):
        caller.emulator.script_task(worlds=worlds)


def test_a_word_in_the_prompt_names_a_world(caller: Caller) -> None:
    """For people who try things by hand."""
    caller.emulator.change_settings(prompt_markers=True)
    for world in TASK_WORLDS.values():
        caller.run(f"a fox {marker_of(world)}")
        worlds = [task["script"].get("worlds") for task in caller.emulator.tasks()]
        assert [world.name] in worlds


def test_chance_draws_a_world_for_each_task(caller: Caller) -> None:
    """At its rate, the same ones for the same seed and task; cleared with the faults."""
    caller.emulator.set_world_rates({"cost_null": 0.3, "list_inputs_null": 1.0})
    for number in range(40):
        caller.run(str(number))
    caller.emulator.advance(60)
    costs = [caller.detail(task["id"])["totalcost"] for task in caller.emulator.tasks()]
    assert 3 < costs.count(None) < 25
    listed = caller.call("Task/List", limit="100")["tasklist"]
    assert all(task["parameters"] is None for task in listed)
    caller.emulator.clear_faults()
    assert caller.detail(caller.run())["parameters"]
    with pytest.raises(ValueError, match="from 0 to 1"):
        caller.emulator.set_world_rates({"late_cost": 5})
    with pytest.raises(ValueError, match="unknown world"):
        caller.emulator.set_world_rates({"nonsense": 0.5})


def test_an_emulator_can_begin_with_worlds() -> None:
    """The same seed repeats them."""
    runs = []
    for seed in (7, 7, 8):
        with Emulator.start(seed=seed, worlds={"twin": 0.5}, task_seconds=0) as emulator:
            caller = Caller(emulator)
            for _ in range(12):
                caller.run()
            runs.append([task["origin"] for task in emulator.tasks()])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert "twin" in runs[0]


def test_every_world_together_leaves_the_books_right(caller: Caller) -> None:
    """Whatever is shown, every task is billed once, at what the account was charged."""
    caller.emulator.set_world_rates(dict.fromkeys(TASK_WORLDS, 0.05))
    for number in range(60):
        caller.run(str(number), HAILUO)
    caller.emulator.advance(3600)
    bills = sum((Decimal(bill["cost_usd"]) for bill in caller.emulator.billed()), Decimal(0))
    assert caller.emulator.balance_usd() == 1000 - bills
    ours = [bill for bill in caller.emulator.billed() if bill["origin"] != "foreign"]
    assert caller.emulator.spent_usd() == sum(Decimal(bill["cost_usd"]) for bill in ours)
