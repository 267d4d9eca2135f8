"""The site's one Django application: connects the models to the realtime core when Django is ready."""

from __future__ import annotations

import os

from django.apps import AppConfig
from django.conf import settings


class SiteConfig(AppConfig):
    """Registers the post_save and post_delete hooks of Comment."""

    name = "darktime.demo.site"
    label = "site"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the hooks: one save goes to the thread's channel and to its author's."""
        from redis import Redis

        from realtime_core.hooks.django_signals import Producer, realtime
        from realtime_core.ledger import Ledger
        from realtime_core.queue import Queue

        # The put happens in the visitor's request: a dead Redis may cost it a moment, not more.
        redis = Redis.from_url(settings.REALTIME_REDIS, socket_timeout=2.0, socket_connect_timeout=2.0)
        self.ledger = Ledger(redis, settings.REALTIME_QUEUE, f"site#{os.getpid():x}")
        realtime(
            self.get_model("Comment"),
            channels=("thread:{thread_id}", "user:{author}"),
            fields=("thread_id", "author", "email", "text"),
            producer=Producer(Queue(redis, settings.REALTIME_QUEUE), ledger=self.ledger),
        )
