"""Dagster resources: the Wiro account, the ledger, the video stores."""
