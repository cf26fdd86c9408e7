"""Dagster resources: the Wiro account, and the ledger of orders with its budget."""

from __future__ import annotations

import hashlib
import logging
import os
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.bounds import LARGEST_USD, find_money
from wiro_dagster.api.client import DEFAULT_BASE_URL, DEFAULT_CDN_HOSTS, WiroClient
from wiro_dagster.api.hosts import LOOPBACK_HOSTS, AllowedHosts, check_service_url
from wiro_dagster.api.progress import ProgressFeed
from wiro_dagster.api.runs import RunExtras
from wiro_dagster.api.sockets import TaskSockets
from wiro_dagster.catalogue.values import number_text
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.budget import BudgetLimits, UnknownPricePolicy
from wiro_dagster.resources.ledger_place import absolute_ledger_url

DEFAULT_WEBSOCKET_URL = "wss://socket.wiro.ai/v1"

_LOGGER = logging.getLogger(__name__)


class WiroResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A Wiro account. Give secrets as `dg.EnvVar`, so that Dagster shows their names only.

    Example:
        WiroResource(
            api_key=dg.EnvVar("WIRO_API_KEY"), api_secret=dg.EnvVar("WIRO_API_SECRET")
        )
    """

    api_key: str = Field(repr=False, description="The project's API key.")
    api_secret: str | None = Field(
        default=None,
        repr=False,
        description="The project's API secret; none for a project of the key-only kind.",
    )
    base_url: str = Field(default=DEFAULT_BASE_URL, description="REST base of the API.")
    cdn_hosts: list[str] = Field(
        default=list(DEFAULT_CDN_HOSTS),
        description=(
            "Hosts that output files may be downloaded from: host with any port, host:port, or "
            "*.example.com for its subdomains."
        ),
    )
    allow_http_hosts: list[str] = Field(
        default=[],
        description=(
            "Hosts that may be called without TLS, as in cdn_hosts. This machine itself always may."
        ),
    )
    websocket_url: str | None = Field(
        default=None,
        description=(
            "WebSocket that reports tasks' progress to waiting runs. By default Wiro's own, or "
            "none if base_url is set to a different service."
        ),
    )
    sockets: bool = Field(
        default=True,
        description=(
            "Whether the sensor's process listens to running tasks over the WebSocket, so that "
            "ends are seen within two seconds, if the package websockets is installed. Waiting "
            "runs listen to theirs in any case."
        ),
    )
    connect_timeout_seconds: float = Field(
        default=5.0, gt=0, description="To connect, for every request."
    )
    read_timeout_seconds: float = Field(
        default=10.0, gt=0, description="To wait for an answer to anything but a run."
    )
    submit_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        description="To wait for the answer to a run; after that its outcome is unknown.",
    )
    concurrent_requests: int = Field(
        default=8, ge=1, le=64, description="Requests to Wiro that may be under way at once."
    )
    account: str = Field(
        default="",
        max_length=32,
        description=(
            "Your name for the account in the ledger. It survives a change of key. Without it, a "
            "short hash of the key is used."
        ),
    )
    identify_runs: bool = Field(
        default=True,
        description=(
            "Whether each run carries a marker in callbackUrl, by which a run whose answer was "
            "lost is found again."
        ),
    )
    callback_base_url: str | None = Field(
        default=None,
        description=(
            "URL by which Wiro reaches your receiver for callbacks (`wiro-dagster webhook`, or "
            "`build_webhook_app` in your own server); a run's marker is added to its path. Without "
            "it, markers go to an address that does not exist."
        ),
    )
    run_headers: dict[str, str] = Field(
        default={},
        description=(
            "Headers to add to every run, for example a run key. {marker} in a value stands for "
            "the run's marker."
        ),
    )
    run_fields: dict[str, str] = Field(
        default={},
        description="Fields to add to the body of every run; {marker} as in run_headers.",
    )

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._refuse_malformed_settings()
        if urlsplit(self.base_url).hostname in LOOPBACK_HOSTS:
            return  # an emulator on this machine: its keys are not secret
        for name in ("api_key", "api_secret"):
            value = getattr(self, name)
            # When Dagster starts a run, it replaces each EnvVar with the variable's value.
            if value and not isinstance(value, dg.EnvVar) and value not in os.environ.values():
                _warn_of_literal(name)

    def _refuse_malformed_settings(self) -> None:
        """Refuse here what would fail in a tick. Variables are read later."""
        for name in ("cdn_hosts", "allow_http_hosts"):
            AllowedHosts(name, filter(_is_given, getattr(self, name)))
        run_values = (*self.run_headers.values(), *self.run_fields.values())
        if all(map(_is_given, run_values)):
            RunExtras(self.run_headers, self.run_fields)
        if not all(map(_is_given, self.allow_http_hosts)):
            return
        http_hosts = AllowedHosts("allow_http_hosts", self.allow_http_hosts)
        if _is_given(self.base_url):
            check_service_url("base_url", self.base_url, ("https", "http"), http_hosts)
        if _is_given(self.websocket_url):
            self.find_websocket_url()
        if self.callback_base_url is not None and _is_given(self.callback_base_url):
            name, url = "callback_base_url", self.callback_base_url
            check_service_url(name, url, ("https", "http"), http_hosts)

    def get_client(self) -> WiroClient:
        """Open a client of this account.

        Raises:
            ConfigurationError: the API key is missing, or a setting is malformed.
        """
        if not self.api_key:
            raise ConfigurationError(
                "The Wiro API key is empty. Set WIRO_API_KEY (and WIRO_API_SECRET for a project of "
                "the signature kind), or use the emulator: make demo."
            )
        return WiroClient(
            Credentials(self.api_key, self.api_secret or None),
            base_url=self.base_url,
            cdn_hosts=self.cdn_hosts,
            allow_http_hosts=self.allow_http_hosts,
            connect_timeout_seconds=self.connect_timeout_seconds,
            read_timeout_seconds=self.read_timeout_seconds,
            submit_timeout_seconds=self.submit_timeout_seconds,
            pool_size=self.concurrent_requests,
            run_headers=self.run_headers,
            run_fields=self.run_fields,
            # The next tick asks again, so one slow answer must not use up this one.
            read_attempts=2,
            longest_wait_seconds=3.0,
        )

    def find_websocket_url(self) -> str | None:
        """Return the WebSocket of tasks' events; None if another service has none.

        Raises:
            ConfigurationError: the URL is malformed, or would send task tokens in the clear.
        """
        if not self.websocket_url and self.base_url == DEFAULT_BASE_URL:
            return DEFAULT_WEBSOCKET_URL
        if not self.websocket_url:
            return None
        http_hosts = AllowedHosts("allow_http_hosts", self.allow_http_hosts)
        return check_service_url("websocket_url", self.websocket_url, ("wss", "ws"), http_hosts)

    def open_progress(self) -> ProgressFeed | None:
        """Return a feed of tasks' events; None if another service has none.

        Raises:
            ConfigurationError: as `find_websocket_url`.
        """
        url = self.find_websocket_url()
        return None if url is None else ProgressFeed(url, allow_http_hosts=self.allow_http_hosts)

    def open_sockets(self) -> TaskSockets | None:
        """Return what listens for the ends of tasks; None if that is not wanted, or impossible.

        Raises:
            ConfigurationError: as `find_websocket_url`.
        """
        url = self.find_websocket_url() if self.sockets else None
        return None if url is None else TaskSockets(url, allow_http_hosts=self.allow_http_hosts)

    def get_account(self) -> str:
        """Return what the ledger calls this account: its name, or a short hash of its key."""
        return self.account or hashlib.sha256(self.api_key.encode()).hexdigest()[:16]


@lru_cache(maxsize=2)
def _warn_of_literal(name: str) -> None:
    _LOGGER.warning(
        "WiroResource: %s is written in Python, so Dagster shows it to everyone who can see the "
        "UI. Put it into an environment variable and give dg.EnvVar with its name.",
        name,
    )


class LedgerResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The database that says what was ordered and paid for, and the budget it keeps.

    Budgets are numbers or texts such as "12.50", in USD. None or "none" means no limit. Days are
    UTC days. The URL may also be the path of a SQLite file; a relative one starts at DAGSTER_HOME.
    """

    url: str = Field(
        repr=False,
        description="SQLAlchemy URL: sqlite:///path/to/ledger.db or postgresql://user@host/name.",
    )
    daily_budget_usd: str | None = Field(
        default="10", description="The most an account may spend in one day."
    )
    total_budget_usd: str | None = Field(
        default=None, description="The most an account may ever spend."
    )
    collection_budget_usd: str | None = Field(
        default=None, description="The most one collection may ever spend."
    )
    video_budget_usd: str | None = Field(default=None, description="The most one video may cost.")
    unknown_price: UnknownPricePolicy = Field(
        default="refuse",
        description=(
            'What to do if no price is known before the run: "refuse" holds the order back, '
            '"allow" lets it pass, "assume" counts it at assumed_price_usd.'
        ),
    )
    assumed_price_usd: str | None = Field(
        default=None,
        description='The price of an order whose price is unknown, under unknown_price "assume".',
    )

    def __init__(self, **settings: Any) -> None:
        amounts = {name: _as_text(settings[name]) for name in settings if name.endswith("_usd")}
        if _is_given(settings.get("url")):
            settings["url"] = absolute_ledger_url(settings["url"])
        super().__init__(**settings | amounts)
        if not any(isinstance(amount, dg.EnvVar) for amount in amounts.values()):
            self.get_limits()  # refuses wrong amounts here, not in a tick

    def get_ledger(self) -> Ledger:
        """Open the ledger.

        Raises:
            ConfigurationError: the URL cannot be used.
            LedgerError: the database cannot be reached, or holds another version's ledger.
        """
        return Ledger(self.url)

    def get_limits(self) -> BudgetLimits:
        """Return what may be spent.

        Raises:
            ConfigurationError: a budget is empty, or not an amount of money.
        """
        assumed = _amount("assumed_price_usd", self.assumed_price_usd)
        if self.unknown_price == "assume" and assumed is None:
            raise ConfigurationError(
                'unknown_price is "assume", but assumed_price_usd is not set. Set it to the most '
                "that such a run may cost, in USD."
            )
        return BudgetLimits(
            video_usd=_amount("video_budget_usd", self.video_budget_usd),
            daily_usd=_amount("daily_budget_usd", self.daily_budget_usd),
            collection_usd=_amount("collection_budget_usd", self.collection_budget_usd),
            total_usd=_amount("total_budget_usd", self.total_budget_usd),
            unknown_price=self.unknown_price,
            assumed_usd=assumed,
        )


def _is_given(value: object) -> bool:
    """Return whether a setting has its value already; Dagster reads variables when a run starts."""
    return value is not None and not isinstance(value, dg.EnvVar)


def _as_text(amount: Any) -> Any:
    """Return an amount as the text that Dagster keeps; anything that is not a number as it is."""
    if isinstance(amount, bool) or not isinstance(amount, (int, float, Decimal)):
        return amount
    number = Decimal(str(amount))
    return number_text(number) if number.is_finite() else str(amount)


def _amount(name: str, text: str | None) -> Decimal | None:
    if text is None or text.strip().lower() == "none":
        return None
    # An empty text is an error: a variable that was left empty must not mean "no limit".
    amount = find_money(text)
    if amount is None:
        raise ConfigurationError(
            f'{name} is "{text}". Write an amount from 0 to {LARGEST_USD:,} USD, such as 12.50, or '
            '"none" for no limit.'
        )
    return amount
