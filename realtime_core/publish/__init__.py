"""Publishing: events, what a push box is told and how it answers, and the fleet of boxes that every event goes to."""

from realtime_core.publish.box import Box
from realtime_core.publish.breaker import Breaker
from realtime_core.publish.canary import Canary
from realtime_core.publish.dialects import DIALECTS, Dialect
from realtime_core.publish.events import Event, check_channel, event_of
from realtime_core.publish.fleet import Fleet
from realtime_core.publish.outcome import Outcome

__all__ = [
    "DIALECTS",
    "Box",
    "Breaker",
    "Canary",
    "Dialect",
    "Event",
    "Fleet",
    "Outcome",
    "check_channel",
    "event_of",
]
