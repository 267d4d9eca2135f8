"""A split that runs: its folder, relay, nginx and agent, started by whoever can start them, and how to steer it."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, Unpack

from darktime.errors import UsageError
from darktime.split import levels
from darktime.split.change import STATE
from darktime.split.commands import agent_command, nginx_command
from darktime.split.dark_side import dark_side, parse_instance
from darktime.split.folder import prepare, write_private
from darktime.split.instances import address, answers, refuse_our_own_front
from darktime.split.nginx_config import render
from darktime.split.relays import Relaying, Relays
from darktime.split.workers import is_relay
from realtime_core.free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from darktime.split.commands import Command, CompareOptions
    from darktime.split.dark_side import DarkSide
    from darktime.split.gathering import Gathering
    from darktime.split.settings import CopySettings, SplitSettings
    from darktime.split.verdict import VerdictSettings

ABOUT: Final = "split.json"
Process_co = TypeVar("Process_co", covariant=True)


class Starter(Protocol[Process_co]):
    """Starts a child process and waits until it is ready: a line it prints, or a question that is answered True."""

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        ready: Callable[[], bool] | str,
        listens: tuple[str, int] | None = None,
    ) -> Process_co:
        """The process, ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSplit:
    """Where a running split keeps what others look at. ``processes`` is what the starter gave, by name.

    Of several relays ``state``, ``pairs`` and ``population`` are what ``gather`` made of theirs when it was called last;
    ``states`` are the relays' own, ``exporters`` HOST:PORT of each one's metrics, by its name.
    """

    settings: CopySettings
    folder: Path
    state: Path
    pairs: Path
    population: Path
    states: tuple[Path, ...]
    exporters: dict[str, str]
    processes: dict[str, Any]
    gathering: Gathering | None = None

    @property
    def metrics(self) -> str:
        """HOST:PORT of the metrics of the only relay, or of the first."""
        return next(iter(self.exporters.values()))

    @property
    def relay_states(self) -> dict[str, Path]:
        """The relays' own state files, by their names."""
        return dict(zip(filter(is_relay, self.processes), self.states, strict=False))

    def gather(self, *, last: bool = False) -> str | None:
        """Put together what several relays have written; what failed, or None. Nothing is left out at the next time.

        ``last``: what takes long is done, too.
        """
        try:
            if self.gathering is not None:
                self.gathering.look(last=last)
        except OSError as error:
            return f"what the relays write cannot be put together: {error}"
        return None

    def end_relays(self) -> None:
        """Tell all of several relays that it is over: each may take two seconds, and they take them together."""
        if self.gathering is not None:
            for process in (process for name, process in self.processes.items() if is_relay(name)):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)  # whoever started it has not reaped it yet

    def close(self) -> str | None:
        """The relays have ended: take what they wrote last; what could not be done, or None."""
        return None if self.gathering is None else self.gathering.close()

    def ramp(self, percent: float) -> None:
        """Mirror exactly this percentage of users from the next request on. Raises UsageError beyond the maximum."""
        levels.set_percent(self.folder, percent, self.settings.max_percent)


def start_split(
    starter: Starter[Any],
    settings: SplitSettings,
    *,
    folder: Path,
    nginx: Path,
    dark: DarkSide | str | None,
    percent: float,
    ttl_s: float,
    results: Path,
    follow: Path | None = None,
    lists: Mapping[str, Sequence[str]] | None = None,
    probe: bool = True,
    **relaying: Unpack[Relaying],
) -> RunningSplit:
    """Start relay, agent and nginx, in the order in which each needs the other.

    Args:
        starter: starts and later ends the processes.
        settings: the split.
        folder: a private folder that nginx can live in; its path is short, sockets are in it.
        nginx: the binary.
        dark: the dark side, or the URL of its only instance; None where copies are recorded and go nowhere.
        percent: with which to begin.
        ttl_s: after so many seconds the agent gives the lease back and mirroring ends.
        results: where the relay's state and the pairs go.
        lists: users who alone may be in, or who never are, by the list's name.
        follow: a file with the URL of the Redis in which the experiment stands; the agent follows it there.
        probe: ask the dark instance, and the secondary, first whether its name leads back to this nginx.
        **relaying: what the relays are told besides, as ``Relaying`` has it.

    Raises:
        UsageError: the listen address or a path cannot be used, or the dark instance is production by another name.
    """
    side = dark_side([dark]) if isinstance(dark, str) else dark
    prepare(folder, settings, render(settings, folder))
    _write_lists(settings, folder, lists or {})
    relays = Relays(settings=settings, secrets=folder, dark=side, results=results, free_port=free_port, **relaying)
    running = _with_relays(starter, settings, folder, relays, percent=percent)
    running.processes["nginx"] = start_nginx(starter, settings, folder, nginx)
    if probe:
        _refuse_our_own_front(settings, side, relaying.get("compare"), front=settings.listen)
    # The lease comes last: until everything stands, nobody is mirrored.
    running.processes["agent"] = _start(starter, agent_command(settings, folder, ttl_s=ttl_s, follow=follow))
    return running


