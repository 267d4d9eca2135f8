"""What an instance must hold: a latency percentile and a share of errors. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from darktime.errors import UsageError

_PART = re.compile(
    r"\s*(?:p(?P<percent>\d+(?:\.\d+)?)\s*<\s*(?P<ms>\d+(?:\.\d+)?)\s*ms"
    r"|errors\s*<\s*(?P<errors>\d+(?:\.\d+)?)\s*%)\s*"
)
DEFAULT = "p99<200ms,errors<0.1%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """``percent`` of all must take less than ``limit_ms``; less than ``errors_percent`` may fail or be lost."""

    percent: float = 99.0
    limit_ms: float = 200.0
    errors_percent: float = 0.1

    def __str__(self) -> str:
        return f"p{self.percent:g} < {self.limit_ms:g} ms, errors < {self.errors_percent:g} %"


def parse_slo(text: str) -> Slo:
    """Read ``p99<200ms,errors<0.1%`` (either part may be left out). Raises UsageError."""
    values: dict[str, float] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None or not 0 < float(match["percent"] or 1) <= 100:  # noqa: PLR2004
            raise UsageError(f"--slo {text!r}: cannot read {part.strip()!r}; write it like {DEFAULT!r}")
        if match["errors"] is not None:
            values["errors_percent"] = float(match["errors"])
        else:
            values["percent"], values["limit_ms"] = float(match["percent"]), float(match["ms"])
    return Slo(**values)
