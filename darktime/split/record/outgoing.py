"""Which recorded requests are sent again, when, and as which bytes. Pure."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from darktime.split.copied_paths import CopiedPaths

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from darktime.split.record.lines import Recorded

METHOD: Final = "method"
PATH: Final = "path"
UNSAFE_PATH: Final = "unsafe_path"
LIMIT: Final = "limit"
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """``requests`` in order of time; ``left_out``: how many others, by reason."""

    requests: list[Recorded]
    left_out: dict[str, int]

    def times_s(self, speed: float) -> list[float]:
        """When each is due, in seconds after the first, ``speed`` times as fast as they came."""
        began = self.requests[0].at if self.requests else 0.0
        return [(request.at - began) / speed for request in self.requests]


def choose(
    requests: Sequence[Recorded],
    *,
    methods: Collection[str],
    paths: CopiedPaths | None = None,
    limit: int | None = None,
) -> Chosen:
    """Those by ``methods`` that ``paths`` (a split's own, if none are given) would have copied, the first ``limit`` of them."""
    paths = paths or CopiedPaths()
    left_out: Counter[str] = Counter()
    chosen: list[Recorded] = []
    for request in requests:
        target = unquote(request.target)
        if request.method not in methods:
            left_out[METHOD] += 1
        elif not paths.names(target):
            left_out[PATH] += 1
        elif paths.excludes(target) is not None:
            left_out[UNSAFE_PATH] += 1
        elif limit is not None and len(chosen) >= limit:
            left_out[LIMIT] += 1
        else:
            chosen.append(request)
    return Chosen(requests=chosen, left_out=dict(left_out))


def request_bytes(request: Recorded, host: str, *, keep_host: bool) -> bytes:
    """The request as it is sent again: with its id, marked as a copy, with a trace of its own.

    ``host`` stands in place of the recorded one unless ``keep_host``, and where none was recorded.
    """
    recorded = next((value for name, value in request.headers if name.lower() == "host"), None)
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {recorded if keep_host and recorded else host}"]
    lines += [f"{name}: {value}" for name, value in request.headers if name.lower() != "host"]
    lines += [
        "X-Darktime: 1",
        f"X-Darktime-Id: {request.id}",
        f"traceparent: 00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
    ]
    if request.body or request.method in _WITH_BODY:
        lines.append(f"Content-Length: {len(request.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + request.body
