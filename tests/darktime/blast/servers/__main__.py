"""One server, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import gc
import resource
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tests.darktime.blast.servers.control import Control, SideLoop
from tests.darktime.blast.servers.door import Door
from tests.darktime.blast.servers.exporter import exposition
from tests.darktime.blast.servers.loop import IN, Loop
from tests.darktime.blast.servers.replies import reply
from tests.darktime.blast.servers.tls import make_certificate, server_context

if TYPE_CHECKING:
    import ssl

    from tests.darktime.blast.servers.service import Service

SERVERS = {
    "null": "null.Null",
    "delay": "delay.Delay",
    "token-bucket": "token_bucket.TokenBucket",
    "fifo": "fifo.Fifo",
    "stall": "stall.Stall",
    "cap": "cap.Cap",
    "overload": "overload.Overload",
    "erring": "erring.Erring",
    "sse": "sse.Sse",
    "token-stream": "token_stream.TokenStream",
}


def main() -> int:
    """Run the server; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.darktime.blast.servers", allow_abbrev=False)
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    kinds: dict[str, type[Service]] = {}
    wanted = [name for name in SERVERS if name in sys.argv[1:2]]
    for name in wanted or SERVERS:
        module, _, kind = SERVERS[name].partition(".")
        kinds[name] = getattr(import_module(f"tests.darktime.blast.servers.{module}"), kind)
        _common(sub := names.add_parser(name, help=kinds[name].__doc__, allow_abbrev=False))
        kinds[name].add_options(sub)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="server-") as folder:
        try:
            certificate, context = _tls(options, Path(folder))
            loop = Loop()
            service = kinds[options.name](loop, options)
        except (ValueError, OSError, subprocess.SubprocessError) as error:
            print(f"{options.name}: {error}", file=sys.stderr)
            return 2
        _serve(loop, service, options, context, certificate)
    return 0


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--metrics", action="store_true", help="answer /metrics in Prometheus text")
    parser.add_argument("--tls", action="store_true", help="with a certificate of its own, from the openssl program")


def _tls(options: argparse.Namespace, folder: Path) -> tuple[Path | None, ssl.SSLContext | None]:
    if not options.tls:
        return None, None
    try:
        certificate, key = make_certificate(folder)
    except FileNotFoundError as error:
        raise ValueError("--tls needs the openssl program: apt-get install openssl") from error
    return certificate, server_context(certificate, key)


def _serve(
    loop: Loop,
    service: Service,
    options: argparse.Namespace,
    context: ssl.SSLContext | None,
    certificate: Path | None,
) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    door = Door(loop, service, options.host, options.port, tls=context)
    service.listening(door)
    if options.metrics:

        def export() -> bytes:
            gauges = {"open": len(door.links), **service.gauges()}
            text = exposition(service.counts, gauges, _process())
            return reply(200, text.encode(), "Content-Type: text/plain; version=0.0.4; charset=utf-8")

        door.exporter = export
    side = SideLoop()
    service.side = side
    control = Door(side, Control(side, options, door), "127.0.0.1", 0)
    loop.watch(side.fileno(), IN, side.turn)
    signal.set_wakeup_fd(loop.wakeup.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: loop.stop())
    gc.collect()
    gc.freeze()
    gc.disable()  # a pause would be a fault nobody asked for
    print(f"listening on {door.host}:{door.port}")
    print(f"control on {control.host}:{control.port}")
    if certificate is not None:
        print(f"certificate at {certificate}")
    sys.stdout.flush()
    loop.run()


def _process() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {
        "resident_memory_bytes": pages * resource.getpagesize(),
        "cpu_seconds_total": time.process_time(),
        "open_fds": sum(1 for _ in Path("/proc/self/fd").iterdir()),
    }


if __name__ == "__main__":
    sys.exit(main())
