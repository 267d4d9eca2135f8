"""The servers behind an nginx that is already there: where it passes the requests of mirrored locations. Pure.

A mirrored location may hand a request on: to a named location by ``try_files`` or ``error_page``, to any other of its server
by a path. The first is followed; for the second all of the server's locations count, where the location passes nothing on
itself. Variables are replaced by what ``set`` and ``map`` may make of them; what a request decides cannot be read.
The tree is crossplane's, as ``in_force`` takes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from darktime.split.in_force import Node, blocks, spot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from darktime.split.in_force import Place

PASSING: Final = ("proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass")
UNIX: Final = "unix:"
_HANDS_ON: Final = ("try_files", "error_page")
_VALUES: Final = ("map", "geo", "split_clients")
_PORTS: Final = {"https": 443, "grpcs": 443}
_PORT: Final = 80
_PATHS: Final = ("request_uri", "uri", "document_uri")  # they begin with a slash: the address ends before them
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_MOST_VALUES: Final = 1000
_MOST_STEPS: Final = 8  # of variables within variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """``addresses``: HOST:PORT, or ``unix:PATH``. ``unread``: what only a request decides, as it is written."""

    addresses: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, list[str]]:
        """As JSON has it."""
        return {"addresses": list(self.addresses), "unread": list(self.unread)}

    def with_those_of(self, other: Backends) -> Backends:
        """Both, each once."""
        return Backends(
            addresses=tuple(dict.fromkeys((*self.addresses, *other.addresses))),
            unread=tuple(dict.fromkeys((*self.unread, *other.unread))),
        )


def of_places(tree: Sequence[Node], places: Sequence[Place]) -> Backends:
    """The servers behind these locations."""
    wanted = {place.at for place in places}
    return backends(tree, lambda location: spot(location) in wanted)


def of_mirror(tree: Sequence[Node], path: str) -> Backends:
    """The servers behind every location that mirrors to ``path``."""
    return backends(
        tree, lambda location: any(one["directive"] == "mirror" and one["args"] == [path] for one in location["block"])
    )


def backends(tree: Sequence[Node], mirrored: Callable[[Node], bool]) -> Backends:
    """The servers behind the locations of which ``mirrored`` says so."""
    addresses: dict[str, None] = {}
    unread: dict[str, None] = {}
    for http in blocks(tree, "http"):
        upstreams = {str(one["args"][0]).lower(): one for one in blocks(http["block"], "upstream")}
        for server in blocks(http["block"], "server"):
            values = _values(http, server)
            for location in _locations(server):
                if not mirrored(location):
                    continue
                for node in _passed(location, server, http):
                    for text in _told(str(node["args"][0]), values):
                        found = _addresses(text, upstreams)
                        if found is None:
                            unread[str(node["args"][0])] = None
                        else:
                            addresses |= dict.fromkeys(found)
    return Backends(addresses=tuple(addresses), unread=tuple(unread))


def _within(block: Sequence[Node]) -> Iterator[Node]:
    """Every directive of a block, and of the blocks in it."""
    for node in block:
        yield node
        yield from _within(node.get("block", ()))


def _locations(server: Node) -> list[Node]:
    return [node for node in _within(server["block"]) if node["directive"] == "location" and "block" in node]


def _passed(location: Node, server: Node, http: Node) -> list[Node]:
    """The directives that pass on what comes into a location."""
    named = {node["args"][0]: node for node in _locations(server) if str(node["args"][0]).startswith("@")}
    above = [node for node in (*http["block"], *server["block"]) if node["directive"] in _HANDS_ON]
    seen: dict[int, Node] = {}
    waiting = [location]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        hands_on = [node for node in (*above, *_within(one["block"])) if node["directive"] in _HANDS_ON]
        waiting += [named[node["args"][-1]] for node in hands_on if node["args"] and node["args"][-1] in named]
    found = [node for one in seen.values() for node in _within(one["block"]) if node["directive"] in PASSING]
    inside = list(_within(location["block"]))
    tried = [node["args"][-1] for node in inside if node["directive"] == "try_files" and node["args"]]
    if not any(node["directive"] in PASSING for node in inside) and not any(one in named for one in tried):
        found += [node for node in _within(server["block"]) if node["directive"] in PASSING]
    return [node for node in found if node["args"]]


def _values(http: Node, server: Node) -> dict[str, list[str]]:
    """What ``set`` and ``map`` may make of each variable."""
    found: dict[str, list[str]] = {name: ["/"] for name in _PATHS}
    for node in _within(server["block"]):
        if node["directive"] == "set" and len(node["args"]) == 2:  # noqa: PLR2004 - a name and a value
            found.setdefault(str(node["args"][0]).lstrip("$"), []).append(str(node["args"][1]))
    for node in http["block"]:
        if node["directive"] in _VALUES and node["args"] and "block" in node:
            told = [str(one["args"][0]) for one in node["block"] if one["args"]]
            found.setdefault(str(node["args"][-1]).lstrip("$"), []).extend(told)
    return found


def _told(text: str, values: Mapping[str, Sequence[str]], steps: int = _MOST_STEPS) -> list[str]:
    """The texts that one with variables may become; what cannot be told keeps its ``$``."""
    variable = _VARIABLE.search(text)
    name = "" if variable is None else variable[1] or variable[2]
    if variable is None or name not in values or not steps:
        return [text]
    made = (text[: variable.start()] + value + text[variable.end() :] for value in values[name])
    every = list(islice((one for part in made for one in _told(part, values, steps - 1)), _MOST_VALUES + 1))
    return every if len(every) <= _MOST_VALUES else [text]


def _addresses(text: str, upstreams: Mapping[str, Node]) -> list[str] | None:
    """Of what a directive passes requests to; None where that is no address, but a variable's."""
    scheme, sep, rest = text.partition("://")
    if not sep or scheme == "unix":  # some write unix:///path
        scheme, rest = "", text
    if rest.startswith(UNIX):
        return None if "$" in _socket(rest) else [_socket(rest)]
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    pool = upstreams.get(authority.lower())
    if "$" in authority:
        return None
    if pool is None:
        return [_with_port(authority, _PORTS.get(scheme.lower(), _PORT))] if authority else None
    found = []
    for node in pool["block"]:
        if node["directive"] == "server" and node["args"] and "down" not in node["args"]:  # nobody is asked there
            at = str(node["args"][0])
            found.append(_socket(at) if at.startswith(UNIX) else _with_port(at, _PORT))
    return found


def _socket(text: str) -> str:
    """``unix:PATH``, without the URI behind it."""
    return f"{UNIX}/{text.removeprefix(UNIX).partition(':')[0].lstrip('/')}"


def _with_port(authority: str, port: int) -> str:
    return authority if re.search(r":[0-9]+\Z", authority) and not authority.endswith("]") else f"{authority}:{port}"
