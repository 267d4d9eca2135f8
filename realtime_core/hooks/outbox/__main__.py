"""``python -m realtime_core.hooks.outbox --settings mysite.settings``: the command ``realtime_outbox`` without a manage.py."""

from __future__ import annotations

import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    execute_from_command_line(["python -m realtime_core.hooks.outbox", "realtime_outbox", *sys.argv[1:]])
