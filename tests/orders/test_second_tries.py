"""Second tries: only by the user's policy, only for reasons that may pass, within every limit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.orders.conftest import OpenBench
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import MODEL
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.ledger import Order, OrderRequest
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.orders import OrderPolicy
from wiro_dagster.orders.describe import describe_state
from wiro_dagster.orders.reasons import FailureKind, find_failure_kind
from wiro_dagster.orders.retries import decide_tries

OTHER = "minimax/text-to-video-hailuo-02"
REQUEST_FIELDS = tuple(OrderRequest.__dataclass_fields__)
SENSITIVE = "The generated video was flagged as sensitive."


def trying(**policy: Any) -> OrderPolicy:
    return replace(STEADY, **policy)


def spoil(bench: Bench, reason: str = SENSITIVE, **options: Any) -> None:
    """The next task fails, or as many as `times` says."""
    fields = {"outcome": "fail", **options}
    bench.emulator.script_task(reason=reason, **fields)


def story(bench: Bench) -> list[tuple[str, str, int]]:
    return [(order.state, order.model_slug, order.try_number) for order in bench.settle()]


def test_without_a_policy_nothing_is_tried_again(open_bench: OpenBench) -> None:
    """Off by default."""
    bench = open_bench()
    spoil(bench)
    bench.place("cat")
    assert story(bench) == [("failed", MODEL, 1)]
    assert bench.runs() == 1


def test_a_reason_that_may_pass_is_followed_by_another_try(open_bench: OpenBench) -> None:
    """Each try is an order of its own, for the same wish; then nothing more is bought."""
    bench = open_bench(policy=trying(attempts=2))
    spoil(bench)
    first = bench.place("cat")
    assert story(bench) == [("failed", MODEL, 1), ("delivered", MODEL, 2)]
    second = bench.order("cat")
    assert (second.retry_of, second.fingerprint) == (first.id, first.fingerprint)
    assert bench.ledger.get(first.id).superseded_by == second.id
    assert [order.id for order in bench.ledger.list_tries(second)] == [first.id, second.id]
    assert bench.place("cat").id == second.id
    bench.settle()
    assert bench.runs() == 2
    bench.check_books()


def test_each_model_has_its_attempts_and_then_the_next_one_follows(open_bench: OpenBench) -> None:
    """In the order of the policy; the last failure is what the user sees."""
    bench = open_bench(policy=trying(attempts=2, fallback_models=(OTHER,)))
    spoil(bench, times=None)
    bench.place("cat")
    assert story(bench) == [
        ("failed", MODEL, 1),
        ("failed", MODEL, 2),
        ("failed", OTHER, 3),
        ("failed", OTHER, 4),
    ]
    (shown,) = bench.ledger.list_failed("video")
    assert shown.try_number == 4
    assert SENSITIVE in describe_state(shown)
    assert bench.runs() == 4


def test_a_video_of_another_model_is_the_video_of_the_prompt(open_bench: OpenBench) -> None:
    """Materializing again buys nothing, though the prompt names the first model."""
    bench = open_bench(policy=trying(fallback_models=(OTHER,)))
    spoil(bench)
    bench.place("cat")
    assert story(bench) == [("failed", MODEL, 1), ("delivered", OTHER, 2)]
    assert bench.place("cat").id == bench.order("cat").id
    bench.settle()
    assert bench.runs() == 2


def test_what_does_not_pass_is_never_tried_again(open_bench: OpenBench) -> None:
    """Moderation of the input, moderation that does not say of what, and bad inputs."""
    bench = open_bench(policy=trying(attempts=3, fallback_models=(OTHER,)))
    for reason in ("Moderation: the input prompt was flagged", "Moderated", "Invalid duration"):
        spoil(bench, reason, matching=reason)
        bench.place(reason)
    assert story(bench) == [("failed", MODEL, 1)] * 3
    assert all("no second try" in str(order.error) for order in bench.ledger.list_orders())


def test_a_failure_that_was_billed_is_tried_again_only_by_the_policy(
    open_bench: OpenBench,
) -> None:
    """The policy is the user's word in advance; without it the user is asked."""
    bench = open_bench(policy=trying(attempts=2))
    spoil(bench, outcome="failed_with_cost")
    bench.place("cat")
    assert story(bench) == [("failed", MODEL, 1), ("delivered", MODEL, 2)]
    failed, owned = bench.ledger.list_orders()
    assert failed.cost_usd == owned.cost_usd == Decimal("0.28")
    assert owned.earlier_usd == Decimal("0.28")
    bench.check_books()


