"""What the site keeps: threads, and the comments that visitors write, edit and delete."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Thread(models.Model):
    """Something people talk about."""

    title = models.CharField(max_length=200)

    class Meta:
        """Django's own settings of the model."""

        app_label = "site"

    def __str__(self) -> str:
        return str(self.title)


class Comment(models.Model):
    """One visitor's words in a thread. ``email`` is private: the pipeline takes it off before anything is published."""

    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="comments")
    author = models.CharField(max_length=64, db_index=True)
    email = models.EmailField()
    text = models.TextField(max_length=2000)

    class Meta:
        """Django's own settings of the model."""

        app_label = "site"
        ordering: ClassVar[list[str]] = ["id"]

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:40]}"
