"""What the emulated service says when it refuses a call: code, text and HTTP status."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Refusal:
    """The answer to a call that the service does not carry out: ``result: false``.

    Args:
        code: the number in the envelope's first error.
        message: its text.
        http_status: 200 for nearly everything; 401 for authentication, 404 for an unknown endpoint.
    """

    code: int
    message: str
    http_status: int = 200


class Refused(Exception):
    """Ends a call with a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.message)


KEY_NOT_FOUND = Refusal(0, "Project authorization is not founded.", 401)
SIGNATURE_REQUIRED = Refusal(
    0,
    "Project requires signature authentication. x-signature and x-nonce headers are required.",
    401,
)
BEARER_INVALID = Refusal(99, "Authorization bearer token is invalid.", 401)
SIGNATURE_INVALID = Refusal(0, "Project authorization is not valid.", 401)
UNKNOWN_ENDPOINT = Refusal(0, "Error parsing url.", 404)
INVALID_BODY = Refusal(0, "Request parameters are invalid.")
MODEL_NOT_FOUND = Refusal(1, "slug-owner-project-not-exist")
MODEL_NOT_ACCESSIBLE = Refusal(1, "tool-not-accessible")
SIGN_IN_REQUIRED = Refusal(98, "sign in to run this model")
INSUFFICIENT_BALANCE = Refusal(97, "Insufficient balance")
TASK_NOT_FOUND = Refusal(1, "There is no task yet.")
# The wording that has been seen live; the documents promise the one above.
TASK_NOT_FOUND_LIVE = Refusal(1, "task-not-founded")
TASK_IDENTIFIER_REQUIRED = Refusal(0, "taskid or socketaccesstoken is required")
NOT_CANCELLABLE = Refusal(1, "Task is not in a cancellable state.")
NOT_ENDED = Refusal(1, "Task is not completed yet.")
FILE_TOO_LARGE = Refusal(0, "File size must be at most 100 MB.")
FOLDER_NAME_INVALID = Refusal(
    0, "Folder name should contain only letters, numbers, hyphens and underscores."
)
FOLDER_NOT_FOUND = Refusal(1, "Folder does not exist.")


def kill_refused(reason: str) -> Refusal:
    """Refuse a kill that the task's state does not allow."""
    return Refusal(1, f"Task could not be killed: {reason}")


def parameter_required(name: str) -> Refusal:
    """Refuse a run without a required text, choice or number."""
    return Refusal(0, f"Request parameter [{name}] required")


def files_required(name: str) -> Refusal:
    """Refuse a run without a required file."""
    return Refusal(0, f"Request files [{name}] required")


def not_a_number(name: str) -> Refusal:
    """Refuse a range that is not a number."""
    return Refusal(0, f"Request parameter [{name}] must be integer or float")


def out_of_range(name: str, minimum: Decimal | None, maximum: Decimal | None) -> Refusal:
    """Refuse a number outside its range."""
    return Refusal(0, f"Request parameter [{name}] must be between {minimum} and {maximum}")


def not_an_option(name: str, options: tuple[str, ...]) -> Refusal:
    """Refuse a value that is not one of a select's options."""
    return Refusal(0, f"Request parameter [{name}] must be one of {', '.join(options)}")


def concurrency_limit(balance_usd: Decimal, limit: int) -> Refusal:
    """Refuse a run beyond what the balance allows at once."""
    return Refusal(
        96,
        "You have reached your concurrent task limit. "
        f"With your current balance of ${balance_usd:.2f}, you can run up to {limit} "
        f"{'task' if limit == 1 else 'tasks'} at the same time. Add funds to increase your limit.",
    )