def test_all_tries_together_keep_to_the_limit_for_one_video(open_bench: OpenBench) -> None:
    """Two billed tries would cost 0.56 USD."""
    limits = BudgetLimits(video_usd=Decimal("0.50"))
    bench = open_bench(policy=trying(attempts=3), limits=limits)
    spoil(bench, outcome="failed_with_cost", times=None)
    bench.place("cat")
    assert story(bench) == [("failed", MODEL, 1)]
    assert "over the 0.5 USD limit for one video" in str(bench.order("cat").error)
    assert bench.emulator.spent_usd() == Decimal("0.28")


def test_a_model_that_does_not_take_the_inputs_is_passed_over(open_bench: OpenBench) -> None:
    """Without its first image, it would be another video."""
    bench = open_bench(policy=trying(fallback_models=("wiro/animated-logo", OTHER)))
    spoil(bench)
    bench.place("cat", duration="10")
    assert story(bench) == [("failed", MODEL, 1), ("delivered", OTHER, 2)]


def test_without_any_other_model_the_reasons_are_told(open_bench: OpenBench) -> None:
    """The failed order says which model was not possible, and why."""
    bench = open_bench(policy=trying(fallback_models=("wiro/animated-logo", "no/such")))
    spoil(bench)
    bench.place("cat", duration="10")
    assert story(bench) == [("failed", MODEL, 1)]
    error = str(bench.order("cat").error)
    assert "wiro/animated-logo, duration" in error
    assert "no/such" in error


def test_a_process_that_died_before_the_second_try_leaves_it_to_the_next(
    open_bench: OpenBench,
) -> None:
    """The plan is on the order: two deaths do not make more tries than the policy allows."""
    bench = open_bench(policy=trying(attempts=2))
    spoil(bench)
    bench.place("cat")
    fail_without_decision(bench)
    later = open_bench(policy=trying(attempts=2))
    assert later.place("cat").try_number == 2
    assert [order.try_number for order in later.settle()] == [1, 2]
    assert later.runs() == 2


def fail_without_decision(bench: Bench) -> None:
    """What a process leaves that dies between the end of a task and the decision about it."""
    bench.tick()
    (order,) = bench.ledger.list_orders()
    assert bench.ledger.apply(order, "fail", error=SENSITIVE, due_at=bench.now)
    assert bench.ledger.get(order.id).awaits_next_try


def test_a_failure_is_not_told_before_it_is_decided_whether_a_try_follows(
    open_bench: OpenBench,
) -> None:
    """A partition must not turn red while the policy still has a try for it."""
    bench = open_bench(policy=trying(attempts=2))
    bench.place("cat")
    fail_without_decision(bench)
    assert bench.ledger.claim("video", ["failed"], limit=9, lease_seconds=9) == []


def test_two_processes_place_one_second_try(open_bench: OpenBench) -> None:
    """The decision is taken once."""
    bench = open_bench(policy=trying(attempts=3))
    first = bench.place("cat")
    fail_without_decision(bench)
    failed = bench.ledger.get(first.id)
    assert len(decide_tries(bench.desk.context)) == 1
    assert bench.ledger.try_again(failed, build_request(bench)) is None
    assert bench.ledger.find_next_try(bench.ledger.get(failed.id)) == bench.order("cat")


def build_request(bench: Bench) -> OrderRequest:
    order = bench.order("cat")
    return OrderRequest(**{name: getattr(order, name) for name in REQUEST_FIELDS})


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Content moderation: the generated video was flagged as sensitive.", "output_moderated"),
        ("The output was blocked by our safety system", "output_moderated"),
        ("NSFW content detected", "input_moderated"),
        ("Your prompt violates the content policy; no output", "input_moderated"),
        ("CUDA error: out of memory", "model_fault"),
        ("Wiro gave no reason (exit code 1).", "model_fault"),
        ("The task ended as a success, but without an output file.", "model_fault"),
        ("The first image is too small", "bad_input"),
        ("Request parameter [duration] required", "bad_input"),
        ("", "model_fault"),
    ],
)
def test_words_tell_the_kind_of_a_failure(reason: str, kind: FailureKind) -> None:
    """In doubt, a reason does not pass."""
    assert find_failure_kind(failed_order(reason)) == kind
    # Before there was a task, the run itself was refused, whatever the words are.
    assert find_failure_kind(replace(failed_order(reason), task_id=None)) == "refused"


def failed_order(reason: str) -> Order:
    return Order(
        id=1,
        collection="video",
        partition="cat",
        account="a",
        model_slug=MODEL,
        inputs={},
        fingerprint="f",
        take=1,
        state="failed",
        created_at=0.0,
        task_id="t",
        error=reason,
    )


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"attempts": 11}, {"fallback_models": ("hailuo",)}]
)
def test_a_wrong_policy_is_refused_at_once(wrong: dict[str, Any]) -> None:
    """And not when a video has failed already."""
    with pytest.raises(ConfigurationError):
        OrderPolicy(**wrong)
