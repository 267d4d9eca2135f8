"""What may be shown of an address that may hold a password."""

from __future__ import annotations

from realtime_core.several_hosts import split


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    scheme, _, rest = url.partition("://")
    login, at, _ = rest.rpartition("@")
    if at and any(end in login for end in "/?#"):  # a password that is not escaped, perhaps
        return f"{scheme}://***"
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
