"""The workers of a run: the cohort in this process, processes below it, or whoever joins from other hosts.

Importing this patches the process (it loads Locust).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import gevent
import locust.runners
from locust.dispatch import UsersDispatcher
from locust.exception import RPCError

from darktime.blast.blaster import Blaster
from darktime.blast.crew import Crew
from darktime.blast.hand import Inbox
from darktime.blast.machine import here
from darktime.blast.roll import Roll
from darktime.blast.silence import SILENT_S
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from darktime.blast.head import Head
    from darktime.blast.master import Master
    from darktime.blast.settings import BlastSettings

GATHER_S = 30.0
LOOPBACK = "127.0.0.1"


class Fleet:
    """``runner`` is Locust's; ``roll`` is None where the one cohort is in this process."""

    def __init__(
        self, settings: BlastSettings, environment: Environment, *, note: Callable[[str], None] = lambda _: None
    ) -> None:
        master = settings.master
        self.workers = settings.workers
        self.wait_s = master.wait_s if master is not None else GATHER_S
        self.crew: Crew | None = None
        self.roll: Roll | None = None
        if settings.processes == 1 and master is None and settings.web is None:
            self.runner: Any = environment.create_local_runner()
            Blaster.inbox = Inbox(environment, here())
            return
        host, port = (master.host, master.port) if master is not None else (LOOPBACK, 0)
        self.runner = _master_runner(environment, host, port)
        self.roll = roll = Roll(self.runner, self.workers, note=note if master is not None else lambda _: None)
        # Locust hands out users once more whenever a worker comes or goes: here each gets its one, and keeps it.
        environment.dispatcher_class = _once(lambda node: node in roll.machines)
        if master is None:
            self.crew = Crew(settings.processes, LOOPBACK, self.runner.server.port)
        else:
            note(_call(master, self.runner.server.port))

    def dead(self) -> list[str]:
        """Of the processes below this one, those that have ended."""
        return self.roll.nodes(self.crew.dead()) if self.crew is not None and self.roll is not None else []

    def start(self, head: Head) -> None:
        """One user a worker, once all have come. Raises RunInvalid."""
        if self.roll is None:
            self.runner.start(1, spawn_rate=1)
            return
        self.roll.keep_time()
        head.await_workers(self.wait_s)
        if not self.roll.complete():  # it was interrupted
            return
        gevent.spawn(self.runner.start, self.workers, self.workers)

    def stop(self) -> None:
        """The run is over."""
        if self.roll is not None:
            self.roll.close()
        self.runner.quit()
        if self.crew is not None:
            self.crew.stop()


def _master_runner(environment: Environment, host: str, port: int) -> Any:
    locust.runners.HEARTBEAT_LIVENESS = int(SILENT_S)
    try:
        ip = str(socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise UsageError(
            f"--master-bind-host {host!r}: {error.strerror}; name an IPv4 address of this machine"
        ) from error
    taken = UsageError(f"--master-bind-port {port}: {ip}:{port} is taken; end what listens there or name another")
    try:
        return environment.create_master_runner(ip, port)
    except SystemExit as error:  # Locust ends the process where it knows the words of this
        raise taken from error
    except RPCError as error:
        if "in use" in str(error):
            raise taken from error
        raise UsageError(f"--master-bind-host {host!r}: {error}; name an address of this machine") from error


def _once(admitted: Callable[[str], bool]) -> Any:
    class Once(UsersDispatcher):
        """Locust's dispatcher, for workers that were let in, and for once."""

        def __init__(self, worker_nodes: list[Any], user_classes: list[Any]) -> None:
            super().__init__([node for node in worker_nodes if admitted(node.id)], user_classes)

        @property
        def dispatch_in_progress(self) -> bool:
            return True  # who asks wants to begin another

        def add_worker(self, worker_node: Any) -> None:
            """It came too late."""

        def remove_worker(self, worker_node: Any) -> None:
            """The run is void, and its head says so."""

    return Once


def _call(master: Master, port: int) -> str:
    """How to join."""
    words = f"waiting for {master.workers} workers at {master.host}:{port}"
    if master.host in (LOOPBACK, "localhost"):
        return f"{words}: on this machine alone, unless --master-bind-host names an address that other hosts reach"
    reach = "ADDRESS" if master.host == "0.0.0.0" else master.host  # noqa: S104 - compared, not bound
    return f"{words}: darkesttime blast --worker --master-host {reach} --master-port {port}"
