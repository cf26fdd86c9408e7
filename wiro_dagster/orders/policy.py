"""What a user may set about orders, and the timings that the steps share. All times are seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from wiro_dagster.errors import ConfigurationError

MAXIMUM_ATTEMPTS = 10
_SLUG = re.compile(r"[^\s/]+/[^\s/]+")

Verification = Literal["frames", "bytes"]
"""How a file is verified: every frame is decoded, or only size and sha256 are checked."""


@dataclass(frozen=True)
class Timing:
    """The pace of the product. Tests shorten it; users need not.

    Args:
        first_look_seconds: the first look at a task of a model that we know nothing of.
        sweep_pause_seconds: never read Wiro's list more often than this.
        look_maximum_seconds: look at a task that takes long at least this often.
        lease_seconds: how soon others take over what a process was doing when it fell silent. A
            living one keeps what it is doing, however long that takes.
        recover_first_seconds: when a lost answer is first looked up.
        recover_pause_seconds: the shortest pause between two looks for a lost answer.
        settle_seconds: how long a task that ended without a video is read again before it counts.
        settle_missing_seconds: the same for a success that shows no files or no exit code.
        pause_seconds: how long nothing is submitted when nothing can be accepted and Wiro does not
            say how long to wait.
        refused_pause_seconds: how long nothing is submitted after Wiro refused the credentials or
            the balance.
        slots_seconds: how long Wiro's limit of concurrent tasks is believed.
        retry_maximum_seconds: the longest pause between two tries at one step.
        sure_gone_seconds: how long Wiro must go on saying that a file is gone.
        audit_pause_seconds: how often the last day's tasks are read, also if nothing is due.
        cost_recheck_seconds: when a cost that is not stated is read again, after the end.
    """

    first_look_seconds: float = 3.0
    sweep_pause_seconds: float = 3.0
    look_maximum_seconds: float = 30.0
    lease_seconds: float = 60.0
    recover_first_seconds: float = 2.0
    recover_pause_seconds: float = 10.0
    settle_seconds: float = 20.0
    settle_missing_seconds: float = 600.0
    pause_seconds: float = 15.0
    refused_pause_seconds: float = 60.0
    slots_seconds: float = 30.0
    retry_maximum_seconds: float = 600.0
    sure_gone_seconds: float = 86_400.0
    audit_pause_seconds: float = 600.0
    cost_recheck_seconds: tuple[float, ...] = (10.0, 3_600.0, 86_400.0)

    def retry_seconds(self, attempts: int, jitter: float) -> float:
        """Return how long to wait after the given number of failed tries at one step.

        Args:
            attempts: failed tries so far.
            jitter: a random number from 0 to 1, so that orders that failed together drift apart.
        """
        pause = 2.0 ** min(attempts, 12) * (0.8 + 0.4 * jitter)
        return float(min(pause, self.retry_maximum_seconds))

    def next_look_seconds(self, age_seconds: float) -> float:
        """Return how long to wait before looking again at a task of this age."""
        return min(max(age_seconds * 0.05, self.sweep_pause_seconds), self.look_maximum_seconds)

    def settle_pause_seconds(self, waited_seconds: float) -> float:
        """Return how long to wait before the next look at a task that has ended."""
        return min(max(waited_seconds, self.sweep_pause_seconds), self.look_maximum_seconds)


@dataclass(frozen=True)
class OrderPolicy:
    """What becomes of orders, and of their files at Wiro.

    Args:
        superseded: what becomes of a task under way whose prompt has changed: it is kept, and its
            video is there if the prompt changes back, or it is cancelled.
        files_at_wiro: what becomes of a task's inputs and outputs at Wiro once its files are in the
            store. What is deleted there cannot be fetched again.
        local_files: how files of this machine and of the video store reach Wiro: attached to each
            run, or uploaded once for each content, so that any number of runs refer to them.
            Uploads stay among the account's files, whatever `files_at_wiro` says.
        verify: `"frames"` decodes every frame; `"bytes"` checks size and sha256 only, and the
            checks on the videos say "not looked at".
        max_file_bytes: larger output files stay at Wiro, and come once this is raised.
        run_deadline_seconds: a task that runs longer is killed; queue time does not count.
        resubmit_after_seconds: how long Wiro's complete list must show nothing of a lost
            submission, in several looks, before the order is submitted once more. If the account's
            list was further behind in the last week, it is twice that time, at most a day.
        model_max_age_seconds: how old Wiro's statement about a model may be when its prompts are
            read and priced. Older quotes are renewed before anything is bought.
        attempts: how often each model is tried at a video, the first time included, if it fails
            for a reason that may pass: moderation of what it made, or a fault of the model.
        fallback_models: models to try next, in order, for the same reasons. Each must take the
            inputs that the prompt states.
        timing: the pace; see `Timing`.
    """

    superseded: Literal["keep", "cancel"] = "keep"
    files_at_wiro: Literal["keep", "delete"] = "keep"
    local_files: Literal["attach", "upload"] = "attach"
    verify: Verification = "frames"
    max_file_bytes: int = 2 * 1024**3
    run_deadline_seconds: float = 3600.0
    resubmit_after_seconds: float = 900.0
    model_max_age_seconds: float = 3600.0
    attempts: int = 1
    fallback_models: tuple[str, ...] = ()
    timing: Timing = field(default_factory=Timing, repr=False)

    def __post_init__(self) -> None:
        """Reject values that would otherwise fail only after a video has failed."""
        if not 1 <= self.attempts <= MAXIMUM_ATTEMPTS:
            raise ConfigurationError(
                f"attempts is {self.attempts}. Use 1 (no second try) to {MAXIMUM_ATTEMPTS}."
            )
        wrong = [slug for slug in self.fallback_models if not _SLUG.fullmatch(slug)]
        if isinstance(self.fallback_models, str) or wrong:
            raise ConfigurationError(
                f"fallback_models is {self.fallback_models!r}. Give a tuple of models, each "
                'written as "owner/model".'
            )

    def list_next_models(self, model_slug: str) -> tuple[str, ...]:
        """Return the models of all tries after the first, in order."""
        others = (slug for slug in self.fallback_models for _ in range(self.attempts))
        return (model_slug,) * (self.attempts - 1) + tuple(others)
