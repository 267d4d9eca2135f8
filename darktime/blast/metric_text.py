"""Reads Prometheus text: the gauges and counters in it, by name. Pure, and for bytes of others: what is odd is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from darktime.errors import DarktimeError

GAUGE, COUNTER = "gauge", "counter"
MAX_BYTES = 1 << 20
LONGEST_NAME = 160
_KINDS = {"gauge": GAUGE, "unknown": GAUGE, "untyped": GAUGE, "counter": COUNTER}
# What a parser of others may trip over in bytes of others.
_ODD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
_FORMATS = ("version=0.0.4", "application/openmetrics-text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What one gauge or counter stood at."""

    kind: str
    value: float


def is_metrics(content_type: str) -> bool:
    """Whether a reply says of itself that it is Prometheus text."""
    return any(one in content_type.lower() for one in _FORMATS)


def metrics_in(body: bytes) -> dict[str, Metric]:
    """Every gauge and counter, named as ``name{label="value"}``; values that are no finite number are left out.

    Histograms, summaries and the like are passed over. Raises DarktimeError for what is too long, no Prometheus text,
    or holds none.
    """
    if len(body) > MAX_BYTES:
        raise DarktimeError(f"they have more than {MAX_BYTES:,} bytes")
    found: dict[str, Metric] = {}
    try:
        for family in text_string_to_metric_families(body.decode("utf-8")):
            kind = _KINDS.get(family.type)
            if kind is None:
                continue
            for sample in family.samples:
                name = _named(sample.name, sample.labels)
                if math.isfinite(sample.value) and len(name) <= LONGEST_NAME and not sample.name.endswith("_created"):
                    found[name] = Metric(kind=kind, value=float(sample.value))
    except _ODD as error:
        raise DarktimeError("they are no Prometheus text") from error
    if not found:
        raise DarktimeError("they hold no gauge and no counter")
    return found


def _named(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name
