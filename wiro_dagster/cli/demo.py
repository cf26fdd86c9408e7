"""`wiro-dagster demo`: the main job, start to end, on the emulator, with a live table."""

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

from wiro_dagster.cli.local_run import LocalRun
from wiro_dagster.cli.project import ProjectFolder, folder_option, task_seconds_option
from wiro_dagster.ledger import Order

_TICK_PAUSE_SECONDS = 1.0
_STEPS = {
    "ordered": 0,
    "submitting": 5,
    "unknown": 5,
    "running": 10,
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
    default=Path("examples/prompts.yaml"),
    show_default=True,
    help="The prompt file.",
)
@folder_option
@click.option(
    "--videos",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("videos"),
    show_default=True,
    help="Where the videos go.",
)
@task_seconds_option
def demo(prompts: Path, folder: Path, videos: Path, task_seconds: float) -> None:
    """Makes the videos of a prompt file on the emulator: no account, no cost."""
    logging.disable(logging.WARNING)  # sensors log to the terminal too, and would tear the table
    console = Console()
    started = time.monotonic()
    project = ProjectFolder(folder.absolute())
    with project.start_emulator(task_seconds) as emulator:
        billed_before = emulator.billable_tasks()
        run = LocalRun.on_emulator(
            project, emulator, prompts=prompts.absolute(), videos=videos.absolute()
        )
        run.bring_prompts_in()
        for problem in run.problems:
            console.print(f"[red]{problem}[/red]", highlight=False)
        console.print(f"Materializing video_order for {len(run.partitions)} prompts in one run …")
        run.order_all()
        with Live(console=console, refresh_per_second=4) as live:
            for orders in run.follow():
                live.update(_progress_table(orders))
                if not all(order.is_settled for order in orders):
                    time.sleep(_TICK_PAUSE_SECONDS)
        billed = emulator.billable_tasks() - billed_before
    gallery = run.write_gallery()
    owned = [order for order in run.orders() if _is_in_store(run, order)]
    console.print()
    console.print(_video_table(owned))
    console.print(
        f"{len(owned)} of {len(run.partitions)} videos are in the store, verified. Paid for in "
        f"this run: {billed} tasks. It took {time.monotonic() - started:.0f} s."
    )
    console.print("To watch them, open this page in a browser:")
    console.print(str(gallery), style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print(
        "To see them in Dagster: [bold]make dev[/bold], then open the asset [bold]video[/bold]."
    )
    if len(owned) != len(run.partitions) or run.problems:
        raise click.exceptions.Exit(1)


def _progress_table(orders: list[Order]) -> Table:
    table = Table("prompt", "model", "status")
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
            order.partition,
            order.model_slug.partition("/")[2],
            note,
            ProgressBar(100, percent, width=12),
            cost,
        )
    return table


def _is_in_store(run: LocalRun, order: Order) -> bool:
    store = run.resources["video_store"].get_store()
    return order.is_owned and all(
        store.find_size(file["key"]) == file["size_bytes"] for file in order.files
    )


def _video_table(orders: list[Order]) -> Table:
    total = sum((order.cost_usd or Decimal(0) for order in orders), Decimal(0))
    table = Table("prompt", show_footer=True)
    table.add_column("file", overflow="fold", ratio=1)
    for name in ("length", "size", "cost, USD"):
        table.add_column(name, justify="right", no_wrap=True)
    table.columns[0].footer = "total"
    table.columns[4].footer = f"{total:f}"
    for order in orders:
        for file in order.files:
            seconds = file["media"]["duration_seconds"]
            cost = "" if order.cost_usd is None else f"{order.cost_usd:f}"
            table.add_row(
                order.partition,
                str(file["key"]),
                "" if seconds is None else f"{seconds:.1f} s",
                f"{file['size_bytes'] / 1000:.0f} kB",
                cost,
            )
    return table