def start_joined(
    starter: Starter[Any],
    settings: CopySettings,
    *,
    folder: Path,
    dark: DarkSide | str | None,
    percent: float,
    ttl_s: float,
    results: Path,
    front: str,
    hosts: Sequence[str],
    follow: Path | None = None,
    lists: Mapping[str, Sequence[str]] | None = None,
    **relaying: Unpack[Relaying],
) -> RunningSplit:
    """Start relay and agent beside an nginx that has the includes of ``folder`` already.

    Arguments as for ``start_split``; ``front`` and ``hosts``: that nginx for people, and the names of its servers.

    Raises:
        UsageError: the kill file stands, or the dark instance is production by another name.
    """
    state, side = folder / STATE, dark_side([dark]) if isinstance(dark, str) else dark
    if levels.killed(state):
        raise UsageError(
            f"mirroring was killed here: remove {state / 'kill'} first, if what it was killed for is mended"
        )
    _write_lists(settings, state, lists or {})
    _refuse_our_own_front(settings, side, relaying.get("compare"), front=front, hosts=hosts)
    relays = Relays(settings=settings, secrets=folder, dark=side, results=results, free_port=free_port, **relaying)
    running = _with_relays(starter, settings, state, relays, percent=percent)
    running.processes["agent"] = _start(starter, agent_command(settings, state, ttl_s=ttl_s, follow=follow))
    return running


def _write_lists(settings: CopySettings, folder: Path, lists: Mapping[str, Sequence[str]]) -> None:
    for name, asked in ((levels.ONLY, settings.only_listed), (levels.NEVER, settings.never_listed)):
        if asked != (name in lists):
            option = "--only-users" if name == levels.ONLY else "--never"
            had = "with" if asked else "without"
            raise UsageError(f"{option}: the configuration was written {had} it; say the same here, or write it again")
        if asked:
            levels.set_list(folder, name, lists[name])


def _with_relays(
    starter: Starter[Any], settings: CopySettings, folder: Path, relays: Relays, *, percent: float
) -> RunningSplit:
    levels.set_percent(folder, percent, settings.max_percent)
    processes = {command.name: _start(starter, command) for command in relays.commands()}
    running = RunningSplit(
        settings=settings,
        folder=folder,
        state=relays.files.state,
        pairs=relays.files.pairs,
        population=relays.files.population,
        states=tuple(files.state for files in relays.parts.values()) or (relays.files.state,),
        exporters=relays.exporters,
        processes=processes,
        gathering=relays.gathering(dict(processes)),
    )
    running.gather()
    return running


def _refuse_our_own_front(
    settings: CopySettings,
    side: DarkSide | None,
    compare: CompareOptions | None,
    *,
    front: str,
    hosts: Sequence[str] = (),
) -> None:
    """Copies go to these instances only; none may be production's front."""
    secondary = () if compare is None or compare.secondary is None else (parse_instance(compare.secondary),)
    for name, instances in (("dark", () if side is None else side.instances), ("secondary", secondary)):
        refuse_our_own_front(settings.secret, instances, front=front, hosts=hosts, name=name)


def start_nginx(
    starter: Starter[Process_co], settings: SplitSettings, folder: Path, nginx: Path, name: str = "nginx"
) -> Process_co:
    """Start nginx on what ``prepare`` has written into the folder; it is ready when its address answers."""
    host, port = address(settings.listen)
    command = nginx_command(nginx, folder)
    return starter.start(name, command.argv, ready=lambda: answers(host, port), listens=(host, port))


def describe(
    running: RunningSplit,
    path: Path,
    looks: int = 0,
    *,
    margins: VerdictSettings | None = None,
    ledger: str | None = None,
) -> None:
    """Write what ``ramp``, ``kill``, ``who`` and ``status`` need to find this split again; it holds no secret.

    ``margins``: by which it will be judged. ``looks``: how many verdicts a ramp's plan has asked for so far.
    ``ledger``: what it is called where the split counts.
    """
    settings = running.settings
    about = {
        "version": 1,
        "folder": str(running.folder),
        "salt": settings.salt,
        "key": settings.key,
        "max_percent": settings.max_percent,
        "listen": getattr(settings, "listen", None),
        "redis": str(path.parent / "redis.url"),
        "only": list(settings.only),
        "pid": os.getpid(),
        "margins": {} if margins is None else asdict(margins),
        "looks": looks,
        "ledger": ledger,
    }
    write_private(path, json.dumps(about))


def find(path: Path) -> dict[str, Any]:
    """What ``describe`` wrote. Raises UsageError when no split runs there."""
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        folder = Path(about["folder"])
    except PermissionError as error:
        raise UsageError(f"{path}: {error.strerror}; run this as the user who runs the split") from error
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"no split runs here ({path} is not there): name its results folder with --run DIR") from error
    try:
        ended = not folder.is_dir()
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; run this as the user who runs the split") from error
    if ended:
        raise UsageError(f"the split of {path} has ended: its folder {folder} is gone")
    return about


def alive(about: dict[str, Any]) -> bool:
    """Whether the command of that split is alive; of one that does not say who it is, nobody knows: yes."""
    pid = about.get("pid")
    return pid is None or Path(f"/proc/{pid}").exists()


def _start(starter: Starter[Process_co], command: Command) -> Process_co:
    return starter.start(command.name, command.argv, ready=command.ready_line or "")
