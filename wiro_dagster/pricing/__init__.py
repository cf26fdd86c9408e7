"""Quotes: what a run will cost, as far as that can be known before it. Money is Decimal USD."""

from __future__ import annotations

from wiro_dagster.pricing.facts import RunFacts
from wiro_dagster.pricing.methods import QuoteKind
from wiro_dagster.pricing.quote import Quote, quote

__all__ = ["Quote", "QuoteKind", "RunFacts", "quote"]
