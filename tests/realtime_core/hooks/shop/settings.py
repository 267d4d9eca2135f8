"""Settings: SHOP_DATABASE and SHOP_REALTIME are JSON, SHOP_BROKER is Celery's."""

import json
import os

DATABASES = {"default": json.loads(os.environ["SHOP_DATABASE"])}
REALTIME = json.loads(os.environ["SHOP_REALTIME"])
INSTALLED_APPS = ["realtime_core.hooks.outbox", "shop"]
ROOT_URLCONF = "shop.web"
SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
