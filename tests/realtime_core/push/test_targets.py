"""Targets: routes, channel ids, backtracks."""

from __future__ import annotations

import pytest

from realtime_core.push.request import Refusal
from realtime_core.push.targets import read_channels, read_target


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", [("a", None)]),
        ("a/b.b5/c", [("a", None), ("b", 5), ("c", None)]),
        ("room.b18.beautiful.b3", [("room.b18.beautiful", 3)]),
        ("a/", [("a", None)]),
        ("//a//b", [("a", None), ("b", None)]),
        ("a/a.b3", [("a", None)]),
        ("a.b", [("a.b", None)]),
        ("a.b0", [("a", 0)]),
        ("thread:1_2-3.x", [("thread:1_2-3.x", None)]),
        ("x" * 128 + ".b1", [("x" * 128, 1)]),
    ],
)
def test_a_path_names_its_channels(path: str, expected: list[tuple[str, int | None]]) -> None:
    assert read_channels(path) == tuple(expected)


@pytest.mark.parametrize(
    ("path", "status", "explain"),
    [
        ("", 400, "No channel id provided."),
        ("/", 400, "No channel id provided."),
        (".b3", 400, "No channel id provided."),
        ("x" * 129, 400, "Channel id is too large."),
        ("ALL", 403, "Channel id not authorized for this method."),
        ("a*", 403, "Channel id not authorized for this method."),
        ("a/b c", 400, "Channel ids are made of A-Z a-z 0-9 _ . : and -"),
        ("a\r\nb", 400, "Channel ids are made of A-Z a-z 0-9 _ . : and -"),
        ('a"b', 400, "Channel ids are made of A-Z a-z 0-9 _ . : and -"),
        ("a\n", 400, "Channel ids are made of A-Z a-z 0-9 _ . : and -"),
        ("\xe9", 400, "Channel ids are made of A-Z a-z 0-9 _ . : and -"),
        ("/".join(map(str, range(256))), 403, "More than 255 channels in one request."),
    ],
)
def test_what_is_no_channel_id_is_refused_with_its_reason(path: str, status: int, explain: str) -> None:
    found = read_channels(path)
    assert isinstance(found, Refusal)
    assert (found.status, found.explain) == (status, explain)


def test_ids_are_decoded_once_and_an_encoded_slash_separates() -> None:
    assert read_target("/pub?id=a%3Ab%2Fc").channels == (("a:b", None), ("c", None))
    assert read_target("/pub?x=1&id=a").channels == (("a", None),)
    assert read_target("/ev/a%3Ab").channels == (("a:b", None),)
    refused = read_target("/ev/a%0d%0aX").channels
    assert isinstance(refused, Refusal)


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/pub?id=a", "pub"),
        ("/pub", "pub"),
        ("/publish?id=a", "other"),
        ("/ev/a", "ev"),
        ("/ev", "ev"),
        ("/event/a", "other"),
        ("/channels-stats", "channels-stats"),
        ("/metrics", "metrics"),
        ("/", "other"),
        ("*", "other"),
        ("http://example.org/pub?id=a", "pub"),
    ],
)
def test_a_target_has_one_of_few_routes(target: str, route: str) -> None:
    assert read_target(target).route == route
