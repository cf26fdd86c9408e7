"""The command `wiro-dagster`. Each subcommand is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

from wiro_dagster.cli.extras import OPTIONAL_MODULES, describe_missing
from wiro_dagster.errors import InputError, WiroError

_COMMANDS = {
    "audit": "wiro_dagster.cli.books:audit_command",
    "costs": "wiro_dagster.cli.costs:costs",
    "demo": "wiro_dagster.cli.demo:demo",
    "dev": "wiro_dagster.cli.dev:dev",
    "emulator": "wiro_dagster.emulator.command:emulator_command",
    "init": "wiro_dagster.cli.init:init",
    "ledger": "wiro_dagster.cli.books:ledger_command",
    "models": "wiro_dagster.cli.models:models",
    "orders": "wiro_dagster.cli.orders:orders",
    "prompts": "wiro_dagster.cli.prompts:prompts",
    "quote": "wiro_dagster.cli.quote:quote",
    "serve": "wiro_dagster.cli.serve:serve",
    "takes": "wiro_dagster.cli.takes:takes",
    "run": "wiro_dagster.cli.run:run",
    "webhook": "wiro_dagster.cli.webhook:webhook",
}


_EPILOG = """\b
Exit status:
  0  done
  1  failed, refused, or something differs (audit)
  2  wrong arguments

\b
Completion for bash (zsh and fish alike):
  eval "$(_WIRO_DAGSTER_COMPLETE=bash_source wiro-dagster)"
"""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a subcommand. An error of ours is a message, not a stack trace."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            module = str(error.name).partition(".")[0]
            if module not in OPTIONAL_MODULES:
                raise
            command = ctx.invoked_subcommand or ""
            raise click.ClickException(describe_missing(command, module)) from error
        except InputError as error:
            raise click.ClickException("\n".join(error.problems)) from error
        except WiroError as error:
            raise click.ClickException(str(error)) from error


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="wiro-dagster")
def main() -> None:
    """Paid, generated video as Dagster assets."""
