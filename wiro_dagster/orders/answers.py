"""Answers that the ledger could not take are kept until it can: in memory, and in a small file.

A lost answer costs a search in Wiro's list at best. An answer in our hands is never dropped.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from wiro_dagster.ledger import Order

_log = logging.getLogger("wiro_dagster")


@dataclass(frozen=True)
class Answer:
    """What became of one POST. It holds no task token: that is a secret.

    Args:
        order_id: whose POST it was.
        marker: of the POST.
        task_id: of the task that Wiro made; `None` if it made none for certain.
    """

    order_id: int
    marker: str
    task_id: str | None


class AnswerSpool:
    """Keeps answers for as long as the process lives, and in files for the next one. Thread-safe.

    Args:
        folder: for the files; `None` keeps answers in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: dict[str, Answer] = {}
        self._lock = threading.Lock()

    def keep(self, answer: Answer) -> None:
        """Keep an answer until it is dropped: in memory at least, if the disk is full."""
        with self._lock:
            self._kept[answer.marker] = answer
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            staged = self._path(answer).with_suffix(".part")
            staged.write_text(json.dumps(asdict(answer)), encoding="utf-8")
            staged.replace(self._path(answer))
        except OSError as error:
            _log.warning(
                "The answer for order %d is kept in memory only: %s", answer.order_id, error
            )

    def keep_unsent(self, order: Order) -> None:
        """Keep that nothing was bought for an order: that matters as much as a task's id."""
        self.keep(Answer(order.id, str(order.marker), None))

    def list(self) -> list[Answer]:
        """Return the answers that wait, also those that an earlier process left."""
        with self._lock:
            found = dict(self._kept)
        for path in self._folder.glob("*.json") if self._folder is not None else ():
            answer = _read(path)
            if answer is not None:
                found[answer.marker] = answer
        return list(found.values())

    def drop(self, answer: Answer) -> None:
        """Forget an answer that the ledger has taken."""
        with self._lock:
            self._kept.pop(answer.marker, None)
        if self._folder is not None:
            self._path(answer).unlink(missing_ok=True)

    def _path(self, answer: Answer) -> Path:
        assert self._folder is not None
        return self._folder / f"{answer.marker}.json"


def _read(path: Path) -> Answer | None:
    try:
        return Answer(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        _log.warning("%s is not a readable answer; look at it, then delete it.", path)
        return None
