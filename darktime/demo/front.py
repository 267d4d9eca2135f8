"""The demo's front: the splitter between the visitors and the two instances, as a split command would run it."""

from __future__ import annotations

from socket import SOCK_DGRAM
from typing import TYPE_CHECKING, Any

from darktime.demo.settings import SALT
from darktime.split.commands import LedgerNames
from darktime.split.compare import Pair
from darktime.split.folder import PrivateFolder, prepare
from darktime.split.marks import mark
from darktime.split.nginx_config import render
from darktime.split.running import start_nginx, start_split
from darktime.split.sampling import sampled
from darktime.split.settings import Route, SplitSettings
from darktime.split.verdict import judge
from realtime_core.free_ports import free_port
from realtime_core.stack import find_nginx

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from darktime.demo.settings import DemoSettings
    from darktime.split.running import RunningSplit
    from darktime.split.verdict import Verdict
    from realtime_core.ledger import HopBalance
    from realtime_core.stack import Service, Stack

TTL_S = 3600.0
MIRRORED = ("/ev/", "/channels-stats")


class Front:
    """nginx, relay and agent of the demo. Addresses are HOST:PORT."""

    def __init__(self, stack: Stack, settings: DemoSettings, *, redis: str, name: str) -> None:
        self._stack = stack
        self._settings = settings
        self._ledger = LedgerNames(url=redis, name=name)
        self._folder = stack.adopt(PrivateFolder()).path
        self._split: SplitSettings
        self.running: RunningSplit

    def start(self, *, production: str, dark: str, site: str) -> dict[str, Service]:
        """Start the split; its processes by name."""
        settings = self._settings
        self._split = split_settings(
            self._folder,
            listen=f"127.0.0.1:{free_port()}",
            routes=(Route(prefix="/", upstreams=(site,)), *(mirrored(prefix, production) for prefix in MIRRORED)),
            max_percent=settings.percent,
        )
        self.running = start_split(
            self._stack,
            self._split,
            folder=self._folder,
            nginx=find_nginx(settings.nginx).path,
            dark=f"http://{dark}",
            percent=settings.percent,
            ttl_s=TTL_S,
            results=self._stack.folder,
            ledger=self._ledger,
        )
        return self.running.processes

    @property
    def address(self) -> str:
        """Where visitors go."""
        return self._split.listen

    def expected(self, users: Iterable[str]) -> list[str]:
        """Those of the users whom the function samples."""
        return [user for user in users if sampled(self._split.salt, user, self._settings.percent)]

    def marks(self, users: Iterable[str]) -> list[str]:
        """The users as the relay writes them down."""
        return [mark(self._split.secret, user) for user in users]


def start_window(stack: Stack, settings: DemoSettings, *, site: str, window: str) -> tuple[str, Service]:
    """An nginx for whoever watches along, with a push server of its own; where it listens, and its process.

    Somebody who looks on is none of the visitors: the streams of a browser would be deliveries that nobody counts -1.
    """
    private = stack.adopt(PrivateFolder()).path
    listen = settings.listen or f"127.0.0.1:{free_port()}"
    routes = (Route(prefix="/", upstreams=(site,)), mirrored("/ev/", window))
    made = split_settings(private, listen=listen, routes=routes, max_percent=settings.percent)
    prepare(private, made, render(made, private))  # without a lease nobody is mirrored
    return listen, start_nginx(stack, made, private, find_nginx(settings.nginx).path, name="nginx-window")


def mirrored(prefix: str, upstream: str) -> Route:
    """A route of the production instance."""
    return Route(prefix=prefix, upstreams=(upstream,), mirrored=True)


def split_settings(folder: Path, *, listen: str, routes: tuple[Route, ...], max_percent: float) -> SplitSettings:
    """The demo's split: users by the ``uid`` cookie; the dark instance has a state of its own."""
    return SplitSettings(
        listen=listen,
        routes=routes,
        relay_socket=folder / "relay.sock",
        sink_socket=folder / "sink.sock",
        log_port=free_port(kind=SOCK_DGRAM),
        dark_state="isolated",
        key="cookie:uid",
        salt=SALT,
        max_percent=max_percent,
        allow_query=("id",),
    )


def verdict_of(records: Sequence[Mapping[str, Any]], balances: Sequence[HopBalance]) -> Verdict:
    """The verdict over some pairs and hops."""
    return judge([Pair.from_record(record) for record in records], balances)
