"""What looks as if it changed something is not copied unless it is named: nginx, the gate in Python and the plan agree."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.copied_paths import EXCLUDED, CopiedPaths, told
from darktime.split.emit import _plain, read
from darktime.split.gate import Gate, normalized, parts
from darktime.split.plan.plan import make_plan
from tests.darktime.split.conftest import split_settings
from tests.darktime.split.servers import Client
from tests.darktime.split.takers import Taker
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UNSAFE = (
    "/logout", "/user/logout.php", "/Logout/", "/doLogout", "/logoutAll", "/signout?x=1", "/password_reset/", "/reset-password",
    "/resetPassword", "/resetpassword", "/passwordreset", "/accounts/reset/", "/verify_email", "/verify/1", "/unsubscribe?u=1",
    "/oauth2/authorize", "/oauth/token", "/admin", "/admin/", "/wp-admin/x", "/phpmyadmin/", "/administrator",
    "/x?next=%2Fadmin%2F",
    "/x?next=%2Fresetpassword", "/x?do=logout", "/%6cogout", "/ADMIN.php", "/a/%72eset", "/logout/../x", "/x#reset",
    "/x?next=%6Cogout", "/x?do=%4cOGO%75%54", "/x?u=%2F%61dmin",
)  # fmt: skip
SAFE = (
    "/", "/presets/", "/preset/7", "/presets?x=presets", "/badminton/", "/login", "/thread/7", "/threadminutes", "/oaut", "/adm",
    "/x?q=%6Cogin", "/x?q=b%61dminton", "/x?q=%25%36Cogout",
)  # fmt: skip
BELOW = ("/admin/", "/admin/users?q=1", "/admin/x/admin", "/admin/list?next=/admin/", "/admin/a%20b")
BELOW_EXCLUDED = (
    "/admin/logout",
    "/admin/password_reset/",
    "/admin/../x/admin",
    "/Admin/",
    "/admin",
    "/x/admin/",
    "/y?u=/admin/",
)


def copied(paths: CopiedPaths, target: str) -> bool:
    raw, args = parts(target)
    asked = told(normalized(raw) or raw, args, target)
    return paths.excludes(asked) is None and paths.names(asked)


@pytest.mark.parametrize("target", UNSAFE)
def test_what_looks_as_if_it_changed_something_is_not_copied(target: str) -> None:
    assert not copied(CopiedPaths(), target)


@pytest.mark.parametrize("target", SAFE)
def test_a_word_within_another_excludes_nothing(target: str) -> None:
    assert copied(CopiedPaths(), target)


def test_a_named_path_is_copied_and_nothing_else_of_that_word_is() -> None:
    paths = CopiedPaths(only=("/admin/", "/", "/presets/"))
    assert all(copied(paths, target) for target in (*BELOW, *SAFE))
    assert not any(copied(paths, target) for target in BELOW_EXCLUDED)
    assert not any(copied(paths, target) for target in UNSAFE if not target.startswith("/admin/"))


@given(word=st.sampled_from((*EXCLUDED, "a/b", "x.y", "[", "größe")), data=st.data())
def test_a_word_excludes_in_a_query_however_much_of_it_is_escaped(word: str, data: st.DataObject) -> None:
    forms = (str, lambda one: "".join(f"%{byte:02x}" for byte in one.encode()))
    cased = (data.draw(st.sampled_from((one, one.upper() if one.isascii() else one))) for one in word)
    written = "".join(data.draw(st.sampled_from(forms))(one) for one in cased)
    paths = CopiedPaths() if word in EXCLUDED else CopiedPaths(excluded=("never", word))
    assert paths.excludes(told("/x", f"do={written}", f"/x?do={written}")) == word


def test_what_people_exclude_themselves_is_excluded_also_below_what_they_name() -> None:
    paths = CopiedPaths(excluded=("admin", "reset"), only=("/admin/", "/presets/", "/users/"))
    assert not any(copied(paths, target) for target in (*BELOW, "/presets/1"))
    assert copied(paths, "/users/1")


@given(
    word=st.sampled_from(EXCLUDED),
    before=st.sampled_from(("", "/", "/a/", "/a-", "/a_", "/a.", "/7", "/a/%2F", "/?next=")),
    after=st.sampled_from(("", "/", "/b", "-b", "_b", ".php", "2", "?x=1", "%2Fb", "B")),
    case=st.sampled_from((str.lower, str.upper, str.title)),
    named=st.booleans(),
)
def test_whatever_stands_around_it_a_word_of_its_own_excludes_where_it_is_not_named(word, before, after, case, named):
    target = (before or "/") + case(word) + after
    assert not copied(CopiedPaths(only=("/a/",) if named and target.startswith("/a/") else ()), target)
    prefix = re.match(r"/[A-Za-z0-9_./-]*", target)
    if prefix is not None and case(word) in prefix[0]:
        assert copied(CopiedPaths(only=(prefix[0],)), target), "named as it is"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ({}, (*UNSAFE, *SAFE)),
        ({"only_paths": ("/admin/", "/presets/")}, (*UNSAFE, *SAFE, *BELOW, *BELOW_EXCLUDED)),
        ({"only_paths": ("/admin/", "/"), "excluded": ("users",)}, (*UNSAFE, *SAFE, *BELOW, *BELOW_EXCLUDED)),
        ({"excluded": (*(f"{'word' * 15}-{at:02d}" for at in range(40)), "thread/7")}, SAFE),
    ],
    ids=["defaults", "named", "named-and-excluded", "more-words-than-nginx-takes-in-one-line"],
)
def test_nginx_the_gate_and_the_plan_copy_the_same_paths(make_split: Callable, words: dict, asked: tuple) -> None:
    with Taker() as production, Taker() as dark:
        split = make_split(
            production.address, mirror_timeout_ms=5000, allow_query=("x", "next", "do", "u", "q"), **words
        )
        split.start_relay(dark.address)
        split.start()
        for target in asked:
            with Client(split.address) as client:
                head = f"GET {target} HTTP/1.1\r\nHost: h\r\nCookie: uid=u1\r\nConnection: close\r\n\r\n"
                client.sock.sendall(head.encode())
                while client.sock.recv(65536):
                    pass
        gate = Gate(split.settings)
        wanted = [target for target in asked if gate.passes("GET", target, [("Cookie", "uid=u1")])]
        wait_until(lambda: split.state()["offered"] == len(wanted), what="the copies that the gate names")
        wait_until(lambda: split.state()["compared"] == len(wanted), what="all of them")
        assert sorted(one.target for one in dark.taken) == sorted(wanted)
    paths = CopiedPaths(excluded=words.get("excluded", ()), only=words.get("only_paths", ()))
    lines = [
        json.dumps({"msec": 1_795_600_000 + at, "request": f"GET {target} HTTP/1.1", "status": 200, "cookie_uid": "u1"})
        for at, target in enumerate(asked)
    ]
    plan = make_plan(lambda: iter(lines), percent=100.0, key="cookie:uid", salt="s", methods=["GET"], paths=paths)
    assert plan.copies == len(wanted)
    assert 0 < len(wanted) < len(asked)


def test_includes_say_what_is_excluded_as_releases_before_did_and_theirs_are_read(tmp_path: Path) -> None:
    settings = split_settings(tmp_path, "127.0.0.1:1", excluded=("mine",), only_paths=("/admin/",))
    plain = {name: value for name, value in _plain(settings).items() if name not in ("listen", "routes", "front")}
    plain = {name: value for name, value in plain.items() if not name.startswith("worker_")}
    assert plain["excluded"] == (*EXCLUDED, "mine")
    assert "unless_named" not in plain
    (tmp_path / "include.json").write_text(json.dumps({"version": 1, "settings": plain}))
    (tmp_path / "secret").write_text("s" * 24)
    found, _ = read(tmp_path)
    assert (found.excluded, found.unless_named) == (("mine",), EXCLUDED)
