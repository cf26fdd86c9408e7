"""Receives Wiro's callbacks, as hints that a task has news."""

from wiro_dagster.webhook.app import WebhookApp, build_webhook_app

__all__ = ["WebhookApp", "build_webhook_app"]
