"""What lets a client in, by its name: headers and query parameters; and whether a copy goes without it. Pure.

Of a copy that goes without one, a refusal or a login page says nothing of the new code. Any cookie may be a session, so each
that stays behind counts, the one that makes a user too; of headers and parameters those that are named here, and the user's key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from darktime.split.settings import CopySettings

HEADERS: Final = (
    "Authorization", "Proxy-Authorization", "X-Authorization", "X-Auth", "X-Auth-Token", "Auth-Token", "X-Api-Key", "Api-Key",
    "Apikey", "X-Api-Token", "X-Access-Token", "Access-Token", "X-Token", "Token", "X-User-Token", "Private-Token", "X-Session",
    "X-Session-Id", "X-Session-Token", "X-Csrf-Token", "X-Csrftoken", "X-Xsrf-Token", "X-Jwt-Assertion", "X-Signature",
    "X-Amz-Security-Token", "X-Goog-Api-Key", "X-Goog-Iap-Jwt-Assertion", "Cf-Access-Jwt-Assertion",
    "Ocp-Apim-Subscription-Key", "X-Forwarded-Access-Token", "X-Forwarded-User", "X-Remote-User", "Remote-User",
)  # fmt: skip
# With _; a - in its place means the same.
PARAMETERS: Final = frozenset(
    {
        "access_token", "api_key", "apikey", "auth", "authorization", "code", "client_secret", "csrf", "csrf_token",
        "id_token", "jwt", "key", "otp", "passcode", "passwd", "password", "pin", "pwd", "refresh_token", "secret",
        "session", "session_id", "sessionid", "sid", "sig", "signature", "ssid", "ticket", "token", "x_amz_signature",
    }
)  # fmt: skip


def variable(header: str) -> str:
    """A header's name as nginx's variables have it."""
    return header.lower().replace("-", "_")


_VARIABLES: Final = frozenset(map(variable, HEADERS))


def headers_left(settings: CopySettings) -> tuple[str, ...]:
    """The headers that a copy may go without, as nginx's variables name them."""
    key = (settings.user_key.name,) if settings.user_key.kind == "header" else ()
    allowed = {variable(name) for name in settings.allow_headers}
    return tuple(dict.fromkeys(name for name in map(variable, (*HEADERS, *key)) if name not in allowed))


def cookies_left(settings: CopySettings) -> str:
    """A pattern for ``|`` and a Cookie header, whatever its case: one of the cookies stays behind."""
    keep = "|".join(sorted(name.lower() for name in settings.allow_cookies))
    others = f"(?!(?:{keep})=)" if keep else ""
    return f"^[^|]*\\|(?:.*;)?\\s*{others}[^=;\\s]+="


def parameters_left(settings: CopySettings) -> str:
    """A pattern for path and query as they came, whatever their case: a credential in it is masked."""
    key = {settings.user_key.name} if settings.user_key.kind == "query" else set()
    names = "|".join(re.escape(name).replace("_", "[-_]") for name in sorted(PARAMETERS | key))
    keep = "|".join(map(re.escape, settings.allow_query))
    others = f"(?!(?-i:{keep})=)" if keep else ""
    return f"[?&]{others}(?:{names})=[^&#]"


def in_headers(headers: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The headers that are a credential by their name, which has _ for -."""
    told = ((variable(name), value) for name, value in headers)
    return {(name, value) for name, value in told if value and name in _VARIABLES}


def in_query(query: str) -> set[str]:
    """The parts of a query that are a credential by their name."""
    parts = {part for part in query.split("&") if part.partition("=")[2]}
    return {part for part in parts if variable(part.partition("=")[0]) in PARAMETERS}
