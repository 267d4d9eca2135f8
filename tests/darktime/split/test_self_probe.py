"""Our own nginx is asked whether a copy would arrive, and neither production nor the dark side hears of it."""

from __future__ import annotations

import signal
from socket import SOCK_DGRAM
from typing import TYPE_CHECKING, Any

import pytest

from darktime.errors import UsageError
from darktime.split import levels
from darktime.split.front import Front
from darktime.split.nginx_blocks import self_probe_path
from darktime.split.probe import probe_user, self_probed
from darktime.split.running import start_split
from darktime.split.sampling import bucket
from darktime.split.vigil import read_state
from realtime_core.free_ports import free_ports
from realtime_core.stack import find_nginx
from tests.darktime.split.certificates import Authority
from tests.darktime.split.conftest import binaries, split_settings
from tests.darktime.split.takers import Taker
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("name", binaries())
@pytest.mark.parametrize(
    "words",
    [
        {},
        {"key": "query:user"},
        {"key": "header:X-User", "methods": ("GET", "POST")},
        {"key": "ip"},
        {"only_paths": ("/thread/",), "only": ("header:Host=www.example.org",)},
    ],
    ids=["cookie", "query", "header", "ip", "only"],
)
def test_a_copy_arrives_and_neither_production_nor_the_dark_side_is_asked(
    make_split: Callable, name: str, words: dict[str, Any]
) -> None:
    with Taker() as production, Taker() as dark:
        split = make_split(production.address, mirror_timeout_ms=5000, **words)  # nothing is shed, however busy
        split.start_relay(dark.address)
        split.start(nginx=binaries()[name], percent=0.1)
        assert self_probed(split.settings, {"relay": split.state_path}) == []
        state = split.state()
        assert state["probed"] >= 1
        assert state["received"] == state["offered"] == state["log_lines"] == 0
        assert state["users"] == []
        assert not production.taken
        assert not dark.taken
        assert not (split.folder / "error.log").read_text()


def test_by_tls_too(make_split: Callable, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("DNS:site.example")
    with Taker() as production, Taker() as dark:
        front = Front(certificate=certificate, certificate_key=key)
        split = make_split(production.address, front=front)
        split.start_relay(dark.address)
        split.start()
        assert self_probed(split.settings, {"relay": split.state_path}) == []


def test_of_several_relays_each_has_its_copy(stack: Any, folder: Path, tmp_path: Path) -> None:
    with Taker() as production, Taker() as dark:
        first, *more = free_ports(3, kind=SOCK_DGRAM)
        settings = split_settings(folder, production.address, log_port=first, more_log_ports=tuple(more))
        url = f"http://{dark.address}"
        where = {"folder": folder, "nginx": find_nginx().path, "results": tmp_path}
        running = start_split(stack, settings, dark=url, percent=5.0, ttl_s=600.0, **where)
        states = running.relay_states
        assert len(states) == 3
        assert self_probed(settings, states) == []
        assert all(read_state(path)["probed"] for path in states.values())
        assert not production.taken


def test_a_relay_that_does_not_take_its_copies_is_named(make_split: Callable) -> None:
    with Taker() as production, Taker() as dark:
        split = make_split(production.address)
        split.start_relay(dark.address)
        split.start()
        wait_until(split.state, what="its first state")
        split.signal(signal.SIGSTOP)
        try:
            assert self_probed(split.settings, {"relay": split.state_path}, limit_s=0.5) == ["relay"]
        finally:
            split.signal(signal.SIGCONT)


@pytest.mark.parametrize("missing", ["lease", "level", "kill"])
def test_where_nobody_is_mirrored_it_says_so(make_split: Callable, missing: str) -> None:
    with Taker() as production, Taker() as dark:
        split = make_split(production.address)
        split.start_relay(dark.address)
        split.start(percent=0.0 if missing == "level" else 5.0, lease=missing != "lease")
        if missing == "kill":
            levels.kill(split.folder)
        with pytest.raises(UsageError, match="nginx mirrors nobody"):
            self_probed(split.settings, {"relay": split.state_path})
        with split.client() as client:
            assert b" 404 " in client.get(self_probe_path(split.settings.secret))[0]
        assert not production.taken


def test_the_probes_users_differ_and_are_all_in() -> None:
    users = [probe_user("salt", nth) for nth in range(3)]
    assert len(set(users)) == 3
    assert {bucket("salt", user) for user in users} == {0}
