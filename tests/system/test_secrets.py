"""Every path with recognisable secrets, failures included; then all that is kept or printed."""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from tests.support.project import FAST, FAST_TIMING, Project
from wiro_dagster import WiroResource
from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.progress import follow_task
from wiro_dagster.cli import main
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import WiroError
from wiro_dagster.ledger import Order
from wiro_dagster.ledger.uploads import LedgerUploads
from wiro_dagster.orders.uploads import Uploads

KEY = "key-4f1d5c1e9a7b"
SECRET = "secret-b7702c9e51aa"
WRONG_KEY = "wrong-key-91e0c4d2"
WRONG_SECRET = "wrong-secret-e55d10"
CALLBACK = "callback-token-71bd03aa55"
IMAGE = b"\x89PNG\r\n\x1a\n not really an image"
_PLACES = ("logs", "errors", "reprs", "commands", "files", "events")
_SECONDS = 120.0
# Whatever has to wait here waits for as little as it can.
HASTY = replace(
    FAST,
    resubmit_after_seconds=1.5,
    timing=replace(FAST_TIMING, pause_seconds=0.5, refused_pause_seconds=0.5),
)
# Files go there by upload, and nothing of them stays.
TIDY = replace(HASTY, local_files="upload", files_at_wiro="delete")


class SecretProject(Project):
    """A project whose credentials come from the environment, as a user's do."""

    key_name = "WIRO_API_KEY"
    secret_name = "WIRO_API_SECRET"

    @property
    def resources(self) -> dict[str, Any]:
        wiro = WiroResource(
            api_key=dg.EnvVar(self.key_name),
            api_secret=dg.EnvVar(self.secret_name),
            base_url=self.emulator.base_url,
            cdn_hosts=[self.emulator.cdn_host],
            websocket_url=self.emulator.websocket_url,
        )
        return {**super().resources, "wiro": wiro}

    def load_resources(self) -> dict[str, Any]:
        return self.resources  # Dagster puts the secrets in

    def open_client(self) -> WiroClient:
        with dg.build_resources(self.resources) as resources:
            client: WiroClient = resources.wiro.get_client()
            return client


class RefusedProject(SecretProject):
    """A project whose credentials Wiro does not know."""

    key_name = "WRONG_API_KEY"
    secret_name = "WRONG_API_SECRET"


@dataclass
class Trail:
    """What a run of everything left behind, by place."""

    secrets: list[str] = field(default_factory=lambda: [KEY, SECRET, WRONG_KEY, WRONG_SECRET])
    texts: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in _PLACES})
    calls: Counter[str] = field(default_factory=Counter)

    def keep(self, place: str, *texts: object) -> None:
        self.texts[place] += [str(text) for text in texts]

    def attempt(self, call: Callable[[], object]) -> None:
        """Calls, and keeps what it returns or raises, its traceback included."""
        try:
            result = call()
        except WiroError as error:
            self.keep("errors", repr(error), error, vars(error))
            self.keep("errors", *traceback.format_exception(error))
        else:
            self.keep("reprs", repr(result), result)

    def command(self, *arguments: str) -> None:
        result = CliRunner().invoke(main, arguments, env={"COLUMNS": "300"})
        self.keep("commands", result.output, repr(result.exception))
        if result.exc_info:
            self.keep("errors", *traceback.format_exception(result.exc_info[1]))


@contextmanager
def everything_logged(trail: Trail) -> Iterator[None]:
    """All records of all loggers, from DEBUG up."""

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            trail.keep("logs", record.name, record.getMessage(), record.exc_text or "")
            if record.exc_info and record.exc_info[1]:
                trail.keep("logs", *traceback.format_exception(record.exc_info[1]))

    keeper = Keep(level=logging.DEBUG)
    names = ("", "dagster", "urllib3", "requests", "websockets")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(keeper)
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(keeper)
            logger.setLevel(level)


def prompts(*marks: str) -> list[dict[str, Any]]:
    return [{"id": f"p{n}", "prompt": f"A fox {n} {mark}"} for n, mark in enumerate(marks)]


