"""The modest run that a host gets which nobody named as his own to load: how much it may be at most. Pure."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from darktime.errors import UsageError

if TYPE_CHECKING:
    from darktime.blast.settings import BlastSettings

# Less than one browser that loads a page asks of a site.
MODEST_RATE_PER_S = 10.0
MODEST_DURATION_S = 10.0
MODEST_CONNECTIONS = 10
MODEST_STREAMS = 10
MODEST_CHANNELS = 2
MODEST_PUBLISHERS = 2


def modest(settings: BlastSettings, host: str) -> BlastSettings:
    """The run that is done at ``host``; a modest one's is itself. Raises UsageError for one that was to be more.

    What was left at its default is made smaller, and so is the time that a search may take.
    """
    defaults = {field.name: field.default for field in fields(settings)}
    for flag, name, limit in (
        ("--rate", "rate_per_s", MODEST_RATE_PER_S),
        ("--duration", "duration_s", MODEST_DURATION_S),
        ("--connections", "connections", MODEST_CONNECTIONS),
        ("--streams", "streams", MODEST_STREAMS),
        ("--channels", "channels", MODEST_CHANNELS),
        ("--processes", "processes", 1),
    ):
        asked = getattr(settings, name)
        if asked is None or asked <= limit or asked == defaults[name] or (name == "duration_s" and settings.searches):
            continue
        raise UsageError(f"{flag} {asked:g}: at most {limit:g} at a host that is not named as yours. {remedy(host)}")
    for flag, wanted in (
        ("--closed", settings.closed),
        ("--search", settings.search),
        ("--beyond", settings.beyond),
        ("--scenario", settings.scenario is not None),
        ("--follow", settings.follow),
        ("--canary", settings.canary is True),
    ):
        if wanted:
            raise UsageError(
                f"{flag}: a host that is not named as yours gets {MODEST_RATE_PER_S:g} requests a second at most, and "
                f"no {flag[2:]}. {remedy(host)}"
            )
    rate = MODEST_RATE_PER_S if settings.rate_per_s is None else settings.rate_per_s
    return replace(
        settings,
        rate_per_s=rate if settings.max_rate_per_s is None else min(rate, settings.max_rate_per_s),
        duration_s=min(settings.duration_s, MODEST_DURATION_S),
        connections=min(settings.connections, MODEST_CONNECTIONS),
        streams=min(settings.streams, MODEST_STREAMS),
        channels=min(settings.channels, MODEST_CHANNELS),
        canary=False,
    )


def remedy(host: str) -> str:
    """How more is allowed."""
    return (
        f"If {host} is yours to load, add --allow {host} and --max-rate, or name them in darktime.toml "
        f"(allow and max_rate of [blast])"
    )
