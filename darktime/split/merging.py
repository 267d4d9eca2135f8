"""What several relays tell of their shares of the users, as one. Pure.

Every counter is a sum. Users, and with them copies, lines, pairs and streams, are in one relay each, so nothing is counted twice.
A figure that is not known here is a sum where it is a number, else the first that says anything: a relay may tell more than
this knows.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from darktime.split.compare.field_table import FieldTable
from darktime.split.compare.stream_pair import StreamCounts, stream_record
from darktime.split.population import Bucket, Population
from darktime.split.relay.channels import OTHER
from darktime.split.results import settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

State = dict[str, Any]
MOST_CHANNELS: Final = 200
MOST_FIELDS: Final = 200
# What is so now: a relay that has died holds nothing, and nothing is on its way any more.
_NOW: Final = ("queued", "in_flight", "lasting", "streams", "breaker")
_SAID_BY_EACH: Final = ("pid", "loop")
_OF_THE_TABLE: Final = ("v", "totals", "looked_at", "overflow", "left_out")
_LONGEST: Final = ("max_ms", "p99_ms")
_TOLD: Final = (
    "pid",
    "loop",
    "offered",
    "received",
    "compared",
    "recorded",
    "waiting",
    "streams",
    "breaker",
    "pairs_file",
)


def merge_states(states: Mapping[str, Mapping[str, Any]], *, dead: Iterable[str] = ()) -> State:
    """The state of several relays, by their names. ``dead``: those of which nothing more will come.

    ``relays`` says what there is of each. As in one relay's, received = compared + recorded + reasons + waiting. What the
    answers differ in is in ``merge_comparisons``.
    """
    gone = frozenset(dead)
    parts = {name: _ended(state) if name in gone else dict(state) for name, state in states.items()}
    told = [
        {name: value for name, value in state.items() if name not in (*_SAID_BY_EACH, "comparison", "fields")}
        for state in parts.values()
        if state
    ]
    merged = _merge(told)
    merged["v"] = next((one["v"] for one in told if "v" in one), None)
    merged["channels"] = merge_channels([one.get("channels", {}) for one in told])
    merged["users"] = list(dict.fromkeys(user for one in told for user in one.get("users", ())))
    merged["instances"] = _by("dark", [one.get("instances", ()) for one in told])
    merged["recording"] = merge_recording([one.get("recording") for one in told])
    if any("transform" in one for one in told):
        merged["transform"] = merge_transform([one["transform"] for one in told if "transform" in one])
    if "calibration" in merged:
        merged["calibration"]["seconds"] = max(one["calibration"]["seconds"] for one in told if "calibration" in one)
    merged["ledger_closed"] = bool(told) and all(one.get("ledger_closed") for one in told)
    if any("stream_pairs" in one for one in told):
        merged["stream_pairs"] = merge_stream_pairs([one.get("stream_pairs", ()) for one in told])
    merged["relays"] = [
        {
            "name": name,
            "alive": name not in gone,
            "settled": settled(state),
            **{what: state.get(what) for what in _TOLD},
        }
        for name, state in parts.items()
    ]
    return merged


def merge_comparisons(states: Iterable[Mapping[str, Any]]) -> State:
    """``fields`` and ``comparison`` of several relays; empty where none compares by content.

    A field that several of them looked at counts several times in the sharing of the error: what is reported is reported with
    more reason then, never with less.
    """
    told = [state for state in states if state.get("comparison")]
    if not told:
        return {}
    tables = [FieldTable.from_dict({**one["comparison"], "fields": one["fields"]}) for one in told]
    saved = FieldTable.merged(tables).to_dict(MOST_FIELDS)
    rest = _merge(
        [{name: value for name, value in one["comparison"].items() if name not in _OF_THE_TABLE} for one in told]
    )
    rest["share"] = told[0]["comparison"].get("share")
    return {"fields": saved["fields"], "comparison": {**{name: saved[name] for name in _OF_THE_TABLE}, **rest}}


def merge_channels(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Events by channel: those with most by name, of all others together. The sum is theirs."""
    total = sum((Counter(one) for one in counts), Counter[str]())
    other = total.pop(OTHER, 0)
    ordered = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    other += sum(count for _, count in ordered[MOST_CHANNELS:])
    return dict(ordered[:MOST_CHANNELS]) | ({OTHER: other} if other else {})


