"""``python -m darktime.blast.metric_reader SCHEME HOST PORT AUTHORITY PATH CACERT INSECURE``: an instance's metrics, once a second.

In a process of its own, at no more than a fiftieth of a core: where a reading costs more, it asks less often. A line of
JSON on stdout after the first reading (``why`` it gives up, if so, and whether anything is ``there``), and one with what
it saw when its stdin ends.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

from darktime.blast.metric_series import MetricSeries
from darktime.blast.metric_text import MAX_BYTES, is_metrics, metrics_in
from darktime.blast.tls import trusting
from darktime.errors import DarktimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.metric_text import Metric

EVERY_S = 1.0
MOST_CPU = 0.02
# A reading from its first byte to its last, and what is made of it; nobody's answer may hold it longer.
LIMIT_S = 2.0
OK = 200
# So many failures in a row, and it asks no more: an instance in distress has other work.
FAILURES = 5


def main(argv: Sequence[str]) -> int:
    """Read until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _too_long)
    series, asked, failed, in_a_row, why, there = MetricSeries(), 0, 0, 0, "", True
    wait_s = 0.0
    while not _ended(wait_s):
        spent = time.process_time()
        asked += 1
        try:
            metrics = _read(argv)
        except (DarktimeError, OSError, http.client.HTTPException) as error:
            why, there = str(error) or type(error).__name__, not isinstance(error, _NotThereError)
            failed, in_a_row = failed + 1, in_a_row + 1
        else:
            series.add(time.time(), metrics)
            why, in_a_row = "", 0
        if asked == 1:
            sys.stdout.write(json.dumps({"why": why, "there": there}) + "\n")
            sys.stdout.flush()
        if (asked == 1 and why) or in_a_row >= FAILURES:
            break
        wait_s = max(EVERY_S, (time.process_time() - spent) / MOST_CPU)
    while not _ended(None):
        pass
    told = {"metrics": series.chosen(), "asked": asked, "failed": failed, "why": why if in_a_row >= FAILURES else ""}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    return 0


def _ended(wait_s: float | None) -> bool:
    """Whether whoever started it wants to know, or is no more."""
    ready, _, _ = select.select([sys.stdin], [], [], wait_s)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


class _NotThereError(DarktimeError):
    """Nothing that says it is metrics."""


def _read(argv: Sequence[str]) -> dict[str, Metric]:
    scheme, host, port, authority, path = argv[0], argv[1], int(argv[2]), argv[3], argv[4]
    link: http.client.HTTPConnection
    if scheme == "https":
        link = http.client.HTTPSConnection(
            host, port, timeout=LIMIT_S, context=trusting(argv[5] or None, insecure=bool(argv[6]))
        )
    else:
        link = http.client.HTTPConnection(host, port, timeout=LIMIT_S)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        reply = _asked(link, authority, path)
        return metrics_in(reply.read(MAX_BYTES + 1))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        link.close()


def _asked(link: http.client.HTTPConnection, authority: str, path: str) -> http.client.HTTPResponse:
    """The reply up to its body."""
    fields = {"Host": authority, "User-Agent": "darkesttime-metrics", "X-Darktime": "1"}
    try:
        link.request("GET", path, headers={**fields, "Accept": "text/plain;version=0.0.4", "Connection": "close"})
        reply = link.getresponse()
    except (DarktimeError, OSError, http.client.HTTPException) as error:
        raise _NotThereError(str(error) or type(error).__name__) from error
    if reply.status != OK:
        raise _NotThereError(f"it answered {reply.status}")
    if not is_metrics(reply.getheader("Content-Type", "")):
        raise _NotThereError("it does not say that it is Prometheus text")
    return reply


def _too_long(_number: int, _frame: object) -> None:
    raise DarktimeError(f"it took longer than {LIMIT_S:g} s")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # whoever listened has gone
        os._exit(0)
