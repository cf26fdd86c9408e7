"""Start what `examples/compose/compose.yaml` starts, without Docker, and make its two videos.

    python -m tests.system.campaigns.compose

Each service of ours is a process with the file's own command, and with the file's environment and
no other. PostgreSQL is a local server, MinIO is moto's S3 server, and Wiro is the emulator; so only
the addresses of these, ports and folders are replaced. What Docker does with the images, networks
and volumes is not tried. Exit status 1 if a video does not come.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml
from moto.server import ThreadedMotoServer

from tests.support.dagster_dev import ROOT, DagsterDev
from tests.support.ports import free_port
from tests.support.postgres import chosen_database
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET, Emulator

FOLDER = ROOT / "examples" / "compose"
_VARIABLE = re.compile(r"\$\{(\w+)(?::?([?-])([^}]*))?\}")


def read_services(settings: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Read the Compose file's services, with the variables that `.env` would give.

    Args:
        settings: the variables. One that the file needs and that is missing is an error.
    """

    def fill(found: re.Match[str]) -> str:
        name, sign, default = found.groups()
        if name in settings:
            return settings[name]
        if sign != "-":
            raise KeyError(name)
        return str(default)

    content = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    services: dict[str, dict[str, Any]] = _fill_texts(content["services"], fill)
    return services


def _fill_texts(value: Any, fill: Callable[[re.Match[str]], str]) -> Any:
    if isinstance(value, dict):
        return {key: _fill_texts(inner, fill) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill_texts(inner, fill) for inner in value]
    return _VARIABLE.sub(fill, value) if isinstance(value, str) else value


def run_services(folder: Path) -> dict[str, str]:
    """Start the services, order the videos of the file's prompts, and wait until we own them.

    Returns:
        The URI of each video, by partition.
    """
    with ExitStack() as opened:
        emulator = opened.enter_context(Emulator.start(task_seconds=1, tiny_videos=True))
        database = str(opened.enter_context(chosen_database(is_postgres=True)))
        store = opened.enter_context(_s3_server())
        code_port, web_port = free_port(), free_port()
        services = read_services(
            {
                "POSTGRES_PASSWORD": "postgres-secret",
                "MINIO_USER": "wiro",
                "MINIO_PASSWORD": "minio-secret",
                "WIRO_API_KEY": EMULATOR_API_KEY,
                "WIRO_API_SECRET": EMULATOR_API_SECRET,
                "WIRO_BASE_URL": emulator.base_url,
                "WIRO_CDN_HOSTS": emulator.cdn_host,
            }
        )
        url = database.replace("postgresql://", "postgresql+psycopg2://")
        replaced = {
            "DAGSTER_HOME": str(folder / "dagster"),
            "DAGSTER_POSTGRES_URL": url,
            "WIRO_LEDGER_URL": url,
            "AWS_ENDPOINT_URL_S3": store,
        }
        _copy_image(folder, code_port)
        starter = Starter(folder, services, replaced, {"4000": code_port, "3000": web_port})
        assert starter.start("bucket").wait(60) == 0
        opened.callback(starter.stop)
        starter.start("code")
        starter.wait_until_healthy("code")
        starter.start("webserver")
        starter.start("daemon")
        dev = DagsterDev(f"http://127.0.0.1:{web_port}", folder / "daemon.log")
        keys = dev.wait_for(lambda: dev.partition_keys("video"), seconds=180, what="partitions")
        dev.launch_run("video_order", keys)
        videos = dev.wait_for(
            lambda: (
                len(found) == len(keys) and found
                if (found := dev.materializations("video"))
                else None
            ),
            seconds=240,
            what="the videos",
        )
        assert all(video["runId"] for video in videos), "a collector run shows each of them"
        return {str(video["partition"]): _find_uri(video, store) for video in videos}


class Starter:
    """Starts services as processes, in the folders and with the variables that they have.

    Args:
        folder: has what the image has.
        services: as the Compose file says.
        replaced: variables that name other addresses here.
        ports: those to listen on here, by those in the file.
    """

    def __init__(
        self,
        folder: Path,
        services: dict[str, dict[str, Any]],
        replaced: Mapping[str, str],
        ports: Mapping[str, int],
    ) -> None:
        self._folder = folder
        self._services = services
        self._replaced = replaced
        self._ports = ports
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a service."""
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                self._localize(self._services[name]["command"]),
                cwd=self._folder / str(self._services[name]["working_dir"]).rpartition("/")[2],
                env=self._environment(name),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def wait_until_healthy(self, name: str) -> None:
        """Run the service's own health check until it says yes."""
        _, *command = self._services[name]["healthcheck"]["test"]
        deadline = time.monotonic() + 120
        while subprocess.run(
            self._localize(command), env=self._environment(name), capture_output=True, check=False
        ).returncode:
            log = (self._folder / f"{name}.log").read_text()
            assert time.monotonic() < deadline, f"{name} does not become healthy:\n{log[-3000:]}"
            time.sleep(1)

    def stop(self) -> None:
        """End the services, the last one first, as Compose does."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _localize(self, command: list[str]) -> list[str]:
        local = [str(self._ports.get(word, word)) for word in command]
        return [str(Path(sys.executable).parent / local[0]), *local[1:]]

    def _environment(self, name: str) -> dict[str, str]:
        stated = {key: str(text) for key, text in self._services[name]["environment"].items()}
        own = {key: text for key, text in self._replaced.items() if key in stated}
        image = {"PATH": os.environ["PATH"], "HOME": str(self._folder), "PYTHONPATH": str(ROOT)}
        return {**image, **stated, **own}


def _copy_image(folder: Path, code_port: int) -> None:
    """Put the files in place that the Dockerfile copies."""
    home = folder / "dagster"
    home.mkdir()
    shutil.copytree(FOLDER / "project", folder / "project")
    shutil.copy(FOLDER / "dagster.yaml", home)
    workspace = yaml.safe_load((FOLDER / "workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": code_port}
    (home / "workspace.yaml").write_text(yaml.safe_dump(workspace))


@contextmanager
def _s3_server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _find_uri(video: dict[str, Any], store: str) -> str:
    """Return where a video is, once the store has shown that it has it."""
    entries = {entry["label"]: entry for entry in video["metadataEntries"]}
    uri = next(text for entry in entries.values() if (text := _text(entry)).startswith("s3://"))
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client = boto3.client(
        "s3",
        endpoint_url=store,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    assert client.head_object(Bucket=bucket, Key=key)["ContentLength"] > 0
    return uri


def _text(entry: dict[str, Any]) -> str:
    return str(entry.get("url") or entry.get("text") or "")


def main() -> int:
    """Runs it from the command line."""
    with tempfile.TemporaryDirectory(prefix="wiro-compose-", ignore_cleanup_errors=True) as name:
        videos = run_services(Path(name))
    for partition, uri in sorted(videos.items()):
        print(f"{partition}: {uri}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
