"""What the comparison by content found, in words: which fields differ more than by noise, which are masked, what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from darktime.report import figures as fig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS: Final = {
    "changed": "another value",
    "type": "another type",
    "missing": "missing",
    "extra": "extra",
    "order": "another order",
    "length": "another length",
}
STREAM_KINDS: Final = ("missing", "extra", "doubled", "out_of_order")


def reported(fields: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The fields in which the dark instance differs more often than today's code does from itself."""
    return [one for one in fields if one["reported"]]


def masked(fields: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The fields whose differences are taken for differences of nature."""
    return [one for one in fields if one["masked"]]


def noisy(fields: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The fields that differ, and not more than by noise, or too rarely to say."""
    return [one for one in fields if not one["reported"] and not one["masked"]]


def kind(one: Mapping[str, Any]) -> str:
    """How a field differs."""
    return KINDS.get(one["kind"], str(one["kind"]))


def rates(one: Mapping[str, Any]) -> str:
    """How often both sides differed, and how often two answers of today's code did."""
    return f"{fig.count(one['raw'])} of {fig.count(one['total'])}, noise {fig.count(one['noise'])}"


def bound(share: float | None) -> str:
    """A bound of a rate, as exact as rare ones need it: ``0.52 %``."""
    if share is None:
        return fig.NONE
    return f"{share * 100:.3g} %"


def example(one: Mapping[str, Any]) -> str:
    """Both values of one request; empty where none was kept."""
    if not one["examples"]:
        return ""
    first = one["examples"][0]
    return f"{first['today']} → {first['dark']}"


def summary(results: Mapping[str, Any]) -> str:
    """The comparison in one sentence."""
    seen, fields = results["comparison"], results["fields"]
    found = len(reported(fields))
    words = "no field differs" if not found else f"{found} field{'s' * (found > 1)} differ{'s' * (found == 1)}"
    return f"{words} more often than by noise; {fig.count(seen['compared'])} requests compared with {seen['secondary']}"


def left(seen: Mapping[str, Any]) -> str:
    """What was not compared, and why; empty where nothing was left out."""
    counts = [
        f"{number:,} {reason}" for reason, number in sorted(seen["left"].items(), key=lambda one: -one[1]) if number
    ]
    counts += [f"{seen[what]:,} {words}" for what, words in (
        ("overflow", "differences in fields beyond the bound"), ("left_out", "fields not kept"), ("cut", "bodies not read whole"),
    ) if seen[what]]  # fmt: skip
    return ", ".join(counts)


def never_used(seen: Mapping[str, Any]) -> list[str]:
    """Ignore rules that left nothing out: a rule with a typing error looks like that."""
    return [rule for rule, times in seen["rules"].items() if not times]
