"""GO, NO-GO or WAIT, from pairs, the ledger, and what did not get so far. Pure; the same data always gets the same verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from darktime.split.verdict import named
from darktime.split.verdict.coverage import covered, few, judge_coverage
from darktime.split.verdict.latency import judge_latency
from darktime.split.verdict.ledger import dark_failures, judge_ledger
from darktime.split.verdict.looks import alpha
from darktime.split.verdict.offset import Calibration, taken_off
from darktime.split.verdict.outcome import Findings, Verdict
from darktime.split.verdict.settings import VerdictSettings
from darktime.split.verdict.shares import Kind, judge_shares
from darktime.split.verdict.streams import judge_streams, unheard
from darktime.split.verdict.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from darktime.split.compare import Pair
    from darktime.split.verdict.inputs import FieldFinding, Hop


def judge(
    pairs: Sequence[Pair],
    hops: Iterable[Hop],
    settings: VerdictSettings | None = None,
    *,
    left: Mapping[str, Mapping[str, int]] | None = None,
    fields: Sequence[FieldFinding] = (),
    streams: Sequence[Mapping[str, Any]] = (),
    calibration: Sequence[Pair] = (),
    look: int = 1,
) -> Verdict:
    """Judge what was compared and what the ledger says.

    Args:
        pairs: all pairs there are, those of earlier looks too.
        hops: every hop whose balance matters.
        settings: the margins.
        left: how many copies of an endpoint were not compared, by reason. Empty where nobody knows.
        fields: what a comparison of bodies found.
        streams: what a comparison of events found, by endpoint, as the results' ``stream_pairs`` have it.
        calibration: pairs in which both sides ran the same code; what they differ in is the measuring's own.
        look: how often these pairs have been judged while they grew, this time included. Each look errs less, so that
            all together err no more than ``1 - settings.confidence``, in false GOs and in false NO-GOs each.

    Raises:
        UsageError: a look before the first.
    """
    settings, left, hops = settings or VerdictSettings(), left or {}, list(hops)
    findings, table = Findings(), Table.of(pairs)
    figures = _seen(pairs, settings, look)
    endpoints = covered(((pair.endpoint, pair.user) for pair in pairs), left)
    numbers = {name: number for number, name in enumerate(table.endpoints)}
    judged = [numbers[one.endpoint] for one in endpoints if one.enough(settings)]
    required = frozenset(numbers[one.endpoint] for one in endpoints if one.pairs and one.required(settings))

    judge_ledger(hops, findings)
    figures["failures"] = failures = dark_failures(hops, settings.compared_hop)
    for name, kind in _kinds(pairs, table, failures, settings).items():
        figures[name] = judge_shares(table, judged, kind, settings=settings, look=look, findings=findings)
    slow = judge_latency(
        table,
        judged,
        required=required,
        calibration=Calibration.of(calibration, left),
        settings=settings,
        look=look,
        findings=findings,
    )
    _judge_fields(fields, findings)
    judge_streams(streams, settings=settings, look=look, findings=findings)
    judge_coverage(endpoints, pairs=len(pairs), users=figures["users"], hops=hops, settings=settings, findings=findings)
    figures["endpoints"] = [
        {
            "endpoint": one.endpoint,
            **one.figures(),
            "required": one.required(settings),
            **_failed(table, numbers.get(one.endpoint)),
            "latency": slow.get(one.endpoint),
        }
        for one in endpoints
    ]
    return _concluded(findings, figures, unheard(pairs, streams))


def _concluded(findings: Findings, figures: dict[str, Any], remarks: Sequence[str]) -> Verdict:
    needs = "; ".join(findings.needs) or None
    if findings.against:
        return Verdict(outcome="NO-GO", reasons=tuple(findings.against), figures=figures)
    if not figures["pairs"] and not needs:
        needs = "something that was compared"  # whatever the margins ask for, nothing proves nothing
    if findings.unsure or needs:
        return Verdict(
            outcome="WAIT",
            reasons=tuple(findings.unsure or findings.needs or ("nothing was compared",)),
            needs=needs,
            figures=figures,
        )
    reason = (
        f"{figures['pairs']:,} pairs of {figures['users']:,} users: errors, differences and latency are within margins, "
        "and every copy is accounted for"
    )
    said = (reason, *_taken_off(figures["endpoints"]), *_unjudged(figures["endpoints"]), *remarks)
    return Verdict(outcome="GO", reasons=said, figures=figures)


def _taken_off(endpoints: Sequence[Mapping[str, Any]]) -> list[str]:
    offsets = {one["endpoint"]: (one["latency"] or {}).get("offset_ms") for one in endpoints}
    said = taken_off({name: ms for name, ms in offsets.items() if ms is not None})
    return [said] if said else []


def _unjudged(endpoints: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [one["endpoint"] for one in endpoints if one["latency"] is None]
    if not names:
        return []
    what = "1 small endpoint to judge it" if len(names) == 1 else f"{len(names)} small endpoints to judge them"
    return [f"too little was seen of {what}: {few(names)}"]


def _seen(pairs: Sequence[Pair], settings: VerdictSettings, look: int) -> dict[str, Any]:
    users = len({pair.user for pair in pairs})
    spent = alpha(settings.confidence, look)
    # Of a kind of user for whom everything fails, none may have been among so many: nothing else bounds it.
    unseen = 1 - spent ** (1 / users) if users else 1.0
    return {"pairs": len(pairs), "users": users, "look": look, "alpha": spent, "unseen_users": unseen}


def _kinds(
    pairs: Sequence[Pair], table: Table, failures: Mapping[str, int], settings: VerdictSettings
) -> dict[str, Kind]:
    nobody = np.zeros(len(pairs), dtype=bool)
    return {
        "errors": Kind(
            margin=settings.error_margin,
            words="requests failed on the dark side only",
            what="the share of errors",
            worse=table.worse,
            better=table.better,
            failures=sum(failures.values()),
            named=lambda rows: named.errors((pairs[row] for row in rows), failures if len(rows) == len(pairs) else {}),
        ),
        "differences": Kind(
            margin=settings.difference_margin,
            words="answers differ",
            what="the share of differences",
            worse=table.differs,
            better=nobody,
            failures=0,
            named=lambda rows: named.unlike(pairs[row] for row in rows),
        ),
    }


def _judge_fields(fields: Sequence[FieldFinding], findings: Findings) -> None:
    findings.against.extend(
        f"{one.endpoint}: {one.path} differs ({one.kind}) in {one.raw:,} of {one.total:,} answers, in {one.noise:,} "
        f"where both ran the same code; as in {one.example}"
        for one in fields
        if one.reported
    )


def _failed(table: Table, number: int | None) -> dict[str, int]:
    rows = np.zeros(0, dtype=np.intp) if number is None else table.rows(number)
    return {
        side: int(flags[rows].sum())
        for side, flags in zip(("errors_production", "errors_dark"), table.failed, strict=True)
    }
