"""Worlds of single tasks: what no document excludes, as scripts that a task can be given by name.

`seconds` is the default of N in the text; `N` stands for it in the script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wiro_dagster.emulator.task_times import STATUS_OF_TIME

ASSUMED = "assumed"
VIDEO_APIS = "assumed; seen at other video APIs"
BILLING = "assumed; seen in other billing systems"
SEARCH_INDEX = "assumed; seen in lists behind a search index"
PROXIES = "assumed; seen at proxies"
S3 = "assumed; seen at providers with files on S3"
EXAMPLES = "documented, August 2026: the official examples show it"

N: Final[Any] = object()
_LISTED_LATE_SECONDS = 300.0


@dataclass(frozen=True)
class TaskWorld:
    """Something that can happen to a task.

    Args:
        name: what scripts, rates and prompts call it.
        what: what it changes, in one sentence.
        script: the fields of a task script that bring it about.
        seconds: the default of N.
        source: who says that the service does this.
    """

    name: str
    what: str
    script: Mapping[str, Any]
    seconds: float | None = None
    source: str = ASSUMED

    def fields(self, seconds: float | None = None) -> dict[str, Any]:
        """Return the script's fields, with these seconds or the default ones."""
        wanted = self.seconds if seconds is None else float(seconds)
        if seconds is not None and self.seconds is None:
            raise ValueError(f"{self.name} has no seconds to choose")
        fields: dict[str, Any] = _put(self.script, wanted)
        return {**fields, "worlds": [self.name]}


def _put(value: Any, seconds: float | None) -> Any:
    if value is N:
        return seconds
    if isinstance(value, Mapping):
        return {name: _put(item, seconds) for name, item in value.items()}
    return [_put(item, seconds) for item in value] if isinstance(value, list) else value


def _at_end(**override: Any) -> dict[str, Any]:
    """An override that holds from the task's end on."""
    return {"overrides": [{"since": "end", **override}]}


def _shown(**override: Any) -> dict[str, Any]:
    return {"overrides": [override]}


def _listed(**override: Any) -> dict[str, Any]:
    return {"overrides": [{"calls": "list", **override}]}


_FAILURE = {"pexit": "1", "outputs": [], "totalcost": "0"}
_CANCEL = {"status": "task_cancel", "pexit": "", "outputs": [], "totalcost": "0"}

_ENDS = (
    TaskWorld(
        "late_outputs",
        "The end is shown N seconds before its outputs.",
        _at_end(fields={"outputs": []}, until_seconds=N),
        20.0,
        VIDEO_APIS,
    ),
    TaskWorld(
        "late_cost",
        'The end is shown N seconds before its cost; until then `totalcost` is "0".',
        _at_end(fields={"totalcost": "0"}, until_seconds=N),
        20.0,
        BILLING,
    ),
    TaskWorld(
        "late_exit_code",
        "The end is shown N seconds before `pexit`, which is empty until then.",
        _at_end(fields={"pexit": ""}, until_seconds=N),
        20.0,
        VIDEO_APIS,
    ),
    TaskWorld(
        "outputs_never",
        "The outputs never come, though they were paid for.",
        _at_end(fields={"outputs": []}),
        source=VIDEO_APIS,
    ),
    TaskWorld(
        "cost_never",
        '`totalcost` stays "0" though the price is charged.',
        _at_end(fields={"totalcost": "0"}),
        source=BILLING,
    ),
    TaskWorld(
        "exit_code_never",
        "`pexit` stays empty after the end.",
        _at_end(fields={"pexit": ""}),
        source=VIDEO_APIS,
    ),
    TaskWorld(
        "failed_first",
        "A success is shown as a failure without a cost for N seconds.",
        _at_end(fields=_FAILURE, until_seconds=N),
        10.0,
        VIDEO_APIS,
    ),
    TaskWorld(
        "cancelled_first",
        "A success is shown as cancelled without a cost for N seconds.",
        _at_end(fields=_CANCEL, until_seconds=N),
        10.0,
        VIDEO_APIS,
    ),
    TaskWorld(
        "failed_later",
        "A success becomes a failure after N seconds; its cost is given back.",
        {
            "cost_usd": "0",
            "overrides": [
                {"since": "end", "rewrites": ["cost_as_listed"], "until_seconds": N},
                {"since": "end", "fields": _FAILURE, "from_seconds": N},
            ],
        },
        20.0,
    ),
    TaskWorld(
        "failed_with_cost",
        'The task fails with `pexit` "1", and is billed.',
        {"outcome": "failed_with_cost"},
    ),
    TaskWorld(
        "cancelled_with_cost",
        'The task ends as `task_cancel` with `pexit` "0", outputs and a cost.',
        {"outcome": "cancelled_with_cost"},
        source=EXAMPLES,
    ),
)

