"""Its pages, as WSGI and ASGI: a save, and what the process has imported."""

import os
import signal
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


def save_and_end(request):
    """Three saves, the last two of which are not accounted yet when the process is told to end."""
    for turn in range(3):
        save(request, turn)
    os.kill(os.getpid(), signal.SIGTERM)
    return HttpResponse("ends")


urlpatterns = [path("save/<int:turn>", save), path("save-and-end", save_and_end)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
