"""One model, with the decorator."""

from django.db import models

from realtime_core.hooks.bulk import RealtimeManager
from realtime_core.hooks.django_signals import realtime


@realtime(channels=("thread:{thread}", "user:{author}"), fields=("thread", "author", "text", "turn"))
class Comment(models.Model):
    thread = models.IntegerField()
    author = models.CharField(max_length=64, default="ann")
    text = models.TextField(default="")
    turn = models.IntegerField(default=0)
    changed = models.DateTimeField(auto_now=True)

    objects = RealtimeManager()

    class Meta:
        app_label = "shop"

    def __str__(self):
        return self.text
