"""What becomes of a task in the emulator: its ladder, its end, its bill, the account's limits."""

from __future__ import annotations

import io
import wave
from decimal import Decimal
from typing import Any

import pytest

from tests.contract.tasks import LADDER
from tests.support.emulator_calls import HAILUO, Caller
from wiro_dagster.emulator import Emulator

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Caller:
    return Caller(wiro_emulator)


def statuses(caller: Caller, task_id: str, step: float = 0.02, steps: int = 150) -> list[str]:
    """Every status that the task comes to while a frozen clock moves in steps."""
    seen: list[str] = []
    for _ in range(steps):
        status = caller.detail(task_id)["status"]
        if not seen or seen[-1] != status:
            seen.append(status)
        caller.emulator.advance(step)
    return seen


def test_a_task_climbs_the_whole_ladder(caller: Caller) -> None:
    """All eleven statuses come in order, and nothing happens while the clock stands."""
    caller.emulator.freeze()
    assert statuses(caller, caller.run(), steps=105) == list(LADDER)


def test_an_unended_task_has_no_exit_code_cost_or_outputs(caller: Caller) -> None:
    """`pexit` stays empty until the end, `task_end` included."""
    caller.emulator.freeze()
    task_id = caller.run()
    caller.emulator.advance(1.8)
    task = caller.detail(task_id)
    assert (task["status"], task["pexit"], task["totalcost"], task["outputs"]) == (
        "task_end",
        "",
        "0",
        [],
    )


def test_markers_can_be_for_the_first_run_of_a_text_only(caller: Caller) -> None:
    """As output moderation is: the same prompt may pass the next time."""
    first = caller.ended("a fox [moderated-output] [once]")
    assert (first["pexit"], "generated video" in first["debugerror"]) == ("1", True)
    assert caller.ended("a fox [moderated-output] [once]")["pexit"] == "0"
    assert caller.ended("another fox [moderated-output] [once]")["pexit"] == "1"


def test_a_failed_task_costs_nothing_and_says_why(caller: Caller) -> None:
    """`pexit` other than "0", the reason in `debugerror`, cost "0"."""
    caller.emulator.script_task(outcome="fail", reason="No face was found.")
    task = caller.ended()
    assert (task["status"], task["pexit"], task["totalcost"]) == ("task_postprocess_end", "1", "0")
    assert task["debugerror"] == "No face was found."
    assert caller.emulator.spent_usd() == 0
    assert caller.emulator.billable_tasks() == 1


def test_a_success_may_have_no_outputs(caller: Caller) -> None:
    """`pexit` "0", no files, and billed all the same."""
    caller.emulator.script_task(outcome="no_outputs")
    task = caller.ended()
    assert (task["pexit"], task["outputs"], task["totalcost"]) == ("0", [], "0.280000000000")


def test_a_cancelled_task_may_have_exit_code_zero_outputs_and_a_cost(caller: Caller) -> None:
    """As the official examples show it: the status decides, and the cost is real."""
    caller.emulator.script_task(outcome="cancelled_with_cost")
    task = caller.ended()
    assert (task["status"], task["pexit"]) == ("task_cancel", "0")
    assert len(task["outputs"]) == 1
    assert caller.emulator.spent_usd() == Decimal("0.28")


def test_a_kill_may_lose_the_race_to_completion(caller: Caller) -> None:
    """The kill is accepted, and the task ends as completed and billed."""
    caller.emulator.script_task(kill="loses")
    caller.emulator.freeze()
    task_id = caller.run()
    caller.emulator.advance(1)
    assert caller.call("Task/Kill", taskid=task_id)["result"]
    caller.emulator.advance(5)
    assert caller.detail(task_id)["status"] == "task_postprocess_end"
    assert caller.emulator.spent_usd() == Decimal("0.28")


def test_a_kill_may_take_its_time_and_may_be_billed(caller: Caller) -> None:
    """Until it works the task runs on; a billed kill leaves outputs and a cost."""
    caller.emulator.script_task(kill="bills", kill_seconds=0.5)
    caller.emulator.freeze()
    task_id = caller.run()
    caller.emulator.advance(1)
    killed = caller.call("Task/Kill", taskid=task_id)["tasklist"][0]
    assert killed["status"] == "task_output"
    caller.emulator.advance(0.5)
    task = caller.detail(task_id)
    assert (task["status"], task["pexit"], task["totalcost"]) == (
        "task_cancel",
        "0",
        "0.280000000000",
    )


@pytest.mark.parametrize("kill", ["stops", "loses"])
def test_a_stuck_task_never_ends_until_it_is_killed(caller: Caller, kill: str) -> None:
    """It stays where the script says; there is no end that the kill could lose the race to."""
    caller.emulator.script_task(outcome="stuck", stuck_at="task_output", kill=kill)
    task_id = caller.run()
    caller.emulator.advance(86_400)
    assert caller.detail(task_id)["status"] == "task_output"
    assert caller.call("Task/Kill", taskid=task_id)["tasklist"][0]["status"] == "task_cancel"


