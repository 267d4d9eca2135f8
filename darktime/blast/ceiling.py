"""Measures what one generator process of this machine is enough for, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

LIMIT_S = 20.0


def ceiling_of_one(connections: int, *, tls: bool) -> float | None:
    """Requests a second that one process is enough for; None when it could not be measured."""
    argv = [sys.executable, "-m", "darktime.blast.calibrate", str(connections), *(["tls"] if tls else [])]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=LIMIT_S, check=True)
        found = json.loads(done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        return None
    return float(found["requests"] / found["cpu_s"]) if found["cpu_s"] else None
