"""What a collection can choose between."""

from __future__ import annotations

from typing import Literal

OnTerminate = Literal["leave", "cancel"]
"""What terminating a run that waits for videos does to their tasks: leave them, and the sensor
delivers them; or cancel them at Wiro. A worker that is merely restarted never cancels."""

Collect = Literal["sensor", "runs"]
"""Where finished videos are fetched, verified and stored.

sensor  in the sensor's process, while a tick works on
runs    in runs that the sensor requests, on the code location's executor and Dagster's launcher
"""

AutoOrder = Literal["never", "new", "new_and_changed"]
"""What the prompt sensor orders.

never            nothing; orders come from a click, a schedule or an automation condition
new              prompts that were never ordered
new_and_changed  these, and prompts whose text, model or inputs have changed since

It does not repeat failed or cancelled orders. The budget applies to every order.
"""

Failures = Literal["run", "event"]
"""How a failed order shows in Dagster.

run    a short run of `video` fails with Wiro's reason: the partition turns red, and run-failure
       sensors and alerts see it
event  only an observation on the partition, and the check `orders_succeeded`
"""
