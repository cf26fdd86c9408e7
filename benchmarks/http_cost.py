"""What HTTP costs beside a plain `requests.Session`: `python -m benchmarks.http_cost`.

Fetches the same small file, reads the same task and runs the same model many times, on an emulator
in a process of its own: with a plain session, then with the client's. Prints the CPU time of this
process for each and their ratio, the best of several turns. Ours includes allowed hosts, total
deadlines, limits of size and signatures; a task is also read into its model. About half a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import requests

from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.emulator import Emulator

_TIMES, _TURNS = 200, 5
_MODEL = "minimax/hailuo-2-3"
_INPUTS = {"prompt": "A quiet harbour", "resolution": "768P", "duration": "6"}


def measure(step: Callable[[], object]) -> float:
    """Return the milliseconds of CPU that a step takes on average."""
    started = time.process_time()
    for _ in range(_TIMES):
        step()
    return (time.process_time() - started) / _TIMES * 1000


def main() -> None:
    """Print a line for downloads, one for reads and one for runs."""
    with (
        Emulator.start(task_seconds=0, tiny_videos=True, balance_usd=Decimal(10_000)) as emulator,
        WiroClient(
            Credentials(emulator.api_key, emulator.api_secret),
            base_url=emulator.base_url,
            cdn_hosts=[emulator.cdn_host],
        ) as client,
        requests.Session() as session,
    ):
        task_id = client.submit(_MODEL, _INPUTS).task_id
        url = str(client.get_task(task_id).outputs[0].url)
        signing = Credentials(emulator.api_key, emulator.api_secret)

        def fetch_plainly() -> None:
            session.get(url, timeout=60).raise_for_status()

        def fetch() -> None:
            with client.download(url) as download:
                b"".join(download.chunks())

        def read_plainly() -> None:
            session.post(
                f"{emulator.base_url}/Task/Detail",
                json={"taskid": task_id},
                headers=signing.headers(),
                timeout=60,
            ).json()

        def run_plainly() -> None:
            session.post(
                f"{emulator.base_url}/Run/{_MODEL}",
                json=_INPUTS,
                headers=signing.headers(),
                timeout=60,
            ).json()

        pairs = {
            "download": (fetch_plainly, fetch),
            "read of a task": (read_plainly, lambda: client.get_task(task_id)),
            "run": (run_plainly, lambda: client.submit(_MODEL, _INPUTS)),
        }
        for name, (plain, ours) in pairs.items():
            turns = [(measure(plain), measure(ours)) for _ in range(_TURNS)]
            plainly, with_ours = (min(times) for times in zip(*turns, strict=True))
            print(
                f"{name}: {plainly:.2f} ms with requests, {with_ours:.2f} ms with the client, "
                f"ratio {with_ours / plainly:.2f}"
            )


if __name__ == "__main__":
    main()
