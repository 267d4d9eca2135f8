"""The outbox as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """``"realtime_core.hooks.outbox"`` in INSTALLED_APPS: one table, two commands."""

    name = "realtime_core.hooks.outbox"
    label = "realtime_outbox"
    verbose_name = "Realtime outbox"
    default_auto_field = "django.db.models.BigAutoField"
