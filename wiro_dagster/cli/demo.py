"""`wiro-dagster demo`: from prompts to videos on the emulator, with a live table."""

from __future__ import annotations

import logging
import time
from decimal import Decimal
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from wiro_dagster.catalogue.escaping import terminal_text
from wiro_dagster.catalogue.suggestions import counted
from wiro_dagster.cli.examples_folder import EXAMPLE_PROMPTS, write_examples
from wiro_dagster.cli.local_run import LocalRun
from wiro_dagster.cli.project import (
    ProjectFolder,
    folder_option,
    require_modules,
    task_seconds_option,
)
from wiro_dagster.cli.tables import Column, print_table
from wiro_dagster.ledger import Order

_TICK_PAUSE_SECONDS = 1.0
_DRAWN_A_SECOND = 2
_STEPS = {
    "ordered": 0,
    "submitting": 5,
    "unknown": 5,
    "running": 10,
    "settling": 80,
    "finished": 85,
    "stored": 95,
    "delivered": 100,
}
"""Per cent of the way to an owned video, by the order's state."""

_RUNNING_STEPS = {
    "task_queue": 10,
    "task_accept": 15,
    "task_preprocess_start": 20,
    "task_preprocess_end": 25,
    "task_assign": 30,
    "task_start": 40,
    "task_output": 60,
    "task_output_full": 70,
    "task_end": 75,
    "task_postprocess_start": 80,
}


@click.command()
@click.option(
    "--prompts",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help=f"The prompt file. Default: {EXAMPLE_PROMPTS}, which is written if it is missing.",
)
@folder_option
@click.option(
    "--videos",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("videos"),
    show_default=True,
    help="The folder for the videos.",
)
@task_seconds_option
def demo(prompts: Path | None, folder: Path, videos: Path, task_seconds: float) -> None:
    """Make the videos of a prompt file on the emulator: no account, no cost."""
    require_modules("demo")
    logging.disable(logging.WARNING)  # sensors log to the terminal too, and would tear the table
    console = Console()
    started = time.monotonic()
    if prompts is None:
        if write_examples(Path.cwd()):
            console.print(f"Wrote example prompts: {EXAMPLE_PROMPTS}")
        prompts = EXAMPLE_PROMPTS
    project = ProjectFolder(folder.absolute())
    with project.start_emulator(task_seconds) as emulator:
        billed_before = emulator.billable_tasks()
        run = LocalRun.on_emulator(
            project, emulator, prompts=prompts.absolute(), videos=videos.absolute()
        )
        run.bring_prompts_in()
        for problem in run.problems:
            console.print(f"[red]{problem}[/red]", highlight=False)
        click.echo(f"Materializing video_order for {counted(len(run.partitions), 'prompt')} …")
        run.order_all()

        def show() -> Table:
            return _progress_table(run.orders(), time.monotonic() - started)

        # Live draws in a thread of its own: the table moves while a tick downloads.
        with Live(get_renderable=show, console=console, refresh_per_second=_DRAWN_A_SECOND):
            for orders in run.follow():
                if not all(order.is_settled for order in orders):
                    time.sleep(_TICK_PAUSE_SECONDS)
        billed = emulator.billable_tasks() - billed_before
    gallery = run.write_gallery()
    owned = [order for order in run.orders() if _is_in_store(run, order)]
    click.echo()
    _print_videos(owned)
    click.echo(
        f"{len(owned)} of {counted(len(run.partitions), 'video')} are in the store, verified. This "
        f"run paid for {counted(billed, 'task')}. It took {time.monotonic() - started:.0f} s."
    )
    click.echo("To watch them, open this page in a browser:")
    console.print(str(gallery), style="bold", markup=False, highlight=False, soft_wrap=True)
    click.echo("To see them in Dagster: wiro-dagster dev, then open the asset video.")
    if len(owned) != len(run.partitions) or run.problems:
        raise click.exceptions.Exit(1)


def _progress_table(orders: list[Order], seconds: float) -> Table:
    table = Table(caption=f"{seconds:.0f} s")
    for name in ("prompt", "model", "status"):
        table.add_column(name, overflow="fold")
    table.add_column("progress", no_wrap=True, width=12)
    table.add_column("cost, USD", justify="right", no_wrap=True)
    for order in orders:
        status = order.task_status if order.state == "running" else order.state
        percent = _STEPS.get(order.state, 100)
        if order.state == "running":
            percent = _RUNNING_STEPS.get(order.task_status or "", percent)
        cost = "" if order.cost_usd is None else f"{order.cost_usd:f}"
        note = f"{status}: {order.error}" if order.error else status or "new"
        table.add_row(
            Text(order.partition),
            Text(order.model_slug.partition("/")[2]),
            Text(terminal_text(note)),
            ProgressBar(100, percent, width=12),
            cost,
        )
    return table


def _is_in_store(run: LocalRun, order: Order) -> bool:
    store = run.resources["video_store"].get_store()
    return order.is_owned and all(
        store.find_size(file["key"]) == file["size_bytes"] for file in order.files
    )


_VIDEO_COLUMNS = (
    Column("prompt"),
    Column("file"),
    Column("length", justify="right"),
    Column("size", justify="right"),
    Column("cost, USD", justify="right"),
)


def _print_videos(orders: list[Order]) -> None:
    total = sum((order.cost_usd or Decimal(0) for order in orders), Decimal(0))
    rows = [
        [
            order.partition,
            str(file["key"]),
            _length(file["media"].get("duration_seconds")),
            f"{file['size_bytes'] / 1000:.0f} kB",
            "" if order.cost_usd is None else f"{order.cost_usd:f}",
        ]
        for order in orders
        for file in order.files
    ]
    print_table(_VIDEO_COLUMNS, rows, footer=["total", "", "", "", f"{total:f}"])


def _length(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"
