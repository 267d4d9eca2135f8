"""The outbox's table: one row an event, from the transaction it happened in until it is put, and a while longer."""

from __future__ import annotations

from typing import Final

from django.db import models

PARTITIONS: Final = 64
KEY_LENGTH: Final = 255


class OutboxRow(models.Model):
    """One event. It waits while ``put_at`` is empty.

    ``number`` orders the events of one key, and nothing else: numbers are given before COMMIT, so a lower one may appear
    after a higher one was put. ``partition`` is a hash of ``key``. When a row was put its body is emptied.
    """

    number = models.BigAutoField(primary_key=True)
    job = models.CharField(max_length=128)
    queue = models.CharField(max_length=64)
    key = models.CharField(max_length=128)
    partition = models.SmallIntegerField()
    kind = models.CharField(max_length=16)
    model = models.CharField(max_length=255)
    object = models.CharField(max_length=KEY_LENGTH)
    at = models.FloatField()
    body = models.BinaryField()
    put_at = models.FloatField(null=True)
    refused = models.CharField(max_length=500, default="")

    class Meta:
        """Names that migrations depend on."""

        app_label = "realtime_outbox"
        db_table = "realtime_outbox"
        indexes = (
            models.Index(
                fields=["partition", "number"],
                name="realtime_outbox_waiting",
                condition=models.Q(put_at__isnull=True),
            ),
            models.Index(fields=["put_at"], name="realtime_outbox_put", condition=models.Q(put_at__isnull=False)),
            models.Index(fields=["model", "object"], name="realtime_outbox_subject"),
        )

    def __str__(self) -> str:
        """For the admin."""
        return f"{self.kind} of {self.model} {self.object}, job {self.job}"