def order_everything(project: SecretProject) -> None:
    """Orders that succeed, fail, get lost, are refused, are cancelled; files that break."""
    emulator = project.emulator
    project.write_prompts(
        *prompts("", "[fail]", "[empty]", "[cancelled]", "[stderr]", "[stuck]", "[cut-file]"),
        {"id": "wrong", "prompt": "x", "inputs": {"duration": 7}},
        {"id": "younger", "prompt": "A fox that comes later"},
    )
    emulator.script_fault("drop", endpoint="Run", moment="after")
    emulator.script_fault("http_502", endpoint="Run", moment="before", skip=1)
    emulator.script_fault("rate_limited", endpoint="Task/Detail", times=2)
    emulator.script_fault("broken_json", endpoint="Task/Detail", times=3)
    emulator.script_fault("html", endpoint="Task/List", times=1)
    emulator.script_fault("file_html")
    emulator.script_fault("file_redirect_elsewhere", skip=2)
    project.order("p0", "p6")
    _go_on(project, lambda order: order.is_settled or order.state == "unknown")
    # Only a younger task in Wiro's list proves that the lost one is none: its times are seconds.
    lost_at = max(order.moved_at for order in project.ledger.list_orders())
    time.sleep(max(0.0, lost_at + 3.0 - time.time()))
    project.order("younger")
    _go_on(project, lambda order: order.is_settled)
    project.settle()


def _go_on(project: SecretProject, is_done: Callable[[Order], bool]) -> None:
    """Tick until all orders are done; the one that hangs at Wiro is cancelled."""
    deadline = time.monotonic() + _SECONDS
    while not all(map(is_done, orders := project.ledger.list_orders())):
        assert time.monotonic() < deadline, [(order.state, order.error) for order in orders]
        for order in orders:
            if order.state == "running" and "[stuck]" in order.prompt:
                project.ledger.request_stop(order.id, state="cancelled", reason="Enough.")
        project.tick()
        time.sleep(0.2)


def wait_for_some(project: SecretProject, trail: Trail) -> None:
    """A run that follows its tasks by the socket; files are uploaded, and deleted in the end.

    One video comes, one fails; one upload and one deletion do too.
    """
    emulator = project.emulator
    (project.folder / "face.png").write_bytes(IMAGE + b"?")
    with_image = {"inputs": {"inputImageFirst": "face.png"}}
    first, second = prompts("waited for", "[fail] waited for")
    project.write_prompts({**first, **with_image}, {**second, **with_image})
    emulator.script_fault("http_502", endpoint="File/Upload", times=2)
    emulator.script_fault("broken_json", endpoint="Task/InputOutputDelete")
    project.materialize(project.collection.video_key, partitions=["p0", "p1"])
    project.write_prompts({**first, **with_image, "take": 2})
    project.materialize(project.collection.video_key, partitions=["p0"])
    entries = [*emulator.journal(kind="call"), *emulator.journal(kind="socket")]
    trail.calls = Counter(entry["endpoint"] for entry in entries)
    project.prompt_file.write_text("prompts: [")
    project.bring_prompts_in()


def be_refused(project: RefusedProject) -> None:
    """Wrong credentials, at every door."""
    project.write_prompts(*prompts("refused"))
    project.order("p0")
    for _ in range(2):
        project.tick()


