"""``python -m darktime.blast.worker HOST PORT``: one process more of a run, driven by its head. It ends with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
REPORT_EVERY_S = 1.0  # Locust's own is 3 s: its totals are to be whole when a run ends


def main(argv: list[str]) -> int:
    """Run until the head says quit."""
    host, port, parent = argv[0], int(argv[1]), int(argv[2])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if parent and os.getppid() != parent:  # it has ended before the line above
        return 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the head's to answer
    import locust.runners  # noqa: PLC0415 - it patches the process, which belongs to this run alone
    from locust.env import Environment  # noqa: PLC0415

    from darktime.blast.blaster import Blaster  # noqa: PLC0415
    from darktime.blast.hand import Inbox  # noqa: PLC0415

    locust.runners.WORKER_REPORT_INTERVAL = REPORT_EVERY_S
    environment = Environment(user_classes=[Blaster])
    runner = environment.create_worker_runner(host, port)
    Blaster.inbox = Inbox(environment)
    runner.greenlet.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
