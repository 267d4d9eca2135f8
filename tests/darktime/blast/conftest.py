"""Servers with programmable faults, as processes of the test's own."""

from __future__ import annotations

import shutil
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from realtime_core.free_ports import free_port
from realtime_core.stack import find_nginx, ready_line
from tests.darktime.blast.instances import Instance
from tests.support.engines import require_engine
from tests.support.ports import refuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.stack import Stack

ROOT = Path(__file__).parents[3]


@pytest.fixture
def instance(stack: Stack) -> Callable[..., Instance]:
    """``instance("fifo", service="constant:2", metrics=True)``: started with ``--service constant:2 --metrics``.

    ``before`` are words that stand before its command.
    """
    numbers = count()

    def start(name: str, *, before: tuple[str, ...] = (), **options: object) -> Instance:
        if options.get("tls") and shutil.which("openssl") is None:
            pytest.skip("needs the openssl program")
        words = [*before, sys.executable, "-m", "tests.darktime.blast.servers", name]
        for option, value in options.items():
            flag = "--" + option.replace("_", "-")
            words += [flag] if value is True else [flag, str(value)]
        service = stack.start(f"{name}{next(numbers)}", words, ready="control on ", cwd=ROOT)
        certificate = Path(ready_line(service, "certificate at ")) if options.get("tls") else None
        return Instance(
            service=service,
            address=ready_line(service, "listening on "),
            control=ready_line(service, "control on "),
            certificate=certificate,
        )

    return start


NCHAN = """
load_module {module};
daemon off; pid {folder}/nginx.pid; error_log stderr; user root;
worker_processes 8; worker_rlimit_nofile 20000;
events {{ worker_connections 19900; }}
http {{
  access_log off; {folders}
  keepalive_requests 1000000000;
  nchan_shared_memory_size 1024M;
  server {{
    listen 127.0.0.1:{port} reuseport backlog=4096;
    location = /pub {{ nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 10; }}
    location ~ ^/ev/(.+)$ {{ nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest; }}
  }}
}}
"""


@pytest.fixture
def nchan(stack: Stack, tmp_path: Path) -> str:
    """The address of an nginx with nchan, somebody else's push server; the kernel spreads connections over its workers.

    A process may have 20,000 open files, which is the limit on its side as well: eight of them take 100,000 streams.
    """
    module, nginx, port = require_engine("nginx-nchan"), require_engine("nginx"), free_port()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    config = tmp_path / "nginx.conf"
    config.write_text(NCHAN.format(module=module, folder=tmp_path, folders=folders, port=port))
    command = [str(find_nginx(nginx).path), "-c", str(config), "-p", str(tmp_path)]
    stack.start("nchan", command, ready=lambda: not refuses(port), timeout_s=20)
    return f"127.0.0.1:{port}"
