"""Quotes: what a run will cost, if that can be known before it. Money is Decimal USD."""

from __future__ import annotations

from wiro_dagster.pricing.facts import RunFacts
from wiro_dagster.pricing.methods import QuoteKind
from wiro_dagster.pricing.quote import Quote, quote
from wiro_dagster.pricing.runs import LONGEST_RUN_SECONDS, quote_run

__all__ = ["LONGEST_RUN_SECONDS", "Quote", "QuoteKind", "RunFacts", "quote", "quote_run"]
