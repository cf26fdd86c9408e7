"""Whether a file is what was ordered: one verdict for each check that fits it, as measured.

Nothing here decodes, asks Wiro or touches the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from wiro_dagster.catalogue.ordered import ordered_resolution, ordered_seconds
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.ledger import Order
from wiro_dagster.orders.findings import Findings

CheckSeverity = Literal["error", "warn", "off"]
"""What a failing check is: an error, a warning, or not looked at."""

_DURATION_SLACK_SECONDS = 0.5
_DURATION_SLACK_SHARE = 0.1  # models that are sold by six seconds make 5.64 of them

_SIDE_SLACK_SHARE = 0.05  # encoders want multiples of 8 or 16

_RATIO_SLACK_SHARE = 0.05

_PLAYABLE_KINDS = {"video", "image", "audio"}


@dataclass(frozen=True)
class VideoChecks:
    """How much each check on `video` matters, and the limits of two of them.

    Args:
        playable: everything in the file decodes, to its end.
        duration: as long as ordered, give or take a tenth (half a second at least); sound too.
        resolution: as large as ordered, give or take a twentieth; images too.
        black: not black.
        frozen: does not freeze.
        aspect_ratio: the shape of its first image.
        cost: no more than the quote; whatever was made.
        size: as many bytes stored as Wiro announced; every file.
        black_share: how much of a video is black before `black` fails, 0 to 1.
        frozen_share: how much of a video stands still in one stretch before `frozen` fails, 0 to 1.
    """

    playable: CheckSeverity = "error"
    duration: CheckSeverity = "error"
    resolution: CheckSeverity = "error"
    black: CheckSeverity = "error"
    frozen: CheckSeverity = "warn"
    aspect_ratio: CheckSeverity = "warn"
    cost: CheckSeverity = "warn"
    size: CheckSeverity = "error"
    black_share: float = 0.2
    frozen_share: float = 0.5

    def __post_init__(self) -> None:
        """Validate severities and shares."""
        for check in CHECKS:
            if self.severity(check) not in get_args(CheckSeverity):
                raise ConfigurationError(
                    f'The check "{check}" is set to "{self.severity(check)}". '
                    f"Choose one of {', '.join(get_args(CheckSeverity))}."
                )
        for name in ("black_share", "frozen_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}. Give a share above 0 and up to 1."
                )

    def severity(self, check: str) -> CheckSeverity:
        """How much a check matters."""
        severity: CheckSeverity = getattr(self, check)
        return severity

    @property
    def active(self) -> tuple[str, ...]:
        """The checks that are not off."""
        return tuple(check for check in CHECKS if self.severity(check) != "off")


@dataclass(frozen=True)
class _Delivery:
    """One file of an order, with all that a verdict may need."""

    order: Order
    file: Mapping[str, Any]
    findings: Findings
    announced_bytes: int | None
    checks: VideoChecks

    @property
    def media(self) -> Mapping[str, Any]:
        """What was measured when the file was stored: kind, sides, length."""
        facts: Mapping[str, Any] = self.file.get("media") or {}
        return facts


_Verdict = str | None
"""What is wrong; empty if nothing is; `None` if there is nothing to compare with."""


def judge_order(order: Order, checks: VideoChecks) -> dict[str, str]:
    """Judge the files of one owned order.

    Returns:
        For each check that could be made what is wrong, an empty text if nothing is.
    """
    try:
        return _judge(order, checks)
    except Exception as error:  # one odd order must not stop the checks on all others
        return dict.fromkeys(
            checks.active[:1], f"It cannot be judged: {type(error).__name__}: {error}."
        )


def _judge(order: Order, checks: VideoChecks) -> dict[str, str]:
    verdicts: dict[str, str] = {}
    for delivery in _list_deliveries(order, checks):
        for check in checks.active:
            verdict = CHECKS[check](delivery)
            if verdict is not None:
                verdicts[check] = verdicts.get(check) or verdict
    return verdicts


def find_unseen(order: Order) -> str | None:
    """Return why a file of an order was not looked at, or not to its end; None if all were."""
    for file in order.files:
        findings = Findings.from_json(file.get("findings") or {})
        if findings.unseen or findings.unheard:
            return findings.unseen or findings.unheard
    return None


def _list_deliveries(order: Order, checks: VideoChecks) -> Iterator[_Delivery]:
    for index, file in enumerate(order.files):
        output = order.outputs[index] if index < len(order.outputs) else {}
        # Text comes in the answer itself: no file was announced.
        announced = None if output.get("content") is not None else output.get("size_bytes")
        findings = Findings.from_json(file.get("findings") or {})
        yield _Delivery(order, file, findings, announced, checks)


def _judge_playable(video: _Delivery) -> _Verdict:
    findings = video.findings
    if findings.problem is not None:
        return findings.problem
    is_seen = (
        not (findings.unseen or findings.unheard) and video.media.get("kind") in _PLAYABLE_KINDS
    )
    return "" if is_seen and video.file.get("findings") else None


def _judge_duration(video: _Delivery) -> _Verdict:
    asked = ordered_seconds(video.order.inputs)
    ordered = None if asked is None else float(asked)
    seen = video.findings.measures
    is_sound = video.media.get("kind") == "audio"
    found = seen.duration_seconds if seen else video.media.get("duration_seconds")
    if ordered is None or found is None or not (seen or is_sound) or video.findings.unseen:
        return None
    slack = max(_DURATION_SLACK_SECONDS, ordered * _DURATION_SLACK_SHARE)
    if abs(found - ordered) <= slack:
        return ""
    frame = f", after frame {seen.frame_count - 1}" if seen else ""
    return f"It ends at {found:.2f} s{frame}; {ordered:g} s were ordered."


def _judge_resolution(video: _Delivery) -> _Verdict:
    width, height = video.media.get("width"), video.media.get("height")
    ordered = ordered_resolution(video.order.inputs)
    if not width or not height or ordered is None:
        return None
    if ordered.sides is not None:
        wanted = sorted(ordered.sides)
    elif ordered.lines is None or video.media.get("kind") == "image":
        return None  # lines are a video's; each model decides what "2K" is in an image
    else:
        wanted = [ordered.lines]
    found = sorted((width, height))
    if all(
        _is_near(side, goal, _SIDE_SLACK_SHARE) for side, goal in zip(found, wanted, strict=False)
    ):
        return ""
    return f"It is {width}x{height}; {ordered.text} was ordered."


def _judge_black(video: _Delivery) -> _Verdict:
    found = video.findings.measures
    if found is None:
        return None
    if found.black_count == 0 or found.black_share < video.checks.black_share:
        return ""
    return (
        f"{found.black_share:.0%} of it is black ({found.black_count} of {found.sampled_count} "
        f"frames looked at), first frame {found.first_black_frame} "
        f"at {found.first_black_seconds or 0:.2f} s."
    )


def _judge_frozen(video: _Delivery) -> _Verdict:
    found = video.findings.measures
    if found is None:
        return None
    if found.frozen_share < video.checks.frozen_share:
        return ""
    return (
        f"Nothing moves for {found.frozen_seconds:.2f} of {found.duration_seconds:.2f} s, "
        f"from frame {found.frozen_start_frame} at {found.frozen_start_seconds or 0:.2f} s on."
    )


def _judge_aspect_ratio(video: _Delivery) -> _Verdict:
    ratio, wanted = video.findings.ratio, video.findings.image_ratio
    if ratio is None or wanted is None:
        return None
    if _is_near(ratio, wanted, _RATIO_SLACK_SHARE):
        return ""
    return f"Its width is {ratio:.3f} times its height; its first image's {wanted:.3f} times."


def _judge_cost(video: _Delivery) -> _Verdict:
    cost, quote = video.order.cost_usd, video.order.quote_usd
    if cost is None or quote is None:
        return None
    if cost <= quote:
        return ""
    return f"Wiro charged {cost:f} USD; the quote was {quote:f} USD."


def _judge_size(video: _Delivery) -> _Verdict:
    if video.announced_bytes is None:
        return None
    stored = video.file["size_bytes"]
    if stored == video.announced_bytes:
        return ""
    return f"{stored} bytes are stored; Wiro announced {video.announced_bytes}."


CHECKS: Mapping[str, Callable[[_Delivery], _Verdict]] = {
    "playable": _judge_playable,
    "duration": _judge_duration,
    "resolution": _judge_resolution,
    "black": _judge_black,
    "frozen": _judge_frozen,
    "aspect_ratio": _judge_aspect_ratio,
    "cost": _judge_cost,
    "size": _judge_size,
}
"""The checks by the names of `VideoChecks`."""


def _is_near(value: float, goal: float, share: float) -> bool:
    return abs(value - goal) <= goal * share
