"""The parts of a component's `defs.yaml`: account, ledger, schedule. Secrets stay names in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args
from urllib.parse import urlsplit

import dagster as dg
from pydantic import ConfigDict, Field

from wiro_dagster.budget import UnknownPricePolicy
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources import (
    DEFAULT_BASE_URL,
    DEFAULT_CDN_HOSTS,
    LedgerResource,
    WiroResource,
)

_ENV = re.compile(r"""\{\{\s*env(?:\.(\w+)|\(\s*["'](\w+)["']\s*\))\s*\}\}""")
_SQLITE = "sqlite:///"

Amount = str | float
"""USD."""


def one_of(choices: Any) -> dict[str, Any]:
    """Tells editors and `dg check yaml` the only words that a field takes."""
    return {"enum": list(get_args(choices))}


@dataclass(frozen=True)
class BareSecret:
    """A secret that stands in the file itself. Its value is not kept, so no error can show it."""


def _find_variable(value: Any) -> dg.EnvVar | None:
    match = _ENV.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if match is None else dg.EnvVar(match[1] or match[2])


def _resolve_secret(_: dg.ResolutionContext, value: Any) -> dg.EnvVar | BareSecret | None:
    """Keeps the variable's name: its value would be shown among the resource's settings."""
    return None if value is None else _find_variable(value) or BareSecret()


def _resolve_url(context: dg.ResolutionContext, value: Any) -> Any:
    variable = _find_variable(value)
    if variable is not None:
        return variable
    url = context.resolve_value(value)
    return BareSecret() if isinstance(url, str) and urlsplit(url).password else url


def _refuse_bare(field: str, value: Any) -> Any:
    if isinstance(value, BareSecret):
        raise ConfigurationError(
            f"{field} in defs.yaml holds a secret, which Dagster's UI would show. Put it into an "
            'environment variable, and write the name of that: "{{ env.NAME }}".'
        )
    return value


class _Settings(dg.Model, dg.Resolvable):
    """Settings in a `defs.yaml`."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class WiroAccount(_Settings):
    """The Wiro account that pays."""

    api_key: Annotated[
        dg.EnvVar | BareSecret,
        dg.Resolver(
            _resolve_secret,
            model_field_type=str,
            inject_before_resolve=False,
            description="The project's API key, as the name of an environment variable.",
            examples=["{{ env.WIRO_API_KEY }}"],
        ),
    ]
    api_secret: Annotated[
        dg.EnvVar | BareSecret | None,
        dg.Resolver(
            _resolve_secret,
            model_field_type=str | None,
            inject_before_resolve=False,
            description=(
                "The project's API secret, as the name of an environment variable; none for a "
                "project of the key-only kind."
            ),
            examples=["{{ env.WIRO_API_SECRET }}"],
        ),
    ] = None
    base_url: Annotated[
        str, dg.Resolver.default(description="REST base of the API.", examples=[DEFAULT_BASE_URL])
    ] = DEFAULT_BASE_URL
    cdn_hosts: Annotated[
        list[str],
        dg.Resolver.default(
            description="Hosts that output files may be downloaded from.",
            examples=[list(DEFAULT_CDN_HOSTS)],
        ),
    ] = Field(default_factory=lambda: list(DEFAULT_CDN_HOSTS))

    def build_resource(self) -> WiroResource:
        """The account as a resource.

        Raises:
            ConfigurationError: a secret stands in the file.
        """
        return WiroResource(
            api_key=_refuse_bare("account.api_key", self.api_key),
            api_secret=_refuse_bare("account.api_secret", self.api_secret),
            base_url=self.base_url,
            cdn_hosts=self.cdn_hosts,
        )


class WiroLedger(_Settings):
    """The database that says what was ordered and paid for, and the budget, in USD."""

    url: Annotated[
        dg.EnvVar | BareSecret | str,
        dg.Resolver(
            _resolve_url,
            model_field_type=str,
            inject_before_resolve=False,
            description=(
                "SQLAlchemy URL. A relative SQLite path starts from the project's folder. One with "
                "a password is given as the name of an environment variable."
            ),
            examples=["sqlite:///.wiro/ledger.db", "{{ env.WIRO_LEDGER_URL }}"],
        ),
    ]
    daily_budget_usd: Annotated[
        Amount | None,
        dg.Resolver.default(
            description="The most the account may spend in one day (UTC); null is no limit.",
            examples=[10, "12.50"],
        ),
    ] = "10"
    total_budget_usd: Annotated[
        Amount | None,
        dg.Resolver.default(description="The most the account may ever spend.", examples=[500]),
    ] = None
    collection_budget_usd: Annotated[
        Amount | None,
        dg.Resolver.default(description="The most this collection may ever spend.", examples=[100]),
    ] = None
    video_budget_usd: Annotated[
        Amount | None,
        dg.Resolver.default(description="The most one video may cost.", examples=["0.60"]),
    ] = None
    unknown_price: Annotated[
        UnknownPricePolicy,
        dg.Resolver.default(
            description=(
                'Where no price is known before the run: "refuse" holds the order back, "allow" '
                'lets it pass, "assume" counts it at assumed_price_usd.'
            ),
            examples=list(get_args(UnknownPricePolicy)),
            json_schema_extra=one_of(UnknownPricePolicy),
        ),
    ] = "refuse"
    assumed_price_usd: Annotated[
        Amount | None,
        dg.Resolver.default(
            description='What an order counts as under unknown_price "assume".', examples=["0.50"]
        ),
    ] = None

    def build_resource(self, folder: Path) -> LedgerResource:
        """The ledger as a resource.

        Args:
            folder: what a relative SQLite path starts from.

        Raises:
            ConfigurationError: a password stands in the file.
        """
        url = _refuse_bare("ledger.url", self.url)
        if not isinstance(url, dg.EnvVar) and url.startswith(_SQLITE):
            url = f"{_SQLITE}{folder / url.removeprefix(_SQLITE)}"
        return LedgerResource(
            url=url,
            daily_budget_usd=_text(self.daily_budget_usd),
            total_budget_usd=_text(self.total_budget_usd),
            collection_budget_usd=_text(self.collection_budget_usd),
            video_budget_usd=_text(self.video_budget_usd),
            unknown_price=self.unknown_price,
            assumed_price_usd=_text(self.assumed_price_usd),
        )


def _text(amount: Amount | None) -> str | None:
    return None if amount is None else str(amount)


class MorningOrders(_Settings):
    """When to order what is missing."""

    cron_schedule: Annotated[
        str,
        dg.Resolver.default(description="When, in the notation of cron.", examples=["0 6 * * *"]),
    ]
    execution_timezone: Annotated[
        str | None,
        dg.Resolver.default(description="Whose time; UTC by default.", examples=["Europe/Berlin"]),
    ] = None
