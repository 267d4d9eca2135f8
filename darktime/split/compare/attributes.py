"""What is compared of a split's pairs, as people list it: ``status,type,latency,length,body``. Pure."""

from __future__ import annotations

from typing import Final

from darktime.errors import UsageError
from darktime.split.compare.pair import ATTRIBUTES, LENGTH

BODY: Final = "body"
ALWAYS: Final = ("status", "type", "latency")
KNOWN: Final = (*ALWAYS, LENGTH, BODY)


def read_attributes(text: str) -> tuple[str, ...]:
    """The attributes of a list, those that are always compared among them. Raises UsageError for one that is none."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in KNOWN:
            raise UsageError(f"compare {word!r}: one or more of {', '.join(KNOWN)}, please")
    return tuple(one for one in KNOWN if one in ALWAYS or one in words)


def pair_attributes(text: str) -> tuple[str, ...]:
    """Of those, what makes a pair differ: times are judged over many, bodies by their fields. Raises UsageError."""
    return (*ATTRIBUTES, LENGTH) if LENGTH in read_attributes(text) else ATTRIBUTES
