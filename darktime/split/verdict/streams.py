"""Events of held streams in a verdict: what the dark side lost, added, doubled or turned round beyond what today's code does. Pure.

Production's own events pass nobody but its users; where there is a second instance of today's code its streams stand for
them, and how its two streams of one request differ is noise. The evidence is streams, not events: what one of them lost at
once is one loss. As with fields, a kind is reported where the lower bound of the dark side's share of streams lies above the
upper bound of noise's; the chance of error is shared among endpoints, kinds and looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from darktime.split.compare import bounds
from darktime.split.compare.pair import STREAM_TYPE
from darktime.split.verdict.looks import alpha

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.split.compare import Pair
    from darktime.split.verdict.outcome import Findings
    from darktime.split.verdict.settings import VerdictSettings

_DEEDS: Final = {
    "missing": "lost events",
    "extra": "brought events that today's code did not",
    "doubled": "brought events twice",
    "out_of_order": "brought events in another order",
}


def judge_streams(
    streams: Sequence[Mapping[str, Any]], *, settings: VerdictSettings, look: int, findings: Findings
) -> None:
    """Say what speaks against. ``streams``: by endpoint, as the results' ``stream_pairs`` have them.

    What an earlier release counted does not say in how many streams it was, and is not judged.
    """
    judged = [one for one in streams if "struck" in one and not one["ignored"]]
    if not judged:
        return
    error = alpha(settings.confidence, look) / (2 * len(judged) * len(_DEEDS))
    for one in judged:
        for kind, deed in _DEEDS.items():
            hits, count = one["struck"]["raw"].get(kind, 0), one["raw"]["pairs"]
            noise, same = one["struck"]["noise"].get(kind, 0), one["noise"]["pairs"]
            if not hits or not bounds.above(hits, count, bounds.upper(noise, same, error), error):
                continue
            named = [name for name in one["raw"]["examples"] if name.startswith(kind)]
            findings.against.append(
                f"{one['endpoint']}: the dark side {deed} in {hits:,} of {count:,} streams, today's code against itself in "
                f"{noise:,} ({one['raw'][kind]:,} events{'; ' if named else ''}{', '.join(named)})"
            )


def unheard(pairs: Sequence[Pair], streams: Sequence[Mapping[str, Any]]) -> list[str]:
    """The sentence that says of how many streams nobody knows what they should have brought; none where there are none."""
    count = sum(pair.production.content_type == STREAM_TYPE for pair in pairs)
    heard = sum(one["raw"]["pairs"] for one in streams if "struck" in one and not one["ignored"])
    if count <= heard:
        return []
    known = "only status, type and the time to their head are known (--secondary, --compare-share)"
    return [f"events were compared in {heard:,} of {count:,} streams: of the others {known}"]
