"""Celery: the same save in a task."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

import django
from celery import Celery

django.setup()

app = Celery("shop", broker=os.environ["SHOP_BROKER"])
app.conf.worker_hijack_root_logger = False


@app.task
def save(turn, report):
    from pathlib import Path

    from django.db import transaction
    from shop.models import Comment

    with transaction.atomic():
        Comment.objects.create(thread=turn % 3, turn=turn)
    with Path(report).open("a") as file:
        file.write(f"{turn} {'gevent' in sys.modules}\n")
