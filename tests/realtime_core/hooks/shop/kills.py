"""What may kill a process of the site, run as ``python -m shop.kills WHAT``."""

import os
import signal
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

import django

django.setup()

from django.core.management import call_command
from django.db import connection, transaction

from realtime_core.queue import Queue


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def save_and_die_after_commit():
    """After COMMIT has been answered, before the first callback."""
    from shop.models import Comment

    connection.run_and_clear_commit_hooks = die
    with transaction.atomic():
        Comment.objects.create(thread=1, text="the last")


def save_and_die_between_save_and_signal():
    """In autocommit, where nobody opened a transaction: after the row was written, before post_save."""
    from shop.models import Comment

    real = Comment._save_table

    def save_table(self, *args, **options):
        real(self, *args, **options)
        die()

    Comment._save_table = save_table
    Comment(thread=1, text="the last").save()


def relay_and_die_after_put():
    """The queue has accepted a batch, and nobody has marked its rows."""
    real = Queue.put

    def put(self, *args, **options):
        real(self, *args, **options)
        die()

    Queue.put = put
    call_command("realtime_outbox", "--once")


globals()[sys.argv[1]]()
