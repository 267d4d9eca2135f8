"""Which resource a request's target names, and the channels in it. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from realtime_core.push.request import Refusal

MAX_CHANNEL_ID: Final = 128
MAX_CHANNELS_A_REQUEST: Final = 255
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]+")
_BACKTRACK: Final = re.compile(r"(.*?)(?:\.b([0-9]{1,9}))?")
NO_CHANNEL: Final = Refusal(status=400, explain="No channel id provided.")
TOO_LARGE: Final = Refusal(status=400, explain="Channel id is too large.")
MALFORMED: Final = Refusal(status=400, explain="Channel ids are made of A-Z a-z 0-9 _ . : and -")
NOT_AUTHORIZED: Final = Refusal(status=403, explain="Channel id not authorized for this method.")
TOO_MANY: Final = Refusal(status=403, explain=f"More than {MAX_CHANNELS_A_REQUEST} channels in one request.")


class Wanted(NamedTuple):
    """One channel of a path, and how many stored messages of it are asked for (None: not said)."""

    channel: str
    backtrack: int | None


class Target(NamedTuple):
    """What a target names, with its channels by the path or ``?id=``, and ``?id=`` as it stands for statistics."""

    route: str  # "pub", "ev", "channels-stats", "metrics", or "other": few, so that they can be labels
    channels: tuple[Wanted, ...] | Refusal
    pattern: str


@lru_cache(maxsize=8192)
def read_target(target: str) -> Target:
    """Take a request's target apart. The same few thousand come again and again, hence the bounded cache."""
    if target.startswith("http://"):  # the absolute form, which proxies use
        target = "/" + target[7:].partition("/")[2]
    path, _, query = target.partition("?")
    if path == "/pub":
        pattern = _id_argument(query)
        return Target("pub", read_channels(pattern), pattern)
    if path.startswith("/ev/") or path == "/ev":
        return Target("ev", read_channels(_decoded(path[4:])), "")
    if path == "/channels-stats":
        return Target("channels-stats", NO_CHANNEL, _id_argument(query))
    return Target("metrics" if path == "/metrics" else "other", NO_CHANNEL, "")


def read_channels(path: str) -> tuple[Wanted, ...] | Refusal:
    """The channels of ``CH[.bN][/CH2[.bN]…]``, each once; only a ``.bN`` that ends a part is a backtrack."""
    wanted: dict[str, Wanted] = {}
    for part in path.split("/"):
        match = _BACKTRACK.fullmatch(part)
        channel, backtrack = match.groups() if match else (part, None)
        if not channel:
            continue
        refusal = refused_id(channel)
        if refusal is not None:
            return refusal
        wanted.setdefault(channel, Wanted(channel, None if backtrack is None else int(backtrack)))
    if not wanted:
        return NO_CHANNEL
    return tuple(wanted.values()) if len(wanted) <= MAX_CHANNELS_A_REQUEST else TOO_MANY


def refused_id(channel: str) -> Refusal | None:
    """Why a channel id cannot be one, or None where it can."""
    if channel == "ALL" or "*" in channel:
        return NOT_AUTHORIZED
    if len(channel) > MAX_CHANNEL_ID:
        return TOO_LARGE
    return None if _ID.fullmatch(channel) else MALFORMED


def _id_argument(query: str) -> str:
    for argument in query.split("&"):
        name, _, value = argument.partition("=")
        if name == "id":
            return _decoded(value)
    return ""


def _decoded(text: str) -> str:
    # Bytes beyond ASCII become characters that no channel id has: they are refused, not mistaken.
    return unquote_to_bytes(text).decode("latin-1")
