"""Token stream: chat completions that stream. How long until the first event, how evenly the next, how many are whole?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.scenario import Finding, Place, Scenario
from darktime.blast.sources import Fixed, chat
from darktime.blast.tokens import DONE, TokenStreams
from darktime.blast.traffic import Traffic
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered


class TokenStream(Scenario):
    """The same prompt, asked evenly."""

    doc = "streamed chat completions: time to the first event, between events, and how many streams were good"

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """Streams that begin with a POST and end by themselves."""
        has = self.numbers
        source = Fixed(chat(place.address, has["path"], has["model"], has["prompt"], max_tokens=has["max_tokens"]))
        size = max(place.part(int(has["connections"])), 1)
        streams = TokenStreams(
            cohort,
            place.address,
            source,
            size=size,
            timeout_s=place.timeout_s,
            end_marker=DONE,
            first_event_limit_s=float(has["first_event_limit_ms"]) / 1000,
            between_limit_s=float(has["between_limit_ms"]) / 1000,
        )
        return Traffic(streams, method="POST", name=str(has["path"]), size=size)

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """Times of events, and the streams that were good."""
        heard, counts = offered[-1].deliveries, offered[-1].counts
        assert heard is not None
        text = f"{heard.good:,} of {counts.requests:,}: whole, and every event within the limits"
        found = [
            Finding(name=f"{name} p{percent}", value=of.percentile_ms(percent), unit="ms", text="")
            for name, of in (("first event", heard.first_event), ("between events", heard.between))
            for percent in (50, 99)
        ]
        events, good = heard.events_a_stream.percentile(50), heard.good / offered[-1].duration_s
        found.append(Finding(name="events a stream", value=events, unit="", text="the median"))
        return [*found, Finding(name="goodput", value=good, unit="streams/s", text=text)]


class TokenStreamUser(CohortUser):
    """``locust -f scenarios/token_stream.py --host URL``."""

    scenario = TokenStream
