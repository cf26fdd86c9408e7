"""Worlds of tasks in which Task/List or Task/Detail is off, or in which there are more tasks."""

from __future__ import annotations

from wiro_dagster.emulator.task_times import STATUS_OF_TIME
from wiro_dagster.emulator.worlds.world import (
    PROXIES,
    SEARCH_INDEX,
    N,
    TaskWorld,
    at_end,
    listed,
    shown,
)

_LISTED_LATE_SECONDS = 300.0

LISTS = (
    TaskWorld(
        "list_inputs_null",
        "Task/List shows null for the inputs.",
        listed(rewrites=["inputs_null"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_inputs_cut",
        "Task/List cuts every input after 20 characters.",
        listed(rewrites=["inputs_cut"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_inputs_escaped",
        "Task/List escapes the inputs as HTML.",
        listed(rewrites=["inputs_escaped"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_inputs_upper_case",
        "Task/List shows the inputs in upper case.",
        listed(rewrites=["inputs_upper_case"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_inputs_with_defaults",
        "Task/List fills defaults in that were not sent.",
        listed(rewrites=["inputs_with_defaults"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_inputs_rehosted",
        "Task/List shows the service's own URLs for those that were sent.",
        listed(rewrites=["inputs_rehosted"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_slug_newer",
        "Task/List shows the task under a newer slug of its model.",
        listed(rewrites=["slug_newer"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_callback_missing",
        "Task/List leaves `callbackurl` out; Task/Detail shows it.",
        listed(without=["callbackurl"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_callback_null",
        "Task/List shows null for `callbackurl`; Task/Detail shows it.",
        listed(fields={"callbackurl": None}),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_callback_cut",
        "Task/List cuts `callbackurl` after 20 characters; Task/Detail shows it whole.",
        listed(rewrites=["callback_cut"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_callback_escaped",
        "Task/List escapes `callbackurl` as HTML; Task/Detail shows it as sent.",
        listed(rewrites=["callback_escaped"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "callback_missing",
        "`callbackurl` is missing in Task/List and in Task/Detail.",
        shown(without=["callbackurl"]),
    ),
    TaskWorld(
        "list_behind",
        "Task/List shows the task as it was N seconds ago.",
        listed(behind_seconds=N),
        30.0,
        SEARCH_INDEX,
    ),
    TaskWorld(
        "listed_late",
        "Task/List does not show the task for its first N seconds.",
        {"listing_delay_seconds": N},
        _LISTED_LATE_SECONDS,
        SEARCH_INDEX,
    ),
    TaskWorld(
        "listed_never",
        "Task/List never shows the task; Task/Detail does.",
        listed(hides="not_found"),
        source=SEARCH_INDEX,
    ),
)

DETAILS = (
    TaskWorld(
        "forgotten",
        "Task/Detail answers code 1 for N seconds of the task's run.",
        shown(calls="detail", hides="not_found", from_seconds=1.0, until_seconds=N),
        60.0,
    ),
    TaskWorld(
        "forgotten_empty",
        "Task/Detail answers an empty list for N seconds of the task's run.",
        shown(calls="detail", hides="empty", from_seconds=1.0, until_seconds=N),
        60.0,
    ),
    TaskWorld(
        "stuck_in_queue",
        "The task never leaves the queue.",
        {"outcome": "stuck", "stuck_at": "task_queue"},
    ),
    TaskWorld(
        "unknown_end",
        "The end is shown under a status that no document lists, for N seconds.",
        at_end(fields={"status": "task_archived", "pexit": ""}, until_seconds=N),
        60.0,
    ),
    TaskWorld("kill_refused", "Task/Kill and Task/Cancel refuse the task.", {"kill": "refused"}),
    TaskWorld(
        "times_in_milliseconds",
        "All times of the task are in milliseconds.",
        shown(rewrites=["times_in_milliseconds"]),
    ),
    TaskWorld(
        "times_far_future",
        "All times of the task are 50 years ahead.",
        shown(rewrites=["times_far_future"]),
    ),
    TaskWorld(
        "times_negative",
        "All times of the task are negative.",
        shown(rewrites=["times_negative"]),
    ),
    TaskWorld(
        "times_missing",
        "The task has no times.",
        shown(without=["createtime", *STATUS_OF_TIME]),
    ),
)

RUNS = (
    TaskWorld(
        "twin",
        "One POST becomes two billable tasks with the same inputs and callback.",
        {"twins": 1},
        source=PROXIES,
    ),
    TaskWorld(
        "foreign",
        "Another user of the account runs the same inputs at the same time, without a callback.",
        {"foreign": "plain"},
    ),
    TaskWorld(
        "foreign_with_callback",
        "Another user of the account runs the same inputs, with a callback of their own.",
        {"foreign": "with_callback"},
    ),
)
