"""``/metrics``: the counters as Prometheus text. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "instance_"
_STATUS = re.compile(r"status_(\d+)")


def exposition(counts: Mapping[str, float], gauges: Mapping[str, float], process: Mapping[str, float]) -> str:
    """Counts as counters (``status_200`` as a label of ``instance_answers_total``), gauges as gauges, ``process_…`` as such."""
    answers = {found[1]: count for name, count in counts.items() if (found := _STATUS.fullmatch(name))}
    lines = [f"# TYPE {PREFIX}answers_total counter"]
    lines += [f'{PREFIX}answers_total{{status="{status}"}} {count:.17g}' for status, count in sorted(answers.items())]
    for name, count in sorted(counts.items()):
        if not _STATUS.fullmatch(name):
            lines += [f"# TYPE {PREFIX}{name}_total counter", f"{PREFIX}{name}_total {count:.17g}"]
    for name, value in sorted(gauges.items()):
        lines += [f"# TYPE {PREFIX}{name} gauge", f"{PREFIX}{name} {value:.17g}"]
    for name, value in sorted(process.items()):
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE process_{name} {kind}", f"process_{name} {value:.17g}"]
    return "\n".join(lines) + "\n"
