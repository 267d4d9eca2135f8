"""What nginx's configuration says of several relays: which of them a request belongs to, and where its log lines go. Pure.

A relay has whole users: it is drawn by a hash of the user, of another text than the draw of who is in, so that those who are
in spread over all. Copy, production's line and the sink's line of a request therefore meet in one process. nginx takes no
variable in an ``access_log syslog:``, so each relay has a line of its own with a condition; for a request of which nothing is
told a condition is one look at a variable. With one relay there is nothing to draw, and no condition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from darktime.split.workers import workers_of

if TYPE_CHECKING:
    from darktime.split.settings import CopySettings
    from darktime.split.workers import Worker

_WORKER: Final = "$darktime_worker"
_CONNECTIONS: Final = 256
_LEAST_CONNECTIONS: Final = 32
_KEPT: Final = 32
_HUNDREDTHS: Final = 10_000  # of a percent: what split_clients can tell apart


def most_connections(workers: int) -> int:
    """How many connections one relay of so many may have at once: all together as many as one, but each some for a burst."""
    return max(_LEAST_CONNECTIONS, _CONNECTIONS // workers)


def kept_connections(workers: int) -> int:
    """How many of them each worker process of nginx keeps: they count against its worker_connections while nobody uses them."""
    return max(1, _KEPT // workers)


def too_few(worker_connections: int, settings: CopySettings) -> str:
    """The remark that copies alone may take half of a worker process's connections, with what to do; empty where they may not.

    Production's requests have the other half, and each takes two of them: its client's, and that to production.
    """
    workers = len(workers_of(settings))
    copies = workers * most_connections(workers)
    if worker_connections >= 2 * copies:
        return ""
    fewer = ", or fewer --relay-workers" if workers > 1 else ""
    return (
        f"worker_connections {worker_connections:,} in this nginx: copies alone may take {copies:,} of them while a relay is "
        f"slow, and what is left is production's; let it be {2 * copies:,} at least{fewer}"
    )


def log_target(relay: CopySettings | Worker) -> str:
    """Where a relay's log lines go."""
    return f"syslog:server=127.0.0.1:{relay.log_port},tag=darktime,nohostname"


def upstream_of(worker: Worker) -> str:
    """What the upstream of that relay is called."""
    return f"darktime_relay{_tail(worker)}"


def relay_of_request(settings: CopySettings) -> str:
    """What the upstream of a request's relay is called: by a variable, where there are several."""
    return f"darktime_relay{_WORKER}" if settings.more_log_ports else "darktime_relay"


def told_mark(settings: CopySettings) -> str:
    """What a variable says of a request that belongs to a relay: which, where there are several."""
    return _WORKER if settings.more_log_ports else "1"


def worker_maps(settings: CopySettings) -> list[str]:
    """Which relay a request belongs to; nothing where there is one. Who carries no key is drawn by his connection."""
    workers = workers_of(settings)
    if len(workers) == 1:
        return []
    share = f"{_HUNDREDTHS // len(workers) / 100:.2f}%"
    parts = "".join(f"  {share} {_tail(one)};\n" for one in workers[:-1])
    return [
        'map $darktime_user $darktime_whose {\n  "" $connection;\n  default $darktime_user;\n}\n',
        f'split_clients "worker:{settings.salt}:$darktime_whose" {_WORKER} {{\n{parts}  * {_tail(workers[-1])};\n}}\n',
        *(_map(_WORKER, f"$darktime_to{_tail(one)}", f"{_tail(one)} 1") for one in workers),
    ]


def log_lines(settings: CopySettings, kind: str = "") -> str:
    """The lines of a location in which every request is told of. ``kind``: of the format, as in ``_other``."""
    workers = workers_of(settings)
    return "".join(
        f"    access_log {log_target(one)} darktime{kind}"
        f"{f' if=$darktime_to{_tail(one)}' if len(workers) > 1 else ''};\n"
        for one in workers
    )


def included_maps(settings: CopySettings) -> str:
    """For an include: whether a request is told of, and to which relay.

    ``$darktime_copied`` and ``$darktime_told`` are set by the gate to what ``told_mark`` says. With ``log_subrequest on`` nginx
    would write our line for their subrequests too; those have no length of their own.
    """
    workers = workers_of(settings)
    if len(workers) == 1:
        return _LOG_MAP
    return "\n".join(
        [
            _map("$request_length", "$darktime_whole", '0 ""', default="1", volatile=True),
            _map('"$darktime_copied:$darktime_whole"', "$darktime_uncopied", '":1" $darktime_other', volatile=True),
            *(
                _map(f"$darktime_{said}", f"$darktime{kind}_log{_tail(one)}", f"{_tail(one)} {value}", volatile=True)
                for one in workers
                for said, kind, value in (("copied", "", "$darktime_whole"), ("told", "_other", "$darktime_uncopied"))
            ),
        ]
    )


def included_lines(settings: CopySettings) -> list[str]:
    """For a server or a location of an include: the lines, each with its condition."""
    return [
        f"access_log {log_target(one)} darktime{kind} if=$darktime{kind}_log{_tail(one)};"
        for one in workers_of(settings)
        for kind in ("", "_other")
    ]


_LOG_MAP: Final = """\
map $request_length $darktime_log {
  volatile;
  0 "";
  default $darktime_copied;
}

map "$darktime_copied:$darktime_told" $darktime_uncopied {
  volatile;
  default "";
  ":1" $darktime_other;
}

map $request_length $darktime_other_log {
  volatile;
  0 "";
  default $darktime_uncopied;
}
"""


def _map(source: str, name: str, line: str, *, default: str = '""', volatile: bool = False) -> str:
    again = "  volatile;\n" if volatile else ""
    return f"map {source} {name} {{\n{again}  default {default};\n  {line};\n}}\n"


def _tail(worker: Worker) -> str:
    return f"_{worker.number}" if worker.number else ""
