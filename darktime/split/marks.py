"""Marks: what stands for a user or a value that must not be written down. Pure; HMAC-SHA256 under the run's secret."""

from __future__ import annotations

import hmac
from typing import Final

LENGTH: Final = 16


def mark(secret: str, value: str) -> str:
    """16 hex digits that are the same for the same value within one run, and say nothing outside of it."""
    return hmac.digest(secret.encode(), value.encode("utf-8", "surrogateescape"), "sha256").hex()[:LENGTH]
