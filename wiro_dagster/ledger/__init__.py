"""The ledger: every order, every POST and every cost, in one database. All SQL is in this room."""

from wiro_dagster.ledger.account_problem import AccountProblem, ProblemKind
from wiro_dagster.ledger.approvals import Proposal
from wiro_dagster.ledger.booking import TaskNote
from wiro_dagster.ledger.claims import Move
from wiro_dagster.ledger.gate import Admission, Gate
from wiro_dagster.ledger.ledger import Ledger
from wiro_dagster.ledger.order import (
    MAXIMUM_POSTS,
    Order,
    OrderRequest,
    Placement,
    PlacementOutcome,
    StopState,
)
from wiro_dagster.ledger.stated_costs import SubmissionRecord
from wiro_dagster.ledger.strays import Stray
from wiro_dagster.ledger.task_costs import Cost
from wiro_dagster.ledger.tasks import Difference
from wiro_dagster.ledger.transitions import (
    FOLLOWED,
    OWNED,
    SETTLED,
    UNDER_WAY,
    UNSENT,
    WITHOUT_VIDEO,
    OrderState,
)

__all__ = [
    "FOLLOWED",
    "MAXIMUM_POSTS",
    "OWNED",
    "SETTLED",
    "UNDER_WAY",
    "UNSENT",
    "WITHOUT_VIDEO",
    "AccountProblem",
    "Admission",
    "Cost",
    "Difference",
    "Gate",
    "Ledger",
    "Move",
    "Order",
    "OrderRequest",
    "OrderState",
    "Placement",
    "PlacementOutcome",
    "ProblemKind",
    "Proposal",
    "StopState",
    "Stray",
    "SubmissionRecord",
    "TaskNote",
]