def test_a_task_error_can_stay_until_it_is_cancelled(caller: Caller) -> None:
    """The reason is told, the task counts as live, and Cancel takes it out of the queue."""
    caller.emulator.script_task(outcome="task_error", reason="No worker has the weights.")
    task_id = caller.run()
    caller.emulator.advance(86_400)
    task = caller.detail(task_id)
    assert (task["status"], task["pexit"]) == ("task_error", "")
    assert task["debugerror"] == "No worker has the weights."
    assert caller.emulator.summary()["live_tasks"] == 1
    assert caller.refusal("Task/Kill", taskid=task_id)[0] == 1
    assert caller.call("Task/Cancel", taskid=task_id)["tasklist"][0]["status"] == "task_cancel"


def test_a_task_error_can_recover(caller: Caller) -> None:
    """It goes back into the queue and succeeds; only then is anything billed."""
    caller.emulator.script_task(outcome="task_error_recovers")
    caller.emulator.freeze()
    task_id = caller.run()
    seen = statuses(caller, task_id, steps=160)
    assert seen[:5] == ["task_queue", "task_accept", "task_error", "task_queue", "task_accept"]
    assert seen[-1] == "task_postprocess_end"
    assert caller.detail(task_id)["pexit"] == "0"


def test_unknown_statuses_and_skipped_phases_come_in_between(caller: Caller) -> None:
    """A status that no document lists shows up; others never do."""
    skipped = ["task_accept", "task_preprocess_start", "task_end"]
    caller.emulator.script_task(unknown_status="task_upscale", skip=skipped)
    caller.emulator.freeze()
    seen = statuses(caller, caller.run(), steps=105)
    assert "task_upscale" in seen
    assert not set(seen) & set(skipped)
    assert seen[-1] == "task_postprocess_end"


def test_queue_time_is_not_run_time(caller: Caller) -> None:
    """A long queue changes neither the elapsed seconds nor the cost."""
    caller.emulator.script_task(queue_seconds=600)
    caller.emulator.freeze()
    task_id = caller.run()
    caller.emulator.advance(599)
    assert caller.detail(task_id)["status"] == "task_queue"
    caller.emulator.advance(10)
    task = caller.detail(task_id)
    assert task["elapsedseconds"] == "1.2000"
    assert int(task["assigntime"]) - int(task["createtime"]) == pytest.approx(600, abs=1)


def test_a_task_may_have_several_outputs_even_of_one_name(caller: Caller) -> None:
    """Each has a URL of its own."""
    caller.emulator.script_task(outputs=3, same_names=True)
    outputs = caller.ended()["outputs"]
    assert [output["name"] for output in outputs] == ["0.mp4"] * 3
    assert len({output["url"] for output in outputs}) == 3


def test_a_script_goes_to_the_runs_that_it_matches(caller: Caller) -> None:
    """Twice for foxes, never for cats."""
    caller.emulator.script_task(outcome="fail", matching="fox", times=2)
    exits = [caller.ended(prompt)["pexit"] for prompt in ("a cat", "a fox", "a fox", "a fox")]
    assert exits == ["0", "1", "1", "0"]


@pytest.mark.parametrize(
    ("prompt", "status", "exit_code"),
    [
        ("a fox [fail]", "task_postprocess_end", "1"),
        ("a fox [Stuck]", "task_start", ""),
        ("a fox [cancelled]", "task_cancel", "0"),
        ("a fox [pan left]", "task_postprocess_end", "0"),
    ],
)
def test_a_marker_in_the_prompt_says_what_happens(
    caller: Caller, prompt: str, status: str, exit_code: str
) -> None:
    """Written in brackets, in any case; the models' own camera words mean nothing here."""
    task = caller.ended(prompt)
    assert (task["status"], task["pexit"]) == (status, exit_code)


def test_markers_can_be_switched_off(caller: Caller) -> None:
    """Then a prompt is nothing but a prompt."""
    caller.emulator.change_settings(prompt_markers=False)
    assert caller.ended("a fox [fail]")["pexit"] == "0"


def test_a_task_can_be_changed_while_it_runs(caller: Caller) -> None:
    """Its script counts from its Run; a status can be forced; an ended course is fixed."""
    emulator = caller.emulator
    task_id = caller.run()
    emulator.set_task(task_id, outcome="fail", run_seconds=100)
    emulator.set_task(task_id, status="task_nonsense")
    emulator.advance(1000)
    assert caller.detail(task_id)["status"] == "task_nonsense"
    emulator.set_task(task_id, status="task_postprocess_end")
    assert caller.detail(task_id)["pexit"] == "1"
    with pytest.raises(ValueError, match="has ended"):
        emulator.set_task(task_id, outcome="succeed")
    with pytest.raises(ValueError, match="no colour"):
        emulator.set_task(task_id, colour="red")


