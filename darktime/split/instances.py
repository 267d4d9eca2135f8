"""Whether the dark instance is another one than production: what can be known before anybody is mirrored."""

from __future__ import annotations

import socket
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError
from darktime.split.backends import UNIX
from darktime.split.dark_side import ask
from darktime.split.listening import holders, listening_tcp, listening_unix
from darktime.split.nginx_blocks import probe_answer, probe_path
from darktime.split.settings import check_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.split.dark_side import Instance

CONNECT_TIMEOUT_S: Final = 2.0
PROBE_TIMEOUT_S: Final = 1.0  # our own nginx answers it without asking anybody
_MOST_BYTES: Final = 64


def address(listen: str) -> tuple[str, int]:
    """Host and port of HOST:PORT."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def check_instances(productions: Sequence[Instance], darks: Sequence[Instance], *, listen: str | None = None) -> None:
    """Check that all answer, and that no dark one is one of production's, or any our own address (``listen``, HOST:PORT).

    There are no ``darks`` where nothing is sent to anybody.

    Raises:
        UsageError: nobody listens, a name is not known, the dark instance is production or what we listen on, or that is no
            address.
    """
    if listen is not None:
        check_address(listen, "--listen")
    today = [("production", one, resolved(one.at, "production")) for one in productions]
    new = [("dark", one, resolved(one.at, "dark")) for one in darks]
    for (_, production, theirs), (_, dark, its_own) in product(today, new):
        if same(theirs, its_own):
            raise UsageError(
                f"production {production.at} and dark {dark.at} are the same server: copies to production would hurt it; "
                "name another instance"
            )
    found = [*today, *new]
    if listen is not None:
        for name, one, its_own in found:
            if same(its_own, resolved(listen, "listen")):
                raise UsageError(
                    f"{name} {one.at} is where nginx is to listen ({listen}): requests would go in a circle; "
                    "name the instance behind it, or listen elsewhere"
                )
    for name, one, _ in found:
        if not answers(*address(one.at), timeout_s=CONNECT_TIMEOUT_S):
            raise UsageError(f"{name} {one.url}: nobody listens there; start it, or name another")


def check_secondary(secondary: str, *, others: Sequence[tuple[str, str]]) -> None:
    """Check that the second instance of today's code (HOST:PORT) answers, and is none of the ``others``, by their names.

    Raises:
        UsageError: nobody listens, its name is not known, or it is production, the dark instance or our own address.
    """
    found = resolved(secondary, "secondary")
    for name, at in others:
        if same(found, resolved(at, name)):
            raise UsageError(
                f"secondary {secondary} and {name} {at} are the same server: production must not be asked again, and what the "
                "dark instance differs from is another instance of today's code; name that"
            )
    if not answers(*address(secondary), timeout_s=CONNECT_TIMEOUT_S):
        raise UsageError(f"secondary http://{secondary}: nobody listens there; start it, or name another")


def refuse_backends(backends: Sequence[str], darks: Sequence[Instance], *, where: str) -> list[str]:
    """Check that no dark instance is one of the servers behind an nginx: HOST:PORT, or ``unix:PATH``.

    ``where``: that nginx, for people. Those are returned which could not be compared, each with the reason.

    Raises:
        UsageError: a dark instance is one of them.
    """
    left: dict[str, None] = {}
    for backend, dark in product(backends, darks):
        try:
            its_own = resolved(dark.at, "dark")
            if backend.startswith(UNIX):
                is_it = _is_behind(Path(backend.removeprefix(UNIX)), its_own)
            else:
                is_it = same(resolved(backend, "backend"), its_own)
        except UsageError as error:
            left[str(error)] = None
            is_it = backend == dark.at
        if is_it is None:
            left[f"{backend}: this user cannot see who listens there; run it as root to have it compared"] = None
        elif is_it:
            raise UsageError(
                f"dark {dark.at} is {backend}, where {where} passes production's requests: copies to production would hurt it; "
                "name another instance (or, where production has moved from there, take the includes back and write them "
                "again with --emit)"
            )
    return list(left)


def _is_behind(path: Path, its_own: frozenset[tuple[str, int]]) -> bool | None:
    """Whether one process listens at that unix socket and at one of these addresses; None where nobody can tell."""
    behind = holders(listening_unix(path))
    if not behind:
        return None
    sockets = frozenset().union(*(listening_tcp(host, port) for host, port in its_own if is_here(host)))
    if not sockets:
        return False  # it is on another machine, or nobody listens
    new = holders(sockets)
    return bool(behind & new) if new else None


def resolved(at: str, what: str) -> frozenset[tuple[str, int]]:
    """The addresses and port that a HOST:PORT stands for. Raises UsageError for a name that nobody knows."""
    host, port = address(at)
    try:
        told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{what} {at}: its name is not known ({error}); write another host") from error
    return frozenset((str(entry[4][0]), port) for entry in told)


def is_known(at: str) -> bool:
    """Whether the name of a HOST:PORT can be resolved."""
    try:
        resolved(at, "")
    except UsageError:
        return False
    return True


def same(one: frozenset[tuple[str, int]], other: frozenset[tuple[str, int]]) -> bool:
    """Whether two sets of addresses have a server in common.

    On this machine a port may be reached by many addresses: there the listening socket decides, not the address.
    """
    if one & other:
        return True
    for host, port in one:
        for elsewhere, its_port in other:
            if port == its_port and is_here(host) and is_here(elsewhere):
                sockets = listening_tcp(host, port)
                if sockets and sockets == listening_tcp(elsewhere, port):
                    return True
    return False


def is_here(host: str) -> bool:
    """Whether an address is one of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def answers(host: str, port: int, *, timeout_s: float = 0.5) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def refuse_our_own_front(
    secret: str, dark: Sequence[Instance], *, front: str, hosts: Sequence[str] = (), name: str = "dark"
) -> None:
    """Ask the dark instances for what only production's nginx knows: whether a name of theirs leads to that.

    A dark instance that is slow, refuses or hangs is no obstacle: nginx answers at once. ``front``: where production's
    requests go, for people. ``hosts``: the names that it goes by there, where they decide which server answers. ``name``: what
    the instance is.

    Raises:
        UsageError: it answered, so copies would come back to production.
    """
    path, answer = probe_path(secret), probe_answer(secret).encode()
    for one in dark:
        for host in dict.fromkeys((*hosts, one.at)):
            said = ask(one, path, host=host, timeout_s=PROBE_TIMEOUT_S, most_bytes=_MOST_BYTES)
            if said is None:
                break
            if said.strip() == answer:
                raise UsageError(
                    f"{name} {one.at} leads back to {front}, where production's requests go: copies would hurt production; "
                    "name the new instance itself"
                )
