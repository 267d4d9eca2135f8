"""The plain nginx mirror of docs/relay.md, exactly as it stands there: it harms nobody, and copies say whose site they are of."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from darktime.split import levels
from darktime.split.running import answers
from realtime_core.free_ports import free_port
from realtime_core.stack import find_nginx
from tests.darktime.split.conftest import CANDIDATE, split_settings
from tests.darktime.split.servers import Client
from tests.darktime.split.takers import Taker
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[3] / "docs" / "relay.md"
WHOLE = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
access_log off;
{temporary}
upstream production {{ server {production}; }}
server {{
listen 127.0.0.1:{port};
{snippet}
}}
}}
"""


@pytest.fixture
def mirroring(stack: Any, folder: Path) -> Callable[[str, str], str]:
    """Starts an nginx with the page's lines before production; where it listens. The relay's address is the only change."""

    def start(production: str, relay: str) -> str:
        (snippet,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        assert snippet.count("10.0.0.9:9000") == 1
        kinds, port = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"), free_port()
        temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        text = WHOLE.format(
            folder=folder,
            temporary=temporary,
            production=production,
            port=port,
            snippet=snippet.replace("10.0.0.9:9000", relay),
        )
        config = folder / "mirror.conf"
        config.write_text(text)
        argv = [str(find_nginx().path), "-c", str(config), "-e", str(folder / "first.log")]
        stack.start("mirror", argv, ready=lambda: answers("127.0.0.1", port), listens=("127.0.0.1", port))
        return f"127.0.0.1:{port}"

    return start


def test_a_relay_that_has_stopped_holds_no_second_request_of_a_connection(mirroring: Callable[[str, str], str]) -> None:
    with Taker() as production, socket.create_server(("127.0.0.1", 0)) as stopped:  # whom the kernel answers for
        front = mirroring(production.address, f"127.0.0.1:{stopped.getsockname()[1]}")
        with Client(front) as client:
            assert b" 200 " in client.get("/one", CANDIDATE)[0]
            began = time.monotonic()
            assert b" 200 " in client.get("/two", CANDIDATE)[0]
            assert time.monotonic() - began < 2  # 60 s, by nginx's own limits
        assert [one.target for one in production.taken] == ["/one", "/two"]


def test_copies_carry_the_host_that_was_asked_so_that_one_site_alone_can_be_copied(
    mirroring: Callable[[str, str], str], alone_relay: Callable, folder: Path
) -> None:
    with Taker() as production, Taker() as dark:
        copy = split_settings(folder, "127.0.0.1:1", only=("header:Host=site.example",))
        alone = alone_relay(dark.address, copy)
        levels.set_percent(alone.folder, 100, 100)
        with Client(mirroring(production.address, alone.address)) as client:
            assert b" 200 " in client.get("/page", CANDIDATE)[0]
        wait_until(lambda: alone.state["answered"] == 1, what="the copy's answer")
        (one,) = [one for one in dark.taken if not one.target.startswith("/__darktime")]
        assert (one.target, one.headers["host"]) == ("/page", "site.example")
