"""Wiro's endpoints as methods.

with WiroClient(Credentials(api_key, api_secret)) as client:
    submission = client.submit("minimax/hailuo-2-3", {"prompt": "a tram in the rain"})
    task = client.get_task(submission.task_id)
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from wiro_dagster.api.answers import find_envelope, get_objects, refuse_shape
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.bodies import Body, JsonBody, MultipartBody, build_body
from wiro_dagster.api.download import Download, Downloader
from wiro_dagster.api.hosts import AllowedHosts
from wiro_dagster.api.known_tasks import KnownTasks
from wiro_dagster.api.models import ModelDetail, ModelSummary, choose_model, find_summary
from wiro_dagster.api.refusals import find_failure
from wiro_dagster.api.runs import RunExtras, list_url_secrets, read_submission
from wiro_dagster.api.sessions import OpenSession, open_session
from wiro_dagster.api.transport import Transport
from wiro_dagster.api.types import (
    LocalFile,
    Submission,
    Task,
    TaskPage,
    UploadedFile,
    choose_task,
    find_model,
    find_page,
    read_total,
)
from wiro_dagster.errors import InputError, NotFound

DEFAULT_BASE_URL = "https://api.wiro.ai/v1"
DEFAULT_CDN_HOSTS = ("*.wiro.ai",)

_SLUG = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_LARGEST_PAGE = 100


class WiroClient:
    """Calls Wiro's API. Threads may share one client.

    Every call has a deadline. Calls other than `submit` are repeated after faults that may pass.
    If one still fails, `OutcomeUnknown` and `NothingAccepted` mean "try again".

    Args:
        credentials: of the project.
        base_url: of the REST API.
        cdn_hosts: hosts that files may be downloaded from: `host` with any port, `host:port`, or
            `*.example.com` for its subdomains.
        allow_http_hosts: hosts that may be called without TLS, in the same form. This machine
            itself always may.
        connect_timeout_seconds: for each connection.
        read_timeout_seconds: for one attempt at a call, from connecting to the end of its answer;
            for each silence of a download.
        submit_timeout_seconds: the same for `submit`. Longer, because giving up on a run leaves
            its outcome unknown.
        read_attempts: how often a repeatable call is made in all.
        longest_wait_seconds: how long a repeatable call sleeps in one go, for example because a
            429 asks for it. If that is not enough, the call raises.
        pool_size: connections kept open; as many as there are threads.
        run_headers: sent with every run, and only there. `{marker}` in a value stands for the
            run's marker; without a marker that header is left out.
        run_fields: the same for fields of the request.
        open_session: opens the sessions that requests go through.
        clock: gives seconds that never go back.
        wall_clock: gives unix seconds.
        sleep: waits for that many seconds.

    Raises:
        ConfigurationError: an argument is malformed or out of range.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        base_url: str = DEFAULT_BASE_URL,
        cdn_hosts: Sequence[str] = DEFAULT_CDN_HOSTS,
        allow_http_hosts: Sequence[str] = (),
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 20.0,
        submit_timeout_seconds: float = 60.0,
        read_attempts: int = 4,
        longest_wait_seconds: float = 20.0,
        pool_size: int = 16,
        run_headers: Mapping[str, str] | None = None,
        run_fields: Mapping[str, str] | None = None,
        open_session: OpenSession = open_session,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        http_hosts = AllowedHosts("allow_http_hosts", allow_http_hosts)
        self._credentials = credentials
        self._known = KnownTasks()
        self._extras = RunExtras(run_headers or {}, run_fields or {})
        self._transport = Transport(
            credentials,
            base_url=base_url,
            http_hosts=http_hosts,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
            submit_timeout_seconds=submit_timeout_seconds,
            read_attempts=read_attempts,
            longest_wait_seconds=longest_wait_seconds,
            pool_size=pool_size,
            open_session=open_session,
            clock=clock,
            wall_clock=wall_clock,
            sleep=sleep,
        )
        self._downloader = Downloader(
            AllowedHosts("cdn_hosts", cdn_hosts),
            http_hosts,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
            pool_size=pool_size,
            open_session=open_session,
        )

    def __repr__(self) -> str:
        """Show the service, and no credentials."""
        return f"WiroClient(base_url={self._transport.base_url!r})"

    def __enter__(self) -> WiroClient:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()
        self._downloader.close()

    @property
    def clock_offset_seconds(self) -> float | None:
        """Wiro's clock minus ours, to about one second; None before the first answer."""
        return self._transport.server_clock.offset_seconds

    def submit(
        self,
        model_slug: str,
        inputs: Mapping[str, Any],
        *,
        callback_url: str | None = None,
        project_id: str | None = None,
        marker: str | None = None,
        confirm: Callable[[], bool] | None = None,
    ) -> Submission:
        """Ask Wiro to run a model, once: this costs money, so it is never repeated from here.

        Args:
            model_slug: `owner/project`.
            inputs: by their wire names; text, numbers, `LocalFile`, or lists of these. With a
                local file among them they go as a form, streamed from disk.
            callback_url: Wiro posts to it when the task ends.
            project_id: books the run on a project.
            marker: identifies the run; replaces `{marker}` in the client's `run_headers` and
                `run_fields`.
            confirm: called once DNS, TCP and TLS are done, right before the first byte of the
                request. If it returns False, nothing is sent.

        Raises:
            InputError: the slug or an input cannot be sent. Nothing was sent.
            RequestRefused: Wiro said no. Nothing was created.
            NothingAccepted: nothing was created, and the same call may succeed later. It is
                `SubmissionWithdrawn` if `confirm` returned False.
            OutcomeUnknown: a billable task may exist. Look for it before submitting again.
        """
        _check_slug(model_slug)
        extra = self._extras.fill_fields(marker)
        for name in extra.keys() & inputs.keys():
            raise InputError(f"{name}: this input is also set by run_fields. Remove one of them.")
        options = {"callbackUrl": callback_url, "projectid": project_id}
        given = {name: value for name, value in options.items() if value is not None}
        call = f"a run of {model_slug}"
        answer = self._transport.submit(
            model_slug,
            build_body({**inputs, **given, **extra}),
            call=call,
            confirm=confirm,
            headers=self._extras.fill_headers(marker),
        )
        hidden = [] if callback_url is None else list_url_secrets(callback_url)
        return read_submission(call, answer, [*self._list_secrets(marker), *hidden])

    def get_task(self, task_id: str | None = None, *, token: str | None = None) -> Task:
        """Return the current state of a task.

        Args:
            task_id: the task.
            token: the task's token, instead of its id or in case Wiro does not know the id.

        Raises:
            NotFound: Wiro does not know it. Right after a submission that may change.
        """
        if task_id is not None:
            try:
                page = self._get_page("Task/Detail", {"taskid": task_id}, token)
                return choose_task(page, lambda task: task.id == task_id, f"task {task_id}")
            except NotFound:
                if token is None:
                    raise
        if token is None:
            raise InputError("get_task needs a task id or a token")
        page = self._get_page("Task/Detail", {"tasktoken": token}, token)
        # An answer may leave the token out. If it holds one task only, that is the one.
        allowed = (token, "") if len(page.tasks) == 1 else (token,)
        return choose_task(page, lambda task: task.token in allowed, "a task with that token")

    def list_tasks(self, *, start: int = 0, limit: int = _LARGEST_PAGE) -> TaskPage:
        """Return one page of tasks, newest first.

        Args:
            start: how many tasks to skip.
            limit: how many to return, 100 at most.
        """
        query = {
            "type": "model",
            "sort": "id",
            "order": "DESC",
            "start": str(start),
            "limit": str(min(limit, _LARGEST_PAGE)),
        }
        return self._get_page("Task/List", query, skipped=start)

    def cancel_task(self, task_id: str) -> None:
        """Cancel a task that is in the queue. Read it afterwards: it may have started first.

        Raises:
            RequestRefused: it is not in the queue; `NotFound` if Wiro says so by code 1.
        """
        self._read("Task/Cancel", JsonBody({"taskid": task_id}))

    def kill_task(self, task_id: str, token: str | None = None) -> None:
        """Stop a task that is running. Read it afterwards: it may have ended first.

        Args:
            task_id: the task.
            token: the task's token, in case Wiro does not know the id.

        Raises:
            RequestRefused: it is not running; `NotFound` if Wiro says so by code 1.
        """
        try:
            self._read("Task/Kill", JsonBody({"taskid": task_id}))
        except NotFound:
            if not token:
                raise
            self._read("Task/Kill", JsonBody({"socketaccesstoken": token}), token)

    def delete_task_files(self, task_token: str) -> None:
        """Delete the files of an ended task at Wiro; its record stays. May be called again."""
        self._read("Task/InputOutputDelete", JsonBody({"tasktoken": task_token}), task_token)

    def get_model(self, model_slug: str) -> ModelDetail:
        """Return a model's inputs and prices.

        Raises:
            InputError: the slug is malformed.
            NotFound: this key does not see such a model.
        """
        _check_slug(model_slug)
        owner, project = model_slug.split("/")
        query = JsonBody({"slugowner": owner, "slugproject": project})
        tools = get_objects("Tool/Detail", self._read("Tool/Detail", query), "tool")
        return choose_model(model_slug, tools)

    def list_models(
        self, search: str | None = None, *, start: int = 0, limit: int = 20
    ) -> tuple[int, tuple[ModelSummary, ...]]:
        """Return how many models there are in all, and one page of them.

        Args:
            search: text to look for.
            start: how many models to skip.
            limit: how many to return.
        """
        query = {
            "start": str(start),
            "limit": str(limit),
            "hideworkflows": True,
            "summary": True,
            **({"search": search} if search else {}),
        }
        fields = self._read("Tool/List", JsonBody(query))
        found = map(find_summary, get_objects("Tool/List", fields, "tool"))
        models = tuple(model for model in found if model is not None)
        return read_total(fields, start + len(models)), models

    def upload_file(self, path: Path, folder_id: str | None = None) -> UploadedFile:
        """Upload a file of at most 100 MB, streamed from disk.

        Args:
            path: the file.
            folder_id: the folder at Wiro to keep it in.

        Raises:
            InputError: it cannot be read, is empty, or is too large. Nothing was sent.
        """
        query = {} if folder_id is None else {"folderid": folder_id}
        fields = self._read("File/Upload", MultipartBody({**query, "file": LocalFile(path)}))
        for item in get_objects("File/Upload", fields, "list"):
            uploaded = find_model(UploadedFile, {**item, "name": item.get("name") or path.name})
            if uploaded is not None:
                return uploaded
        raise refuse_shape("File/Upload", "list")

    def download(
        self, url: str, *, max_bytes: int | None = None, longest_seconds: float = 1800.0
    ) -> AbstractContextManager[Download]:
        """Open a file on the CDN, without the API's headers.

        Args:
            url: on one of the client's CDN hosts, also after redirects.
            max_bytes: the largest file to accept.
            longest_seconds: for the whole file, from connecting to its last byte.

        Returns:
            A context manager that gives a `Download`. Both it and its chunks raise
            `DownloadError`.
        """
        return self._downloader.open(url, max_bytes=max_bytes, longest_seconds=longest_seconds)

    def _get_page(
        self, path: str, query: Mapping[str, str], secret: str | None = None, skipped: int = 0
    ) -> TaskPage:
        fields = self._read(path, JsonBody(query), secret)
        page = find_page(fields, skipped=skipped, find=self._known.find)
        if page is None:
            raise refuse_shape(path, "tasklist")
        return page

    def _read(self, path: str, body: Body, secret: str | None = None) -> Mapping[str, Any]:
        """Call a repeatable endpoint and return the fields of its positive answer."""
        answer = self._transport.read(path, body, call=path)
        envelope = find_envelope(answer.body, self._list_secrets(secret))
        failure = find_failure(path, answer, envelope)
        if failure is not None:
            raise failure
        return envelope.fields if envelope is not None else {}

    def _list_secrets(self, *further: str | None) -> list[str]:
        secrets = (self._credentials.api_key, self._credentials.api_secret, *further)
        return [secret for secret in secrets if secret]


def _check_slug(model_slug: str) -> None:
    if not _SLUG.fullmatch(model_slug):
        raise InputError(
            f"{model_slug!r} is not a model slug. A slug looks like minimax/hailuo-2-3, as in the "
            "address of the model's page."
        )
