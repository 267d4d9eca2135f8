"""What the sentence of a run says beside its answer: that the run was modest, its certificate not verified, and the like. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from darktime.blast.conclude import INSTANCE, NOT_REACHED
from darktime.blast.modest import remedy
from darktime.errors import ExitCode

if TYPE_CHECKING:
    from darktime.blast.conclude import Conclusion
    from darktime.blast.connections import ConnectionCeiling
    from darktime.blast.counts import Counts
    from darktime.blast.settings import Address

# What plain HTTP is answered with where TLS is spoken, when nothing is answered at all.
TLS_SIGNS = frozenset({"reset", "closed", "not_http", "speaks_tls"})


def remarked(
    conclusion: Conclusion,
    address: Address,
    *,
    modest_per_s: float | None = None,
    counts: Counts,
    unit: str,
    tls_is_spoken: bool = False,
    ceiling: ConnectionCeiling | None = None,
    cold_start: str = "",
    not_beyond: str = "",
    ended_early: str = "",
) -> Conclusion:
    """The conclusion with what must be said beside it.

    ``modest_per_s``: the rate of a run at a host that nobody named as his own; it gives no capacity. ``counts`` are of
    the whole run, ``unit`` what its rates count. ``not_beyond``: why there was no overload to look at, where it was
    asked for; ``ended_early``: why a scenario was not carried through. ``tls_is_spoken``: as was found out once plain
    HTTP had failed.
    """
    if modest_per_s is not None:
        conclusion = _without_capacity(conclusion, _modest_text(address.host, modest_per_s, counts, unit))
    if cold_start:
        conclusion = _with(conclusion, cold_start)
    for text in (ended_early, not_beyond):
        if text:
            conclusion = _with(conclusion, text)
    if ceiling is not None:
        conclusion = _with(conclusion, ceiling.sentence)
    if tls_is_spoken:
        conclusion = _with(conclusion, f"It speaks TLS: write --instance https://{address.authority}.")
    if address.insecure:
        conclusion = _with(conclusion, "Its certificate was not verified (--insecure).")
    return conclusion


def may_speak_tls(address: Address, counts: Counts) -> bool:
    """Whether the failures of plain HTTP look as if TLS was expected: nothing answered, and all were hung up on."""
    return not address.tls and counts.requests > 0 and not counts.statuses and set(counts.reasons) <= TLS_SIGNS


def _modest_text(host: str, rate_per_s: float, counts: Counts, unit: str) -> str:
    p99_ms = counts.latency.percentile_ms(99)
    seen = f"{counts.failures:,} errors" + ("" if p99_ms is None else f", p99 {p99_ms:,.3g} ms")
    return (
        f"{host} is not named as yours to load: this was a modest run of {counts.requests:,} {unit} at {rate_per_s:g}/s "
        f"({seen}), and it gives no capacity. {remedy(host)}."
    )


def _without_capacity(conclusion: Conclusion, text: str) -> Conclusion:
    passed = conclusion.exit_code == ExitCode.OK
    return replace(
        conclusion,
        highest_pass_per_s=None,
        lowest_fail_per_s=None,
        limit=NOT_REACHED if conclusion.limit == INSTANCE else conclusion.limit,
        sentence=text if passed else f"{conclusion.sentence} {text}",
    )


def _with(conclusion: Conclusion, text: str) -> Conclusion:
    return replace(conclusion, sentence=f"{conclusion.sentence} {text}")
