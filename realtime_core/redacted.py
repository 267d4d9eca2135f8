"""What may be shown of an address that may hold a password."""

from __future__ import annotations

from realtime_core.several_hosts import split


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    try:
        parts = split(url)
        secret = parts.password is not None
    except ValueError:
        return "the URL given"
    if secret:
        parts = parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}")
    if "password" in parts.query:
        parts = parts._replace(query="***")
        secret = True
    return parts.geturl() if secret else url
