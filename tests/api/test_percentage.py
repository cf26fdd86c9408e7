"""How far a task is, from what its model has printed."""

from __future__ import annotations

import pytest

from wiro_dagster.api.wire import find_percentage


@pytest.mark.parametrize(
    ("output", "percentage"),
    [
        ("", None),
        ("loading the model\nready", None),
        ('{"type":"progressGenerate","percentage":"40","stepCurrent":"4"}', 40.0),
        ('{"percentage": 12.5}\nwriting frames', 12.5),
        ('{"percentage": "a lot"}', None),
        ("step 1/10\nstep 3/10", 30.0),
        ("Step: 5 of 20 done", 25.0),
        ("step 3/0", None),
        ("step 30/10", 100.0),
        (" 10%|#         | 1/10\r 45%|####5     | 4/10\r", 45.0),
        ("GPU memory at 83 %, 12% faster", None),
        ("frames 3/10", None),
        ("step 9/10\n" + "noise\n" * 10_000, None),
    ],
)
def test_the_newest_line_that_tells_of_progress_counts(
    output: str, percentage: float | None
) -> None:
    """JSON of the socket's kind, a progress bar, or a count of steps; no other number does."""
    assert find_percentage(output) == percentage
