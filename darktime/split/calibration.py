"""A split's calibration: the pairs in which both sides ran today's code, what is done with them. Pure but for reading the file.

For the first seconds of a split copies may go to a second instance of today's code, as they go to the dark instance
afterwards. What its times differ in from production's is not the code: it is where and how they are measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from darktime.split.pairs_file import PairsFile
from darktime.split.results import latency_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from darktime.split.compare import Pair

CALIBRATION: Final = "calibration.jsonl"  # beside pairs.jsonl


def beside(pairs: Path) -> Path:
    """The file of the calibration's pairs, beside a relay's own: each of several relays has one."""
    tail = pairs.stem.removeprefix("pairs")
    return pairs.with_name(f"calibration{tail}.jsonl" if tail != pairs.stem else CALIBRATION)


def calibration_of(pairs: Path, relay: Mapping[str, Any]) -> list[Pair]:
    """What was paired while the split calibrated; nothing where this one did not, whatever lies there.

    ``pairs``: the split's own file of pairs. ``relay``: its state, or the split's results, which say whether it calibrated.
    """
    return PairsFile(beside(pairs)).read() if relay.get("calibration") else []


def calibration_record(relay: Mapping[str, Any], pairs: Sequence[Pair]) -> dict[str, Any]:
    """As the results hold it; empty where the split did not calibrate. ``relay``: its state."""
    told = relay.get("calibration")
    if told is None:
        return {}
    return {
        "calibration": {
            "seconds": told["seconds"],
            "pairs": len(pairs),
            "latency": latency_of(pairs),
        }
    }
