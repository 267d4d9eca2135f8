"""What an nginx that is already there has in force at each of its locations. Pure: a parsed configuration in, places out.

The tree is crossplane's (``parse(..., combine=True)``): dictionaries with directive, args, line, file and block. Directives
that may stand several times do not add up over levels in nginx: the innermost level that has one replaces all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Node = dict[str, Any]
Lines = tuple[tuple[str, ...], ...]  # the arguments of directives of one name
PASSES: Final = ("proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "root", "alias", "return")
_INHERITED: Final = ("access_log", "mirror", "mirror_request_body", "proxy_set_body")
_WORKER_CONNECTIONS: Final = 512
_SERVER: Final = 2  # of the levels: what nginx does unasked, http, server, then locations


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a directive stands, and its words."""

    file: str
    line: int
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One location, and what is in force there.

    ``location``: as it is written, its modifier before it. ``answers``: the directive that answers its requests, empty
    where none does. ``http_after``: the http block's beginning, or the directive in it that maps must come after.
    ``server_logs``: what an ``access_log`` in the server would replace, empty where it has its own. ``logs``: what one in
    the location would, None where that only inherits the server's. ``mirrors``: what a ``mirror`` there would. ``log_off``:
    ``access_log off`` is in force. ``mirror_reads``: ``mirror_request_body`` is not off. ``body_set``: its server has, or
    inherits, a ``proxy_set_body``. ``has`` and ``server_has``: names of the directives that stand in both themselves.
    """

    server_names: tuple[str, ...]
    listens: tuple[str, ...]
    location: str
    answers: str
    at: Spot
    server_at: Spot
    http_after: Spot
    server_logs: Lines
    logs: Lines | None
    mirrors: Lines
    log_off: bool
    has: frozenset[str]
    server_has: frozenset[str]
    mirror_reads: bool = True
    body_set: bool = False

    @property
    def name(self) -> str:
        """For people, and for ``--location``: the first server name and the location."""
        return f"{self.server_names[0] if self.server_names else '_'} {self.location}"


def places(tree: Sequence[Node], default_log: str) -> tuple[Place, ...]:
    """Every location of every HTTP server, in the order of the files. ``default_log``: where nginx logs when nobody says."""
    found: list[Place] = []
    for http in blocks(tree, "http"):
        unasked: dict[str, Lines] = dict.fromkeys(_INHERITED, ()) | {"access_log": (_args((default_log, "combined")),)}
        levels = [unasked, _arrays(http)]
        for server in blocks(http["block"], "server"):
            found += _locations(server, http, [*levels, _arrays(server)], server["block"])
    return tuple(found)


def worker_connections(tree: Sequence[Node]) -> int:
    """How many connections each worker process of this configuration may have; what nginx takes unasked where nobody says."""
    said = [one["args"] for events in blocks(tree, "events") for one in _named(events, "worker_connections")]
    return int(said[-1][0]) if said else _WORKER_CONNECTIONS


def user_of_workers(tree: Sequence[Node], default: str) -> str:
    """Who nginx's workers are."""
    return next((str(node["args"][0]) for node in tree if node["directive"] == "user" and node["args"]), default)


def _locations(server: Node, http: Node, levels: list[Mapping[str, Lines]], block: Sequence[Node]) -> Iterator[Place]:
    for node in blocks(block, "location"):
        own, inner = _arrays(node), node["block"]
        has = _names(node)
        within = [level["access_log"] for level in [*levels[_SERVER + 1 :], own] if level["access_log"]]
        yield Place(
            server_names=tuple(name for one in _named(server, "server_name") for name in one["args"]),
            listens=tuple(one["args"][0] for one in _named(server, "listen") if one["args"]),
            location=" ".join(node["args"]),
            answers=next((name for name in PASSES if name in has), ""),
            at=spot(node),
            server_at=spot(server),
            http_after=spot(_before_maps(http)),
            server_logs=() if levels[_SERVER]["access_log"] else _in_force(levels[:_SERVER], "access_log"),
            logs=None if not within else () if own["access_log"] else within[-1],
            mirrors=() if own["mirror"] else _in_force(levels, "mirror"),
            log_off=not _in_force([*levels, own], "access_log"),
            has=has,
            server_has=_names(server),
            mirror_reads=bool(_in_force([{"mirror_request_body": (("on",),)}, *levels, own], "mirror_request_body")),
            body_set=any(level["proxy_set_body"] for level in levels[: _SERVER + 1]),
        )
        yield from _locations(server, http, [*levels, own], inner)


def _in_force(levels: Sequence[Mapping[str, Lines]], name: str) -> Lines:
    """The arguments of the innermost level that has any; none where that says off."""
    args: Lines = next((level[name] for level in reversed(levels) if level[name]), ())
    return () if any(one[:1] == ("off",) for one in args) else args


def _arrays(node: Node) -> dict[str, Lines]:
    return {name: tuple(_args(one["args"]) for one in _named(node, name)) for name in _INHERITED}


def _names(node: Node) -> frozenset[str]:
    return frozenset(one["directive"] for one in node["block"])


def _args(args: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, args))


def blocks(tree: Sequence[Node], name: str) -> Iterator[Node]:
    """The blocks of that name."""
    return (node for node in tree if node["directive"] == name and "block" in node)


def _named(node: Node, name: str) -> list[Node]:
    return [one for one in node["block"] if one["directive"] == name]


def _before_maps(http: Node) -> Node:
    """What maps of ours must come after: nginx takes their hash's size only before the first of them."""
    sizes = [node for node in http["block"] if node["directive"] in ("map_hash_max_size", "map_hash_bucket_size")]
    return sizes[-1] if sizes else http


def spot(node: Node) -> Spot:
    """Where a directive stands."""
    words = (str(node["directive"]), *_args(node["args"]))
    return Spot(file=str(node["file"]), line=int(node["line"]), words=words)
