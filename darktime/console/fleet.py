"""``blast --master`` and ``blast --worker``: their options, and the processes of this host that join a run elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from darktime.blast.combinations import refuse_of_another_part
from darktime.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import FrameType

F = TypeVar("F", bound="Callable[..., Any]")

# What the blast's own process takes.
PASSED_ON = {
    name: "--" + name.replace("_", "-")
    for name in (
        *("expect_workers", "expect_workers_max_wait", "master_bind_host", "master_bind_port"),
        *("web_host", "web_port", "autoquit"),
    )
}
FLAGS = {"master": "--master", "web": "--web"}
END_S = 5.0
MAX_PROCESSES = 64

_OPTIONS = (
    click.option("--master", is_flag=True, help="Send nothing here: workers join, from this host or from others."),
    click.option("--expect-workers", type=int, help="--master: begin when so many processes have joined."),
    click.option("--expect-workers-max-wait", type=float, help="Seconds to wait for them (for a worker: its master)."),
    click.option("--master-bind-host", metavar="HOST", help="--master: listen here; loopback unless told otherwise."),
    click.option("--master-bind-port", type=int, help="--master: and at this port; 5557 as Locust's."),
    click.option("--worker", is_flag=True, help="Join the run of a master, and do what it says."),
    click.option("--master-host", default="127.0.0.1", metavar="HOST", help="--worker: where the master listens."),
    click.option("--master-port", type=int, default=5557, help="--worker: and at which port."),
    click.option("--web", is_flag=True, help="Locust's page while the run goes on, with a tab of the exact figures."),
    click.option("--web-host", metavar="HOST", help="--web: listen here; loopback unless told otherwise."),
    click.option("--web-port", type=int, help="--web: and at this port; 8089 as Locust's."),
    click.option("--autoquit", type=float, help="--web: the page stays so many seconds after the run; 0."),
)


def fleet_options(command: F) -> F:
    """Add the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_part(asked: dict[str, Any], here: Collection[str]) -> None:
    """Whether the options name one part, and what it needs; ``here``: those that this call names. Raises UsageError."""
    if asked["master"] and asked["worker"]:
        raise UsageError("--master and --worker are two commands: give each its own")
    if asked["instance"] is None and not asked["worker"]:
        raise UsageError("--instance HOST:PORT is missing: name the one instance that gets everything")
    refuse_of_another_part(here, {part for part in ("master", "worker", "web") if asked[part]})
    processes = 1 if asked["processes"] is None else asked["processes"]
    if asked["worker"] and not 1 <= processes <= MAX_PROCESSES:
        raise UsageError(f"--processes {processes}: 1 to {MAX_PROCESSES} on one machine")


def work(asked: dict[str, Any]) -> int:
    """Run this host's workers to their end; the exit code is the first that is not 0, 130 when it was interrupted."""
    argv = [sys.executable, "-m", "darktime.blast.worker"]
    argv += [str(asked["master_host"]), str(asked["master_port"]), str(os.getpid()), "--speak"]
    if asked["expect_workers_max_wait"] is not None:
        argv += ["--wait", str(asked["expect_workers_max_wait"])]
    argv += [word for host in asked["allow"] for word in ("--allow", host)]
    processes: list[subprocess.Popen[bytes]] = []
    interrupted: list[int] = []

    def end(received: int, _frame: FrameType | None) -> None:
        interrupted.append(received)
        for process in processes:
            process.terminate()

    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, end)
    processes.extend(subprocess.Popen(argv, stdin=subprocess.DEVNULL) for _ in range(asked["processes"] or 1))
    codes = [process.wait() for process in processes]
    if interrupted:
        return int(ExitCode.INTERRUPTED)
    return next((code if code > 0 else int(ExitCode.ERROR) for code in codes if code), 0)
