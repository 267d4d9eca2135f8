"""Token stream: chat completions, or tools of MCP servers, that stream. How long until the first event, between events?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.scenario import Finding, Place, Scenario
from darktime.blast.sources import Fixed, ask_for_stream, chat
from darktime.blast.streamed import streamed
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered
    from darktime.blast.traffic import Traffic

LIMITED = ("first_event", "between")


class TokenStream(Scenario):
    """The same prompt, asked evenly."""

    doc = "streamed chat completions: time to the first event, between events, and how many streams were good"

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """Streams that begin with a POST and end by themselves."""
        has = self.numbers
        asked = chat(place.address, has["path"], has["model"], has["prompt"], max_tokens=has["max_tokens"])
        if has["file"]:
            asked = ask_for_stream(place.address, has["path"], self.read(".json", str.encode))
        end = str(has["end_marker"]).encode() or None
        return streamed(cohort, place, has, Fixed(asked), name=str(has["path"]), end_marker=end)

    def objective(self) -> str:
        """Of its own limits: how long a whole stream takes depends on how much is said."""
        return ",".join(f"{name}_p99<{self.numbers[f'{name}_limit_ms']}ms" for name in LIMITED)

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """Times of events, and the streams that were good."""
        heard, counts = offered[-1].deliveries, offered[-1].counts
        assert heard is not None
        found = [
            Finding(name=f"{name} p{percent}", value=of.percentile_ms(percent), unit="ms", text="")
            for name, of in (("first event", heard.first_event), ("between events", heard.between))
            for percent in (50, 99)
        ]
        events, good = heard.events_a_stream.percentile(50), heard.good / offered[-1].duration_s
        text = f"{heard.good:,} of {counts.requests:,}: whole, and every event within the limits"
        found.append(Finding(name="events a stream", value=events, unit="", text="the median"))
        return [*found, Finding(name="goodput", value=good, unit="streams/s", text=text)]


class TokenStreamUser(CohortUser):
    """``locust -f scenarios/token_stream.py --host URL``."""

    scenario = TokenStream
