"""``python -m darktime.blast.worker HOST PORT``: one process more of a run, driven by its head.

It ends with its parent; with the head, when that says so; and ten seconds after it has heard the head last.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from darktime.blast.machine import here
from darktime.blast.silence import SILENT_S
from darktime.errors import DarktimeError, ExitCode, RunInvalid, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
REPORT_EVERY_S = 1.0  # Locust's own is 3 s: its totals are to be whole when a run ends
WAIT_S = 30.0
KNOCK_EVERY_S = 0.2
JOIN_EVERY_S = 0.5
LOOK_S = 0.05


def main(argv: list[str]) -> int:
    """Run until the head says quit."""
    options = _options(argv)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if options.parent and os.getppid() != options.parent:  # it has ended before the line above
        return 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the head's, or the command's, to answer
    say = _speaker(here().pid) if options.speak else lambda _: None
    try:
        _knock(options.host, options.port, options.wait, say)
        _work(options, say)
    except DarktimeError as error:
        say(str(error))
        return int(error.exit_code)
    return 0


def _work(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    import gevent  # noqa: PLC0415 - what follows patches the process, which belongs to this run alone
    import locust.runners  # noqa: PLC0415
    from locust.env import Environment  # noqa: PLC0415

    from darktime.blast.blaster import Blaster  # noqa: PLC0415
    from darktime.blast.hand import Inbox  # noqa: PLC0415
    from darktime.blast.joining import Joining  # noqa: PLC0415

    locust.runners.WORKER_REPORT_INTERVAL = REPORT_EVERY_S
    if options.speak:  # one that was joined from outside; a head's own processes end with it by themselves
        locust.runners.MASTER_HEARTBEAT_TIMEOUT = int(SILENT_S)
    locust.runners.CONNECT_TIMEOUT = 1
    locust.runners.CONNECT_RETRY_COUNT = max(int(options.wait), 1)
    where = f"{options.host}:{options.port}"
    environment = Environment(user_classes=[Blaster])
    try:
        runner: Any = environment.create_worker_runner(options.host, options.port)
    except ConnectionError as error:
        raise _no_master(where, options.wait) from error
    inbox = Blaster.inbox = Inbox(environment, here(), only=options.allow, say=say)
    joining = Joining(runner, inbox.machine)
    until = time.monotonic() + options.wait
    while not joining.answered.wait(JOIN_EVERY_S):
        if time.monotonic() > until:
            raise _no_master(where, options.wait)
        joining.ask()
    if joining.error:
        raise UsageError(f"the master at {where} turned this worker away: {joining.error}")
    say(f"joined {where} as worker {joining.number} of {joining.workers} ({runner.client_id})")
    runner.greenlet.join()
    gevent.sleep(0)
    if inbox.refused is not None:
        text, code = inbox.refused
        raise UsageError(text) if code == ExitCode.USAGE else DarktimeError(text)
    if time.time() - (runner.last_heartbeat_timestamp or time.time()) >= SILENT_S:
        raise RunInvalid(f"the master at {where} is gone: nothing was heard for {SILENT_S:g} s, so its run is void")
    say("the run has ended")


def _knock(host: str, port: int, wait_s: float, say: Callable[[str], None]) -> None:
    """Wait until somebody listens there. Raises UsageError."""
    say(f"looks for its master at {host}:{port}, for {wait_s:g} s at most")
    until = time.monotonic() + wait_s
    while True:
        try:
            with socket.create_connection((host, port), timeout=max(min(until - time.monotonic(), 1.0), KNOCK_EVERY_S)):
                return
        except socket.gaierror as error:
            raise UsageError(f"--master-host {host!r} is not found ({error.strerror}): correct it") from error
        except OSError as error:
            if time.monotonic() + KNOCK_EVERY_S > until:
                raise UsageError(
                    f"no master at {host}:{port} within {wait_s:g} s ({error.strerror or error}): check --master-host and "
                    f"--master-port, and that the master's --master-bind-host is an address that this host reaches"
                ) from error
        time.sleep(KNOCK_EVERY_S)


def _no_master(where: str, wait_s: float) -> UsageError:
    return UsageError(
        f"what listens at {where} did not answer as a darkesttime master within {wait_s:g} s: name the address that "
        f"'darkesttime blast --master' printed"
    )


def _speaker(pid: int) -> Callable[[str], None]:
    def say(text: str) -> None:
        sys.stderr.write(f"worker {pid}: {text}\n")
        sys.stderr.flush()

    return say


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="darktime.blast.worker")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("parent", type=int, nargs="?", default=0)
    parser.add_argument("--wait", type=float, default=WAIT_S)
    parser.add_argument("--allow", action="append", default=[])
    parser.add_argument("--speak", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if code:
        sys.stderr.flush()
        os._exit(code)  # what Locust has left unsent to a master that is gone would hold the process for ever
