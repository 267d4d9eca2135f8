"""Django's settings for the example site; what differs from run to run comes from the environment."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

DEBUG = False
SECRET_KEY = secrets.token_urlsafe(32)  # no sessions: nothing has to outlive the process
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
INSTALLED_APPS = ["darktime.demo.site.apps.SiteConfig"]
# No session and no login, so there is nothing that a forged form could borrow: no CSRF middleware.
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "darktime.demo.site.urls"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "OPTIONS": {},
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DARKTIME_SITE_DATABASE", ":memory:"),
        "CONN_MAX_AGE": None,
        # Writers queue for the lock instead of failing: several threads of one process write at once.
        "OPTIONS": {"timeout": 10, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL;"},
    }
}
USE_TZ = True
LOGGING_CONFIG = None

REALTIME_REDIS = os.environ.get("DARKTIME_SITE_REDIS", "redis://127.0.0.1:6379/0")
REALTIME_QUEUE = os.environ.get("DARKTIME_SITE_QUEUE", "demo")
