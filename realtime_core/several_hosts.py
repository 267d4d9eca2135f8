"""URLs that name several hosts, as sentinels and clusters have them. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

_SEVERAL: Final = re.compile(r"([a-z]+\+(?:sentinel|cluster))://([^/?#]*)([^?#]*)(?:\?([^#]*))?")


def split(url: str) -> SplitResult:
    """What ``urlsplit`` makes of it, which refuses an IPv6 address that is not the only host (Python 3.11.12 and later).

    Raises:
        ValueError: it is no URL.
    """
    found = _SEVERAL.fullmatch(url)
    return urlsplit(url) if found is None else SplitResult(found[1], found[2], found[3], found[4] or "", "")
