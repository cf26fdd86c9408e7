"""A real `wiro-dagster dev` on the project's own `workspace.yaml`, driven through GraphQL."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import requests

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
T = TypeVar("T")

IN_PROCESS = {"execution": {"config": {"in_process": {}}}}
"""Run configuration: steps in the run's own process. One process each doubles what a run costs."""

BRISK_DAEMON = os.pathsep.join((str(Path(__file__).with_name("brisk_daemon")), str(ROOT)))
"""The PYTHONPATH of a Dagster whose daemon looks at backfills every two seconds."""

_STOP_SECONDS = 30.0
"""Longer than `wiro-dagster dev` gives Dagster before it kills it."""


class DagsterDev:
    """Webserver, daemon and code server, as a user has them."""

    def __init__(
        self, url: str, log: Path, pid: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        self.url = url
        self.pid = pid
        self.environment = environment or {}
        self._log = log

    def query(self, text: str, **variables: Any) -> dict[str, Any]:
        answer = requests.post(
            f"{self.url}/graphql", json={"query": text, "variables": variables}, timeout=180
        ).json()
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def wait_for(self, look: Callable[[], T | None], *, seconds: float, what: str) -> T:
        """Looks until there is something to see."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(requests.ConnectionError, requests.Timeout):
                found = look()
                if found:
                    return found
            time.sleep(1.0)  # each look costs the webserver more than a small query
        raise AssertionError(f"{what} did not come. Log:\n{self._log.read_text()[-5000:]}")

    def find_in_log(self, pattern: str) -> str | None:
        """The first group of a pattern's first match in what was printed so far."""
        match = re.search(pattern, self._log.read_text())
        return None if match is None else match.group(1)

    def partition_keys(self, asset: str) -> list[str]:
        node = self.query(
            "query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) "
            "{ ... on AssetNode { partitionKeys } } }",
            key={"path": [asset]},
        )["assetNodeOrError"]
        keys: list[str] = node.get("partitionKeys", [])
        return keys

    def count_failed_partitions(self, asset: str) -> int:
        """How many partitions are red."""
        node = self.query(
            "query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) "
            "{ ... on AssetNode { partitionStats { numFailed } } } }",
            key={"path": [asset]},
        )["assetNodeOrError"]
        return int(node["partitionStats"]["numFailed"])

    def launch_backfill(
        self, asset: str, partitions: list[str], *, config: Mapping[str, Any] | None = None
    ) -> str:
        launched = self.query(
            "mutation($params: LaunchBackfillParams!) "
            "{ launchPartitionBackfill(backfillParams: $params) "
            "{ __typename ... on LaunchBackfillSuccess { backfillId } "
            "... on PythonError { message } } }",
            params={
                "assetSelection": [{"path": [asset]}],
                "partitionNames": partitions,
                "runConfigData": config or {},
            },
        )["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def launch_run(self, asset: str, partitions: list[str]) -> str:
        """One run, in one process, over a range of partitions.

        It starts at once; backfills wait for the daemon.
        """
        tags = {
            "dagster/asset_partition_range_start": partitions[0],
            "dagster/asset_partition_range_end": partitions[-1],
        }
        launched = self.query(
            "mutation($params: ExecutionParams!) { launchRun(executionParams: $params) "
            "{ __typename ... on LaunchRunSuccess { run { id } } "
            "... on PythonError { message } } }",
            params={
                "selector": {
                    "repositoryLocationName": "wiro",
                    "repositoryName": "__repository__",
                    "jobName": "__ASSET_JOB",
                    "assetSelection": [{"path": [asset]}],
                },
                "runConfigData": IN_PROCESS,
                "executionMetadata": {
                    "tags": [{"key": key, "value": value} for key, value in tags.items()]
                },
            },
        )["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["id"])

    def ended_status(self, backfill_id: str) -> str | None:
        """How a backfill ended, None while it goes on."""
        status = str(self._backfill(backfill_id)["status"])
        return status if status.startswith(("COMPLETED", "FAILED", "CANCELED")) else None

    def backfill_runs(self, backfill_id: str) -> list[str]:
        """The status of each of its runs."""
        return [str(run["status"]) for run in self._backfill(backfill_id)["runs"]]

    def started_run(self, backfill_id: str) -> str | None:
        """The id of a run of it that works now."""
        runs = self._backfill(backfill_id)["runs"]
        return next((str(run["id"]) for run in runs if run["status"] == "STARTED"), None)

    def terminate_run(self, run_id: str) -> None:
        answer = self.query(
            "mutation($id: String!) { terminateRun(runId: $id) { __typename } }", id=run_id
        )
        assert answer["terminateRun"]["__typename"] == "TerminateRunSuccess", answer

    def _backfill(self, backfill_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.query(
            "query($id: String!) { partitionBackfillOrError(backfillId: $id) "
            "{ ... on PartitionBackfill { status runs { id status } } } }",
            id=backfill_id,
        )["partitionBackfillOrError"]
        return found

    def materializations(self, asset: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.query(
            "query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset "
            "{ assetMaterializations(limit: 100) { partition runId metadataEntries { label "
            "... on FloatMetadataEntry { floatValue } ... on TextMetadataEntry { text } "
            "... on UrlMetadataEntry { url } ... on MarkdownMetadataEntry { mdStr } } } } } }",
            key={"path": [asset]},
        )["assetOrError"]["assetMaterializations"]
        return events

    def observed_partitions(self, asset: str) -> list[str]:
        """The partitions of its latest observations."""
        observations = self.query(
            "query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset "
            "{ assetObservations(limit: 100) { partition } } } }",
            key={"path": [asset]},
        )["assetOrError"]["assetObservations"]
        return [str(observation["partition"]) for observation in observations]


@contextmanager
def dagster_dev(
    folder: Path, settings: Mapping[str, str], *, workspace: Path
) -> Iterator[DagsterDev]:
    """Starts `dagster dev` with a home of its own for a benchmark, and ends all its processes."""
    home = folder / "dagster_home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    port = free_port()
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-p", str(port)]
    environment = {**os.environ, "DAGSTER_HOME": str(home), **settings}
    with _running(command, environment, port, folder / "dagster.log") as dev:
        yield dev


@contextmanager
def wiro_dev(
    folder: Path, settings: Mapping[str, str], *, task_seconds: float
) -> Iterator[DagsterDev]:
    """Starts what `make dev` starts without an account: on the emulator, with a new home.

    Its daemon looks at backfills more often than Dagster's own.
    """
    port = free_port()
    command = [str(Path(sys.executable).parent / "wiro-dagster"), "dev", "--port", str(port)]
    command += ["--folder", str(folder / ".wiro"), "--task-seconds", str(task_seconds)]
    ours = ("WIRO_", "DAGSTER_HOME")
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    environment = {**inherited, "PYTHONPATH": BRISK_DAEMON, **settings}
    with _running(command, environment, port, folder / "dev.log") as dev:
        yield dev


@contextmanager
def _running(
    command: list[str], environment: Mapping[str, str], port: int, log: Path
) -> Iterator[DagsterDev]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True, cwd=ROOT
        )
        try:
            dev = DagsterDev(f"http://127.0.0.1:{port}", log, process.pid, environment)
            dev.wait_for(
                lambda: requests.get(f"{dev.url}/server_info", timeout=60).ok,
                seconds=180,
                what="Dagster's webserver",
            )
            yield dev
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
