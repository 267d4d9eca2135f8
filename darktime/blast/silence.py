"""How long the head of a run and its workers may hear nothing of each other. Pure."""

from __future__ import annotations

# Each says something once a second. Locust's own limits are 3 s on the one side, in which a worker that opens its streams
# on a busy machine was given up, and a minute on the other.
SILENT_S = 10.0
