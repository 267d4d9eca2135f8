"""A thread as JSON, with all that makes two answers of the same code differ; and the site's own pages.

``SITE_WAITS_MS``: what the page waits for its database, in the middle. ``SITE_FAULT``: ``field``, ``slower`` (by 30 %), ``errors``
(every hundredth request) or nothing.
"""

from __future__ import annotations

import itertools
import os
import random
import time
import uuid
from typing import TYPE_CHECKING

from django.db import connection
from django.http import HttpResponseServerError, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone

from darktime.demo.site import urls
from darktime.demo.site.models import Thread

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

FAULT = os.environ.get("SITE_FAULT", "")
WAITS_S = float(os.environ.get("SITE_WAITS_MS", "0")) / 1000
SPREAD = 0.1  # of the logarithm of the wait
SLOWER = 1.3
ONE_IN = 100
asked = itertools.count(1)
draw = random.Random()


def thread(request: HttpRequest, thread_id: int) -> HttpResponse:
    """One thread and its comments."""
    if FAULT == "errors" and next(asked) % ONE_IN == 0:
        return HttpResponseServerError("out of order")
    if WAITS_S:
        time.sleep(WAITS_S * draw.lognormvariate(0, SPREAD) * (SLOWER if FAULT == "slower" else 1))
    found = get_object_or_404(Thread, id=thread_id)
    comments = [{"id": one.id, "author": one.author, "text": one.text} for one in found.comments.all()]
    return JsonResponse(
        {
            "title": found.title,
            "comments": comments,
            "count": len(comments) + (FAULT == "field"),
            "request_id": str(uuid.uuid4()),
            "at": timezone.now().isoformat(),
            "csrf": get_token(request),
            "database": connection.vendor,
        }
    )


urlpatterns = [path("api/thread/<int:thread_id>", thread), *urls.urlpatterns]
