"""The closed list of reasons for which a copy leaves its way before it is compared.

A reason that is not in it explains nothing: it is counted as ``unknown``, which is no explanation to the ledger and to the
verdict, and is exported.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Final

SHED_SINK: Final = "shed_sink"  # nginx gave it to its own sink: the relay was away, or slow
RELAY_FULL: Final = "relay_full"
TOO_BIG: Final = "too_big"
UNSAFE_METHOD: Final = "unsafe_method"
UPGRADE: Final = "upgrade"
EXPIRED: Final = "expired"  # it waited too long to be of use, or lasted longer than a stream may be held
DARK_REFUSED: Final = "dark_refused"
DARK_TIMEOUT: Final = "dark_timeout"
DARK_RESET: Final = "dark_reset"
CLIENT_ABORT: Final = "client_abort"
CREDENTIAL_STRIPPED: Final = "credential_stripped"
LOG_LOST: Final = "log_lost"  # production's line never came, or the sink's, where lines were lost
CALIBRATION: Final = "calibration_failed"  # the second instance of today's code did not answer while it calibrated
IN_FLIGHT: Final = "in_flight"  # the relay was told to stop before it was through
TRANSFORMED_AWAY: Final = "transformed_away"  # the user's own function dropped it, on purpose
TRANSFORM_FAILED: Final = "transform_failed"  # it raised, or gave back what cannot be sent
UNKNOWN: Final = "unknown"  # the reason that was given is none of these

ALL: Final = (
    SHED_SINK, RELAY_FULL, TOO_BIG, UNSAFE_METHOD, UPGRADE, EXPIRED, DARK_REFUSED, DARK_TIMEOUT, DARK_RESET,
    CLIENT_ABORT, CREDENTIAL_STRIPPED, LOG_LOST, CALIBRATION, IN_FLIGHT, TRANSFORMED_AWAY, TRANSFORM_FAILED, UNKNOWN,
)  # fmt: skip
log = logging.getLogger(__name__)


@lru_cache(maxsize=256)
def listed(reason: str) -> str:
    """The reason as it is counted; one that is not in the list is said once, by its name."""
    if reason in ALL:
        return reason
    log.error("copies left for %r, which is no reason of the list: they are counted as %s", reason, UNKNOWN)
    return UNKNOWN
