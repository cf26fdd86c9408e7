"""Evaluate the checks on `video_order`: prompts, orders, budget, account, books.

None of them is a check of single partitions: Dagster stores a runless evaluation of a partitioned
check once for each partition, and refuses the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from wiro_dagster.catalogue import markdown_text
from wiro_dagster.catalogue.suggestions import counted
from wiro_dagster.defs.missing import Missing
from wiro_dagster.errors import InputError
from wiro_dagster.ledger import AccountProblem, Order, Stray
from wiro_dagster.ledger.budget import BudgetUse
from wiro_dagster.orders import OrderDesk
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.describe import describe_problem, describe_state
from wiro_dagster.orders.standing import describe_standing
from wiro_dagster.prompts import PromptFile

ORDERS_CHECK = "orders_succeeded"
PROMPTS_CHECK = "prompts_valid"
ACCOUNT_CHECK = "account_open"
BUDGET_CHECK = "within_budget"
MOVING_CHECK = "orders_moving"
BOOKS_CHECK = "books_match"
APPROVAL_CHECK = "orders_approved"

LISTED_ORDERS = 200
"""How many orders the metadata of a check may list."""

_NAMED = 5


def judge_orders(desk: OrderDesk, order_key: dg.AssetKey) -> list[dg.AssetCheckEvaluation]:
    """Evaluate all checks that need only the ledger: all but `prompts_valid`.

    `orders_approved` is among them only if the collection needs approval. Dagster's UI shows an
    evaluation until the asset's next materialization.
    """
    ledger, collection = desk.ledger, desk.context.collection
    held = ledger.list_held(collection, limit=LISTED_ORDERS)
    return [
        orders_check(ledger.list_failed(collection), order_key),
        account_check(desk.find_problem(), order_key),
        budget_check(held, ledger.count_held(collection), list_budget_uses(desk), order_key),
        moving_check(desk.list_standing(), desk.context.now(), order_key),
        books_check(desk.context, order_key),
        *list_approval_checks(desk.context, order_key),
    ]


def list_approval_checks(
    context: OrderContext, order_key: dg.AssetKey
) -> list[dg.AssetCheckEvaluation]:
    """Evaluate `orders_approved` on `video_order`, if the collection needs approval."""
    if not context.needs_approval:
        return []
    proposal = context.ledger.add_up_proposed(context.collection)
    wait = "waits" if proposal.count == 1 else "wait"
    return [
        dg.AssetCheckEvaluation(
            asset_key=order_key,
            check_name=APPROVAL_CHECK,
            passed=not proposal.count,
            severity=dg.AssetCheckSeverity.WARN,
            description=(
                f"{proposal.describe()}, {wait} for approval. Approve: "
                f"wiro-dagster orders approve --collection {context.collection}"
                if proposal.count
                else "No order waits for approval."
            ),
            metadata={
                "wiro/proposed_orders": proposal.count,
                "wiro/quote_usd": float(proposal.quote_usd),
            },
        )
    ]


def prompts_check(
    prompts: PromptFile, order_key: dg.AssetKey, missing: Missing
) -> dg.AssetCheckEvaluation:
    """Check `prompts_valid` on `video_order`: whether every entry of the file can be ordered.

    Its description also says how many videos are missing and what they would cost.

    Values that were taken for what they mean, ignored columns and Wiro's changes to models are
    shown, and do not fail the check.
    """
    problems = [str(problem) for problem in prompts.problems]
    more: dict[str, dg.MetadataValue[Any]] = {
        "wiro/missing_videos": dg.MetadataValue.int(missing.count),
        "wiro/missing_usd": dg.MetadataValue.float(float(missing.quote_usd)),
    }
    if missing.left_usd is not None:
        more["wiro/budget_left_usd"] = dg.MetadataValue.float(float(missing.left_usd))
    if prompts.changes:
        more["wiro/model_changes"] = dg.MetadataValue.md("\n\n".join(map(str, prompts.changes)))
    if prompts.notes:
        more["wiro/notes"] = _markdown_list(prompts.notes)
    return _prompts_check(problems, len(prompts.prompts), order_key, more, missing.describe())


def unreadable_check(error: InputError, order_key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """The same check if the prompt file cannot be read at all."""
    return _prompts_check(list(error.problems), 0, order_key)


def _prompts_check(
    problems: Sequence[str],
    right: int,
    order_key: dg.AssetKey,
    more: Mapping[str, dg.MetadataValue[Any]] | None = None,
    missing: str = "",
) -> dg.AssetCheckEvaluation:
    metadata: dict[str, Any] = {
        "wiro/prompts": right,
        "wiro/problems": len(problems),
        **(more or {}),
    }
    if problems:
        metadata["wiro/problem_list"] = _markdown_list(problems)
        told = f"{counted(len(problems), 'problem')}. {counted(right, 'prompt')} can be ordered."
    else:
        told = f"No problems. {counted(right, 'prompt')} can be ordered."
    return dg.AssetCheckEvaluation(
        asset_key=order_key,
        check_name=PROMPTS_CHECK,
        passed=not problems,
        description=f"{told} {missing}".rstrip(),
        metadata=metadata,
    )


def _markdown_list(lines: Sequence[str]) -> dg.MetadataValue[Any]:
    """Lines of others, shown as they are: an id must not become a link or a picture."""
    listed = "\n".join(f"- {markdown_text(line)}" for line in lines[:LISTED_ORDERS])
    return dg.MetadataValue.md(listed)


def orders_check(failed: Sequence[Order], order_key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """Evaluate `orders_succeeded` on `video_order`: which partitions have no video, and why.

    It is not a check of single partitions: Dagster stores a runless evaluation of a partitioned
    check once for each partition, and refuses the next one.

    Args:
        failed: the newest orders of their partitions, if they ended without a video.
        order_key: the order asset's key.
    """
    metadata: dict[str, Any] = {"wiro/failed_orders": len(failed)}
    if failed:
        metadata["wiro/failures"] = dg.MetadataValue.json(
            {order.partition: describe_state(order) for order in failed[-LISTED_ORDERS:]}
        )
    lines = [f'"{order.partition}": {describe_state(order)}' for order in failed[-_NAMED:]]
    if len(failed) > _NAMED:
        lines.append(f"and {len(failed) - _NAMED} more")
    return dg.AssetCheckEvaluation(
        asset_key=order_key,
        check_name=ORDERS_CHECK,
        passed=not failed,
        description=(
            "\n".join([f"{len(failed)} partitions have no video.", *lines])
            if failed
            else "No order has failed."
        ),
        metadata=metadata,
    )


def account_check(
    problem: AccountProblem | None, order_key: dg.AssetKey
) -> dg.AssetCheckEvaluation:
    """Evaluate `account_open` on `video_order`: whether Wiro accepts the account's submissions.

    Args:
        problem: why it does not; `None` if there is no known problem.
        order_key: the order asset's key.
    """
    return dg.AssetCheckEvaluation(
        asset_key=order_key,
        check_name=ACCOUNT_CHECK,
        passed=problem is None,
        severity=dg.AssetCheckSeverity.ERROR,
        description=(
            "Wiro accepts the account's key and balance."
            if problem is None
            else describe_problem(problem)
        ),
        metadata={} if problem is None else {"wiro/problem": problem.kind},
    )


def list_budget_uses(desk: OrderDesk) -> list[BudgetUse]:
    """Return how far each budget of a collection is used."""
    return desk.context.gate.list_uses(desk.context.collection, desk.context.limits)


def budget_check(
    held: Sequence[Order], count: int, uses: Sequence[BudgetUse], order_key: dg.AssetKey
) -> dg.AssetCheckEvaluation:
    """Evaluate `within_budget` on `video_order`: orders held back, and budgets nearly used up.

    Args:
        held: the orders that the budget holds back, or the first of them.
        count: how many there are.
        uses: how far each budget is used.
        order_key: the order asset's key.
    """
    metadata: dict[str, Any] = {"wiro/held_orders": count}
    for use in uses:
        metadata[f"wiro/{use.name}_budget_used_usd"] = float(use.used_usd)
    low = [use for use in uses if use.is_low]
    lines = [use.describe() for use in low or uses]
    if held:
        metadata["wiro/held"] = dg.MetadataValue.json(
            {order.partition: order.hold or "" for order in held[:LISTED_ORDERS]}
        )
        names = ", ".join(f'"{order.partition}"' for order in held[:_NAMED])
        more = " and others" if count > _NAMED else ""
        told = (
            f"The budget holds back {counted(count, 'order')}: {names}{more}. First: {held[0].hold}"
        )
        lines = [told, *(use.describe() for use in low)]
    elif not low:
        lines = ["Every order fits into the budget.", *lines]
    return dg.AssetCheckEvaluation(
        asset_key=order_key,
        check_name=BUDGET_CHECK,
        passed=not (count or low),
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(lines),
        metadata=metadata,
    )


def moving_check(
    standing: Sequence[Order], now: float, order_key: dg.AssetKey
) -> dg.AssetCheckEvaluation:
    """Evaluate `orders_moving` on `video_order`: no order is stuck.

    Args:
        standing: the stuck orders, the longest first.
        now: unix seconds.
        order_key: the order asset's key.
    """
    lines = [describe_standing(order, now) for order in standing]
    metadata: dict[str, Any] = {"wiro/standing_orders": len(standing)}
    if lines:
        listed = {order.partition: line for order, line in zip(standing, lines, strict=True)}
        metadata["wiro/standing"] = dg.MetadataValue.json(listed)
    shown = lines[:_NAMED] + ([f"and {len(lines) - _NAMED} more"] if len(lines) > _NAMED else [])
    return dg.AssetCheckEvaluation(
        asset_key=order_key,
        check_name=MOVING_CHECK,
        passed=not standing,
        description="\n".join(shown) if shown else "No order is stuck.",
        metadata=metadata,
    )


def books_check(context: OrderContext, order_key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """Evaluate `books_match` on `video_order`: Wiro's tasks and costs are those of our books."""
    strays = context.ledger.list_strays(context.account)
    differences = context.ledger.list_differences(context.account)
    unstated = context.ledger.list_unstated(context.account)
    booked = {
        record.task_id: record.order_id
        for record in context.ledger.find_submissions(
            context.account, task_ids=[stray.task_id for stray in strays]
        )
    }
    lines = [_describe_stray(stray, booked.get(stray.task_id)) for stray in strays]
    lines += [
        f"The cost of order {change.order_id} (task {change.task_id}) changed from "
        f"{change.was_usd:f} to {change.is_usd:f} USD. Once you have seen it: wiro-dagster audit "
        f"--accept {change.task_id}"
        for change in differences
    ]
    lines += [
        f"Wiro did not state the cost of order {record.order_id} (task {record.task_id}); its "
        "ceiling stays committed. Once you have seen it: wiro-dagster audit --accept "
        f"{record.task_id}"
        for record in unstated
    ]
    more = [f"and {len(lines) - _NAMED} more"] if len(lines) > _NAMED else []
    more += ["Compare: wiro-dagster audit"] if lines else []
    return dg.AssetCheckEvaluation(
        asset_key=order_key,
        check_name=BOOKS_CHECK,
        passed=not lines,
        severity=dg.AssetCheckSeverity.ERROR,
        description=(
            "\n".join([*lines[:_NAMED], *more])
            if lines
            else "Every task of the account is in the ledger, at the cost that Wiro states."
        ),
        metadata={
            "wiro/unexplained_tasks": len(strays),
            "wiro/cost_differences": len(differences),
            "wiro/unstated_costs": len(unstated),
        },
    )


def _describe_stray(stray: Stray, order_id: int | None) -> str:
    """Describe a task that no order asked for, or that an order may not have asked for."""
    if order_id is None:
        return f"No order explains task {stray.task_id} ({stray.model_slug}, {stray.cost_usd} USD)."
    return (
        f"Task {stray.task_id} is on the books as order {order_id}: Wiro made a second task of one "
        "run, or equal inputs were all there was to go by. Once you have seen it: wiro-dagster "
        f"audit --accept {stray.task_id}"
    )
