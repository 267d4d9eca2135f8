"""The site's pages: threads to read, comments to write, edit and delete. Visitors are known by their ``uid`` cookie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET, require_POST
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from darktime.demo.site.models import Comment, Thread

if TYPE_CHECKING:
    from django.http import HttpRequest

MAX_TEXT = 2000
SHOWN_COMMENTS = 50


@require_GET
def threads(request: HttpRequest) -> HttpResponse:
    """All threads."""
    return render(request, "threads.html", {"threads": Thread.objects.order_by("id")})


@require_GET
def thread(request: HttpRequest, thread_id: int) -> HttpResponse:
    """One thread, with its last comments; the page follows the channel ``thread:ID`` by EventSource."""
    found = get_object_or_404(Thread, id=thread_id)
    comments = list(found.comments.order_by("-id")[:SHOWN_COMMENTS])[::-1]
    return render(request, "thread.html", {"thread": found, "comments": comments})


@require_POST
def write(request: HttpRequest, thread_id: int) -> JsonResponse:
    """Write a comment: ``text`` in the form, the author from the cookie. 201 with its id."""
    author, text = request.COOKIES.get("uid", ""), request.POST.get("text", "")
    if not author or not 0 < len(text) <= MAX_TEXT:
        return JsonResponse({"error": f"a comment needs a uid cookie and 1 to {MAX_TEXT} characters"}, status=400)
    found = get_object_or_404(Thread, id=thread_id)
    with transaction.atomic():
        comment = Comment.objects.create(thread=found, author=author, email=f"{author}@example.org", text=text)
    return JsonResponse({"id": comment.id}, status=201)


@require_POST
def edit(request: HttpRequest, comment_id: int) -> JsonResponse:
    """Replace the text of one's own comment."""
    text = request.POST.get("text", "")
    if not 0 < len(text) <= MAX_TEXT:
        return JsonResponse({"error": f"1 to {MAX_TEXT} characters of text"}, status=400)
    with transaction.atomic():
        comment = get_object_or_404(Comment, id=comment_id, author=request.COOKIES.get("uid", ""))
        comment.text = text
        comment.save()
    return JsonResponse({"id": comment.id})


@require_POST
def delete(request: HttpRequest, comment_id: int) -> JsonResponse:
    """Delete one's own comment."""
    with transaction.atomic():
        get_object_or_404(Comment, id=comment_id, author=request.COOKIES.get("uid", "")).delete()
    return JsonResponse({"id": comment_id})


@require_GET
def metrics(_request: HttpRequest) -> HttpResponse:
    """Prometheus text of this process."""
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)
