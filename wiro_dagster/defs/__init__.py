"""Dagster's nouns: assets, sensors, checks and what they report."""