PRICES: list[tuple[str, dict[str, Any], str]] = [
    (HAILUO, {"duration": "10"}, "0.56"),
    (HAILUO, {"resolution": "1080P"}, "0.49"),
    ("wiro/animated-logo", {}, "0.00096"),  # cps of the model: 1.2 s
    ("wiro/product-ads", {"inputImageUrl": "https://e.org/a.png"}, "0.0024"),  # cps entry
    ("emulator/picture-set", {"count": "3"}, "0.06"),  # cpo
    ("emulator/chat", {"prompt": "word" * 10}, "0.000054"),  # cpt: 40 + 65 characters
    (
        "bytedance/seedream-v4-5",
        {"size": "2048x2048", "inputImage": ["https://e.org/a.png"]},
        "0.065",  # cp-pixel: four steps, one input image
    ),
    ("openbmb/voxcpm", {"prompt": "x" * 100}, "0.005"),  # cp-promptlength
    (
        "bytedance/image-to-video-seedance-pro-v1",
        {"inputImageUrl": "https://e.org/a.png", "duration": 7, "resolution": "1080p"},
        "0.84",  # cp-outputVideoLength
    ),
    ("emulator/realtime-voice", {}, "0.004"),
    ("emulator/spellings", {"style": "bold"}, "0.03"),
    ("emulator/no-schema", {}, "0"),
    (
        "emulator/collage",
        {"inputImagesUrl": "https://e.org/a.png,https://e.org/b.png"},
        "0.018",  # QUANTITY:2
    ),
]


@pytest.mark.parametrize(("model", "inputs", "cost"), PRICES)
def test_a_success_is_billed_by_its_price_method(
    caller: Caller, model: str, inputs: dict[str, Any], cost: str
) -> None:
    """The most specific entry applies, defaults count as inputs, the bill leaves the balance."""
    before = caller.emulator.balance_usd()
    task = caller.ended(model=model, **inputs)
    assert Decimal(task["totalcost"]) == Decimal(cost)
    assert caller.emulator.spent_usd() == Decimal(cost)
    assert caller.emulator.balance_usd() == before - Decimal(cost)


def test_input_sound_is_billed_by_its_length(caller: Caller) -> None:
    """cp-audiosecondslength measures the file that was sent: three seconds at 0.001."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as writer:
        writer.setparams((1, 2, 8000, 0, "NONE", ""))
        writer.writeframes(bytes(2 * 8000 * 3))
    files = {"inputAudio": ("words.wav", sound.getvalue(), "audio/wav")}
    caller.post("Run/emulator/dub", data={}, files=files)
    caller.emulator.advance(10)
    assert caller.emulator.spent_usd() == Decimal("0.003")


def test_a_bill_may_differ_from_the_price(caller: Caller) -> None:
    """A script can charge anything, for checks of cost against quote."""
    caller.emulator.script_task(cost_usd="9.99")
    assert caller.ended()["totalcost"] == "9.990000000000"


def test_the_balance_limits_how_many_tasks_run_at_once(caller: Caller) -> None:
    """Code 96 names balance and limit; an ended task makes room."""
    caller.emulator.set_balance("25")
    first = caller.run()
    caller.run()
    code, message = caller.refusal(f"Run/{HAILUO}", prompt="a fox")
    assert code == 96
    assert "$25.00" in message
    assert "up to 2 tasks" in message
    assert caller.emulator.billable_tasks() == 2
    caller.call("Task/Cancel", taskid=first)
    caller.run()


def test_the_limit_shrinks_as_the_balance_falls(caller: Caller) -> None:
    """One bill of 0.28 brings 20.20 below 20, and two tasks at once down to one."""
    caller.emulator.set_balance("20.20")
    caller.ended()
    caller.run()
    code, message = caller.refusal(f"Run/{HAILUO}", prompt="a fox")
    assert (code, "up to 1 task " in message) == (96, True)


@pytest.mark.parametrize(
    ("balance", "limit"), [("5", 1), ("99.99", 9), ("250", 25), ("250.01", None)]
)
def test_the_limit_is_a_tenth_of_the_balance_up_to_250(
    caller: Caller, balance: str, limit: int | None
) -> None:
    """Rounded down, one at least, none above."""
    caller.emulator.set_balance(balance)
    assert caller.emulator.summary()["concurrency_limit"] == limit


def test_an_empty_account_runs_nothing(caller: Caller) -> None:
    """Code 97 until a person adds funds."""
    caller.emulator.set_balance("0.49")
    assert caller.refusal(f"Run/{HAILUO}", prompt="x") == (97, "Insufficient balance")
    caller.emulator.set_balance("5")
    caller.run()


def test_language_models_answer_with_text(caller: Caller) -> None:
    """Their output is `raw` with content, not a file."""
    output = caller.ended("hello", model="emulator/chat")["outputs"][0]
    assert output["contenttype"] == "raw"
    assert "hello" in output["content"]