_COSTS = (
    TaskWorld("cost_null", "`totalcost` is null.", _at_end(fields={"totalcost": None})),
    TaskWorld("cost_missing", "`totalcost` is missing.", _at_end(without=["totalcost"])),
    TaskWorld(
        "cost_negative",
        "`totalcost` is negative though the price is charged.",
        _at_end(fields={"totalcost": "-0.28"}),
        source=BILLING,
    ),
    TaskWorld(
        "cost_huge",
        "`totalcost` is 99999999999 though the price is charged.",
        _at_end(fields={"totalcost": "99999999999"}),
        source=BILLING,
    ),
    TaskWorld("cost_text", "`totalcost` is not a number.", _at_end(fields={"totalcost": "n/a"})),
    TaskWorld(
        "cost_above_price",
        "The task is billed twice its price.",
        {"price_times": 2.0},
        source=BILLING,
    ),
    TaskWorld(
        "cost_changes",
        "The price is shown for N seconds, then twice as much, which is what is billed.",
        {
            "price_times": 2.0,
            "overrides": [{"since": "end", "rewrites": ["cost_as_listed"], "until_seconds": N}],
        },
        60.0,
        BILLING,
    ),
)

_LISTS = (
    TaskWorld(
        "list_inputs_null",
        "Task/List shows null for the inputs.",
        _listed(rewrites=["inputs_null"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_inputs_cut",
        "Task/List cuts every input after 20 characters.",
        _listed(rewrites=["inputs_cut"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_inputs_escaped",
        "Task/List escapes the inputs as HTML.",
        _listed(rewrites=["inputs_escaped"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_inputs_upper_case",
        "Task/List shows the inputs in upper case.",
        _listed(rewrites=["inputs_upper_case"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_inputs_with_defaults",
        "Task/List fills defaults in that were not sent.",
        _listed(rewrites=["inputs_with_defaults"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_inputs_rehosted",
        "Task/List shows the service's own URLs for those that were sent.",
        _listed(rewrites=["inputs_rehosted"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_slug_newer",
        "Task/List shows the task under a newer slug of its model.",
        _listed(rewrites=["slug_newer"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_callback_missing",
        "Task/List leaves `callbackurl` out; Task/Detail shows it.",
        _listed(without=["callbackurl"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_callback_null",
        "Task/List shows null for `callbackurl`; Task/Detail shows it.",
        _listed(fields={"callbackurl": None}),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_callback_cut",
        "Task/List cuts `callbackurl` after 20 characters; Task/Detail shows it whole.",
        _listed(rewrites=["callback_cut"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "list_callback_escaped",
        "Task/List escapes `callbackurl` as HTML; Task/Detail shows it as sent.",
        _listed(rewrites=["callback_escaped"]),
        source=SEARCH_INDEX,
    ),
    TaskWorld(
        "callback_missing",
        "`callbackurl` is missing in Task/List and in Task/Detail.",
        _shown(without=["callbackurl"]),
    ),
    TaskWorld(
        "list_behind",
        "Task/List shows the task as it was N seconds ago.",
        _listed(behind_seconds=N),
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
        _listed(hides="not_found"),
        source=SEARCH_INDEX,
    ),
)

_DETAILS = (
    TaskWorld(
        "forgotten",
        "Task/Detail answers code 1 for N seconds of the task's run.",
        _shown(calls="detail", hides="not_found", from_seconds=1.0, until_seconds=N),
        60.0,
    ),
    TaskWorld(
        "forgotten_empty",
        "Task/Detail answers an empty list for N seconds of the task's run.",
        _shown(calls="detail", hides="empty", from_seconds=1.0, until_seconds=N),
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
        _at_end(fields={"status": "task_archived", "pexit": ""}, until_seconds=N),
        60.0,
    ),
    TaskWorld("kill_refused", "Task/Kill and Task/Cancel refuse the task.", {"kill": "refused"}),
    TaskWorld(
        "times_in_milliseconds",
        "All times of the task are in milliseconds.",
        _shown(rewrites=["times_in_milliseconds"]),
    ),
    TaskWorld(
        "times_far_future",
        "All times of the task are 50 years ahead.",
        _shown(rewrites=["times_far_future"]),
    ),
    TaskWorld(
        "times_negative",
        "All times of the task are negative.",
        _shown(rewrites=["times_negative"]),
    ),
    TaskWorld(
        "times_missing",
        "The task has no times.",
        _shown(without=["createtime", *STATUS_OF_TIME]),
    ),
)

_RUNS = (
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

_FILES = (
    TaskWorld(
        "signed_urls",
        "Output URLs are signed and stop working N seconds after they were shown.",
        {"url_seconds": N},
        60.0,
        S3,
    ),
    TaskWorld(
        "files_vanish",
        "The files are gone (404) N seconds after the end.",
        {"files_vanish_seconds": N},
        120.0,
        "assumed; the documents say that files live for a limited, unstated time",
    ),
    TaskWorld(
        "second_cdn",
        "The outputs are on the second CDN host.",
        {"cdn": "second"},
        source="assumed; cdn.wiro.ai and cdn1.wiro.ai have been seen",
    ),
    TaskWorld(
        "size_wrong",
        "The announced size of an output is 1000 bytes too much.",
        _shown(rewrites=["sizes_wrong"]),
        source=S3,
    ),
    TaskWorld(
        "size_zero",
        'The announced size of an output is "0".',
        _shown(fields={"outputs.*.size": "0"}),
        source=S3,
    ),
    TaskWorld(
        "type_wrong",
        "An output is announced and sent as application/octet-stream.",
        {
            "overrides": [{"fields": {"outputs.*.contenttype": "application/octet-stream"}}],
            "file_fault": "file_wrong_type",
            "file_fault_times": None,
        },
        source=S3,
    ),
    TaskWorld(
        "length_zero",
        "Downloads announce a Content-Length of 0.",
        {"file_fault": "file_zero_length", "file_fault_times": None},
        source=S3,
    ),
)

TASK_WORLDS: Mapping[str, TaskWorld] = {
    world.name: world for world in (*_ENDS, *_COSTS, *_LISTS, *_DETAILS, *_RUNS, *_FILES)
}


def marker_of(world: TaskWorld) -> str:
    """Return the word that asks for a world in a prompt."""
    return f"[{world.name.replace('_', '-')}]"


def expand_worlds(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a script's fields with those of the worlds that it names.

    Args:
        fields: with ``worlds`` as a list of names, or as an object of seconds by name.

    Raises:
        ValueError: there is no such world, or it has no seconds to choose.
    """
    wanted = fields.get("worlds") or {}
    if isinstance(wanted, str) or not isinstance(wanted, (Mapping, Sequence)):
        raise ValueError("worlds must be a list of names, or an object of seconds by name")
    chosen = wanted if isinstance(wanted, Mapping) else dict.fromkeys(wanted)
    expanded: dict[str, Any] = {}
    for name, seconds in chosen.items():
        expanded = merge_scripts(expanded, get_task_world(name).fields(seconds))
    return merge_scripts(expanded, {key: fields[key] for key in fields if key != "worlds"})


def get_task_world(name: str) -> TaskWorld:
    """Return the world of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in TASK_WORLDS:
        raise ValueError(f"a task has no world {name}; choose from {', '.join(TASK_WORLDS)}")
    return TASK_WORLDS[name]


def merge_scripts(fields: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return both scripts' fields; the second wins, but overrides and worlds add up."""
    merged = {**fields, **more}
    for name in ("overrides", "worlds"):
        if name in merged:
            merged[name] = [*fields.get(name, ()), *more.get(name, ())]
    return merged