def call_everything(project: SecretProject, trail: Trail) -> None:
    """The client's calls, well and badly."""
    emulator = project.emulator
    client = project.open_client()
    image = project.folder / "fox.png"
    image.write_bytes(IMAGE)
    model, inputs = "minimax/hailuo-2-3", {"prompt": "a fox"}
    url = f"http://127.0.0.1:9/hook/{CALLBACK}"
    submission = client.submit(model, inputs, callback_url=url)
    trail.secrets += [submission.task_token, CALLBACK]
    trail.keep("reprs", repr(submission), repr(client))
    token, task_id = submission.task_token, submission.task_id
    calls: list[Callable[[], object]] = [
        lambda: client.get_task(task_id),
        lambda: client.delete_task_files(token),
        client.list_tasks,
        lambda: client.submit(model, {**inputs, "duration": "7"}, callback_url=url),
        lambda: client.kill_task("1"),
        lambda: client.get_model("nobody/nothing"),
        lambda: Uploads(client, LedgerUploads(project.ledger, "account")).upload(image),
        lambda: list(follow_task(emulator.websocket_url, token, deadline=time.time() + 20)),
        lambda: client.delete_task_files(token),
    ]
    for call in calls:
        trail.attempt(call)
    emulator.set_balance("0")
    trail.attempt(lambda: client.submit(model, inputs, callback_url=url))
    emulator.set_balance("1000")
    for kind in ("drop", "html", "broken_json", "empty", "code_0", "rate_limited"):
        emulator.script_fault(kind, endpoint="Run", times=1)
        trail.attempt(lambda: client.submit(model, inputs, callback_url=url))


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    """Everything done once, and all that can be found of it afterwards."""
    found = Trail()
    folder = tmp_path_factory.mktemp("secrets")
    with (
        pytest.MonkeyPatch.context() as patch,
        Emulator.start(
            task_seconds=0.5, tiny_videos=True, api_key=KEY, api_secret=SECRET
        ) as emulator,
    ):
        settings = {
            "WIRO_API_KEY": KEY,
            "WIRO_API_SECRET": SECRET,
            "WRONG_API_KEY": WRONG_KEY,
            "WRONG_API_SECRET": WRONG_SECRET,
            "WIRO_BASE_URL": emulator.base_url,
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        home = folder / "dagster"
        home.mkdir()
        with (
            everything_logged(found),
            dg.instance_for_test(temp_dir=str(home)) as instance,
        ):
            _do_everything(found, folder, emulator, instance)
            _read_back(found, folder, emulator, instance)
    return found


def _do_everything(
    trail: Trail, folder: Path, emulator: Emulator, instance: dg.DagsterInstance
) -> None:
    project = SecretProject(folder, emulator, instance, policy=HASTY)
    order_everything(project)
    emulator.clear_faults()
    waiting = SecretProject(folder, emulator, instance, name="waiting", policy=TIDY)
    wait_for_some(waiting, trail)
    emulator.clear_faults()
    refused = RefusedProject(
        folder,
        emulator,
        instance,
        name="refused",
        policy=HASTY,
        ledger_url=f"sqlite:///{folder / 'refused.db'}",
    )
    be_refused(refused)
    trail.attempt(refused.open_client().list_tasks)
    call_everything(project, trail)
    ledger = f"sqlite:///{folder / 'ledger.db'}"
    project.write_prompts(*prompts("priced"))
    for arguments in (
        ("orders", "--ledger", ledger),
        ("orders", "--ledger", ledger, "recover", "1"),
        ("models", "search", "hailuo"),
        ("models", "show", "minimax/hailuo-2-3"),
        ("models", "show", "nobody/nothing"),
        ("quote", str(project.prompt_file)),
    ):
        trail.command(*arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WIRO_API_KEY", WRONG_KEY)
        patch.setenv("WIRO_API_SECRET", WRONG_SECRET)
        trail.command("models", "search", "hailuo")
        trail.command("quote", str(project.prompt_file))
    for each in (project, waiting, refused):
        trail.keep("reprs", repr(each.resources), repr(each.collection))
        trail.keep("reprs", *map(repr, each.ledger.list_orders()))


def _read_back(
    trail: Trail, folder: Path, emulator: Emulator, instance: dg.DagsterInstance
) -> None:
    client = SecretProject(folder, emulator, instance).open_client()
    trail.secrets += [client.get_task(task["id"]).token for task in emulator.tasks()]
    for run in instance.get_runs():
        entries = instance.all_logs(run.run_id)
        trail.keep("events", repr(run), run.run_config, *map(repr, entries))
    for key in instance.get_asset_keys():
        for fetch in (instance.fetch_materializations, instance.fetch_observations):
            records = fetch(key, limit=200).records
            trail.keep("events", *(repr(record.event_log_entry) for record in records))
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            trail.keep("files", path.name, path.read_bytes().decode("latin-1"))


def test_everything_was_really_done(trail: Trail) -> None:
    """The trail is long enough to be worth a search, and holds what failed."""
    assert len(set(trail.secrets)) > 12
    assert all(len(secret) >= 16 for secret in trail.secrets)
    # The socket, an upload that failed and one that was reused, a deletion that failed and one.
    assert trail.calls["task_info"] >= 2
    assert trail.calls["File/Upload"] == 3
    assert trail.calls["Task/InputOutputDelete"] == 2
    sizes = {place: sum(map(len, texts)) for place, texts in trail.texts.items()}
    assert all(size > 500 for size in sizes.values()), sizes
    everything = "\n".join(text for place in _PLACES for text in trail.texts[place])
    for expected in (
        "OutcomeUnknown",
        "RequestRefused",
        "InsufficientBalance",
        "RateLimited",
        "AuthenticationRefused",
        "POST /v1/Run/minimax/hailuo-2-3",
        "refused the credentials",
        "files may not be downloaded from",
        "Enough.",
        "Its files could not be uploaded",
        "are still at Wiro",
    ):
        assert expected in everything, expected


@pytest.mark.parametrize("place", _PLACES)
def test_no_secret_and_no_token_is_anywhere(trail: Trail, place: str) -> None:
    """API key, API secret, task tokens, the callback's token; right ones and wrong ones."""
    text = "\n".join(trail.texts[place])
    leaked = [secret[:12] for secret in trail.secrets if secret in text]
    assert leaked == []
