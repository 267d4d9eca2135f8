"""Where the site's pages are."""

from __future__ import annotations

from django.urls import path

from darktime.demo.site import views

urlpatterns = [
    path("", views.threads),
    path("thread/<int:thread_id>", views.thread),
    path("thread/<int:thread_id>/comments", views.write),
    path("comments/<int:comment_id>/edit", views.edit),
    path("comments/<int:comment_id>/delete", views.delete),
    path("metrics", views.metrics),
]
