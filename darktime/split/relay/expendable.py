"""Copies are the first thing a machine may lose: out of memory, the kernel is to end the relay before anything else."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

# Of 1,000, which would be ended whatever it holds; what nobody has marked has 0.
OOM_SCORE: Final = 500


def dies_first(score: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Mark this process, unless it is marked more strongly already. Everybody may; where there is no such file, nothing is done."""
    with suppress(OSError, ValueError):
        if int(score.read_text(encoding="ascii")) < OOM_SCORE:
            score.write_text(str(OOM_SCORE), encoding="ascii")