def merge_recording(parts: Sequence[Mapping[str, Any] | None]) -> State | None:
    """How the recording of several relays stands: ended where one cannot write, or all have their part of what was asked for."""
    told = [one for one in parts if one is not None]
    if not told:
        return None
    merged = _merge([{name: value for name, value in one.items() if name != "stopped"} for one in told])
    why = [one["stopped"] for one in told]
    broken = next((one for one in why if one and not one.startswith("it has ")), None)
    merged["stopped"] = broken or (why[0] if all(why) else None)
    return merged


def merge_transform(parts: Sequence[Mapping[str, Any]]) -> State:
    """What a function over copies did in several relays. Of its times the longest: a percentile of parts has no sum."""
    longest = {name: max((one[name] for one in parts if one[name] is not None), default=None) for name in _LONGEST}
    return {
        **_merge([{name: value for name, value in one.items() if name not in _LONGEST} for one in parts]),
        **longest,
    }


def merge_stream_pairs(parts: Sequence[Sequence[Mapping[str, Any]]]) -> list[State]:
    """Pairs of held streams, by endpoint."""
    found: dict[str, tuple[StreamCounts, StreamCounts]] = {}
    ignored: dict[str, bool] = {}
    for part in parts:
        for one in part:
            ignored[one["endpoint"]] = bool(one.get("ignored"))  # all have the same rules
            struck = one.get("struck", {})
            for side, counts in zip(
                ("noise", "raw"), found.setdefault(one["endpoint"], (StreamCounts(), StreamCounts())), strict=True
            ):
                counts.add(StreamCounts(**one[side], struck=Counter(struck.get(side, {}))))
    return [stream_record(endpoint, *counts, ignored=ignored[endpoint]) for endpoint, counts in found.items()]


def merge_populations(parts: Iterable[Population]) -> Population:
    """Who asks production, as all relays were told: everything in it is a sum."""
    whole = Population()
    for part in parts:
        whole.keyed.update(part.keyed)
        for mine, theirs in ((whole.copied, part.copied), (whole.others, part.others)):
            for name, bucket in theirs.items():
                mine[name] = _bucket(mine.get(name, Bucket()), bucket)
    return whole


def _bucket(one: Bucket, other: Bucket) -> Bucket:
    return Bucket(
        requests=one.requests + other.requests,
        errors=one.errors + other.errors,
        took=one.took + other.took,
        up=one.up + other.up,
    )


def _ended(state: Mapping[str, Any]) -> State:
    """The state of a relay that has died: what it held is held no more; what waited waits for ever, and is counted so."""
    now = {name: None if name == "breaker" else 0 for name in _NOW if name in state}
    instances = [{**one, **{name: now[name] for name in now if name in one}} for one in state.get("instances", ())]
    return {**state, **now, **({"instances": instances} if "instances" in state else {})}


def _by(key: str, parts: Iterable[Iterable[Mapping[str, Any]]]) -> list[State]:
    grouped: dict[Any, list[Mapping[str, Any]]] = {}
    for part in parts:
        for one in part:
            grouped.setdefault(one[key], []).append(one)
    return [_merge(group) for group in grouped.values()]


def _merge(parts: Sequence[Mapping[str, Any]]) -> State:
    """Numbers added, objects merged alike, of all else the first that says anything."""
    merged: State = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        values = [part[name] for part in parts if name in part and part[name] is not None]
        first = values[0] if values else None
        if isinstance(first, bool):
            merged[name] = first
        elif isinstance(first, int | float):
            merged[name] = sum(values)
        elif isinstance(first, dict):
            merged[name] = _merge(values)
        else:
            merged[name] = next((one for one in values if one), first)
    return merged
