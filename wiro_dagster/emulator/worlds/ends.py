"""Worlds of tasks in which an end, a cost or a file is not what it seems."""

from __future__ import annotations

from wiro_dagster.emulator.worlds.world import (
    BILLING,
    EXAMPLES,
    S3,
    VIDEO_APIS,
    N,
    TaskWorld,
    at_end,
    shown,
)

_FAILURE = {"pexit": "1", "outputs": [], "totalcost": "0"}
_CANCEL = {"status": "task_cancel", "pexit": "", "outputs": [], "totalcost": "0"}

ENDS = (
    TaskWorld(
        "late_outputs",
        "The end is shown N seconds before its outputs.",
        at_end(fields={"outputs": []}, until_seconds=N),
        20.0,
        VIDEO_APIS,
    ),
    TaskWorld(
        "late_cost",
        'The end is shown N seconds before its cost; until then `totalcost` is "0".',
        at_end(fields={"totalcost": "0"}, until_seconds=N),
        20.0,
        BILLING,
    ),
    TaskWorld(
        "late_exit_code",
        "The end is shown N seconds before `pexit`, which is empty until then.",
        at_end(fields={"pexit": ""}, until_seconds=N),
        20.0,
        VIDEO_APIS,
    ),
    TaskWorld(
        "outputs_never",
        "The outputs never come, though they were paid for.",
        at_end(fields={"outputs": []}),
        source=VIDEO_APIS,
    ),
    TaskWorld(
        "cost_never",
        '`totalcost` stays "0" though the price is charged.',
        at_end(fields={"totalcost": "0"}),
        source=BILLING,
    ),
    TaskWorld(
        "exit_code_never",
        "`pexit` stays empty after the end.",
        at_end(fields={"pexit": ""}),
        source=VIDEO_APIS,
    ),
    TaskWorld(
        "failed_first",
        "A success is shown as a failure without a cost for N seconds.",
        at_end(fields=_FAILURE, until_seconds=N),
        10.0,
        VIDEO_APIS,
    ),
    TaskWorld(
        "cancelled_first",
        "A success is shown as cancelled without a cost for N seconds.",
        at_end(fields=_CANCEL, until_seconds=N),
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

COSTS = (
    TaskWorld(
        "cost_null", "`totalcost` is null.", at_end(fields={"totalcost": None}, until_seconds=N)
    ),
    TaskWorld(
        "cost_missing", "`totalcost` is missing.", at_end(without=["totalcost"], until_seconds=N)
    ),
    TaskWorld(
        "cost_negative",
        "`totalcost` is negative though the price is charged.",
        at_end(fields={"totalcost": "-0.28"}, until_seconds=N),
        source=BILLING,
    ),
    TaskWorld(
        "cost_huge",
        "`totalcost` is 99999999999 though the price is charged.",
        at_end(fields={"totalcost": "99999999999"}, until_seconds=N),
        source=BILLING,
    ),
    TaskWorld(
        "cost_text",
        "`totalcost` is not a number.",
        at_end(fields={"totalcost": "n/a"}, until_seconds=N),
    ),
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

FILES = (
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
        shown(rewrites=["sizes_wrong"]),
        source=S3,
    ),
    TaskWorld(
        "size_zero",
        'The announced size of an output is "0".',
        shown(fields={"outputs.*.size": "0"}),
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
