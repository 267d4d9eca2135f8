"""The names of a queue's keys; no other module spells one.

All of them carry ``{NAME}`` and so live in one slot of a cluster, where a script can reach them together.
"""

from __future__ import annotations

import re
from typing import Final

from realtime_core.errors import ConfigurationError

# The format's version comes first: a later format can live beside this one.
FORMAT: Final = "rtq2"
BEFORE: Final = "rtq1"
NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

PARTS: Final = (
    "jobs",  # hash: id -> record; every job that the queue holds
    "ready",  # list: ids in line, of jobs without a key
    "line",  # sorted by bytes: "KEY SEQ ID" (a place) of the jobs in line that have a key
    "turns",  # sorted set: keys whose next job may be given out, in their order
    "busy",  # hash: key -> how many of its jobs are claimed
    "later",  # sorted by bytes: places of jobs that wait for another attempt, and hold what is behind them
    "delayed",  # sorted set: id, or place -> when it joins the line, ms
    "claimed",  # sorted set: id -> when its lease ends, ms (and a fraction, for the order)
    "owners",  # hash: claimed id -> TOKEN:ATTEMPT:WORKER, and " KEY SEQ" if it has a key
    "tries",  # hash: id -> attempts, of jobs that were tried and are not done
    "history",  # hash: id -> lines "MS ATTEMPT WORKER REASON", what ended the last of those
    "stalled",  # hash: id -> "MS ATTEMPTS WORKER SEQ:KEY REASON" ("/" without a key)
    "stamps",  # hash: id -> "CHANNEL EVENT-ID CHANNEL EVENT-ID …"
    "channels",  # hash: channel -> its last number, and " EPOCH" if it has one of its own; "" -> epoch
    "former",  # hash: the same, of channels that had no event since counts[channels_since]
    "results",  # sorted set: id whose result is kept -> until when, ms; the result is in a list of one, `result:ID`
    "notices",  # no key: the channel of the notices, told until counts[watched]
    "counts",  # hash: what the queue has done, by name
    "wake",  # list of one token at most: waiting claims block on it
    "recent",  # set: ids put since counts[recent_since]
    "older",  # set: ids put in the window before that
)


def queue_keys(name: str) -> dict[str, str]:
    """Every key of the queue ``name``, by what it holds.

    Raises:
        ConfigurationError: the name does not match ``[A-Za-z0-9_.-]{1,64}``.
    """
    if not NAME.fullmatch(name):
        raise ConfigurationError(f"queue name {name!r}: use 1 to 64 of A-Z a-z 0-9 _ . -")
    return {part: f"{FORMAT}:{{{name}}}:{part}" for part in PARTS}


def older_jobs_key(name: str) -> str:
    """Where the format before this one keeps its jobs."""
    return f"{BEFORE}:{{{name}}}:jobs"


def result_key(name: str, id_: str) -> str:
    """Where a job's result is, for a while."""
    return f"{FORMAT}:{{{name}}}:result:{id_}"
