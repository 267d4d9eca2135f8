"""Its pages, as WSGI and ASGI: a save, and what the process has imported."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.http import HttpResponse
from django.urls import path


def save(request, turn):
    from shop.models import Comment

    with transaction.atomic():
        Comment.objects.create(thread=turn % 3, turn=turn)
    return HttpResponse(f"{'gevent' in sys.modules}")


urlpatterns = [path("save/<int:turn>", save)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
