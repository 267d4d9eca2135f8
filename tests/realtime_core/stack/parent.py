"""A process that runs a stack of real servers, for the tests that kill it. Arguments: its folder, and what to run."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from realtime_core.free_ports import free_port
from realtime_core.stack import Stack, find_nginx

NGINX = """
daemon off; worker_processes 2; pid nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200; }} }}
}}
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
print("up", flush=True)
for _ in range(600):
    time.sleep(0.1)
"""


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/", timeout=1.0) as reply:
            return reply.status == 200
    except (URLError, OSError):
        return False


def servers(stack: Stack) -> list[int]:
    """A server of each kind: the embedded Valkey, a plain Python server, nginx with its workers."""
    ports = [free_port() for _ in range(3)]
    stack.valkey(listen=("127.0.0.1", ports[0]))
    site = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(ports[1])]
    stack.start("site", site, ready=lambda: answers(ports[1]), listens=("127.0.0.1", ports[1]), cwd=stack.folder)
    (stack.folder / "nginx.conf").write_text(NGINX.format(port=ports[2]))
    nginx = [str(find_nginx().path), "-p", str(stack.folder), "-c", str(stack.folder / "nginx.conf")]
    stack.start("nginx", nginx, ready=lambda: answers(ports[2]), listens=("127.0.0.1", ports[2]))
    return ports


def say(ports: list[int]) -> None:
    sys.stdout.write(f"running {json.dumps(ports)}\n")
    sys.stdout.flush()


def main() -> None:
    with Stack(Path(sys.argv[1])) as stack:
        if sys.argv[2] == "servers":
            say(servers(stack))
        else:
            stack.start("deaf", [sys.executable, "-c", DEAF], ready="up")
            say([])
        try:
            signal.sigtimedwait({signal.SIGUSR1}, 60)
        except KeyboardInterrupt:
            stack.stop(timeout_s=60.0)
            raise


if __name__ == "__main__":
    main()
