"""``python -m darktime.split.relay``: reads its arguments, runs the relay until SIGTERM."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from darktime.errors import DarktimeError, UsageError
from darktime.split.dark_side import CONNECTIONS, dark_side
from darktime.split.relay.settings import Hops, Limits, RelaySettings
from darktime.split.settings import MOST_BODY

if TYPE_CHECKING:
    from darktime.split.relay.relay import Relay


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m darktime.split.relay", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path, metavar="PATH", help="where nginx sends copies")
    parser.add_argument("--socket-owner", metavar="USER", help="of nginx's workers, where root runs this")
    parser.add_argument("--log-port", required=True, type=int, metavar="PORT", help="UDP port of log lines; 0: any")
    parser.add_argument(
        "--dark", required=True, action="append", metavar="URL", help="of a dark instance; several share the users"
    )
    parser.add_argument(
        "--dark-cacert", type=Path, metavar="FILE", help="https: what to trust, in place of this machine's"
    )
    parser.add_argument("--dark-insecure", action="store_true", help="https: verify nothing")
    parser.add_argument(
        "--dark-connections", type=int, default=CONNECTIONS, metavar="N", help="under way, each instance"
    )
    parser.add_argument("--state", required=True, type=Path, metavar="FILE", help="counters, written twice a second")
    parser.add_argument("--secret-file", required=True, type=Path, metavar="FILE", help="holds the run's secret")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="what was compared, JSON lines")
    parser.add_argument("--allow-query", action="append", default=[], metavar="NAME", help="pass its values unmasked")
    parser.add_argument("--allow-method", action="append", default=[], metavar="NAME", help="default: GET and HEAD")
    parser.add_argument("--max-body", type=int, default=Limits().body_bytes, metavar="BYTES", help="longer: too_big")
    parser.add_argument("--ledger", metavar="URL", help="Redis in which to count")
    parser.add_argument("--ledger-name", default="darktime", metavar="NAME")
    parser.add_argument("--owner", default="relay", metavar="NAME")
    parser.add_argument("--hop-mirror", default=Hops().mirror, metavar="HOP")
    parser.add_argument("--hop-compared", default=Hops().compared, metavar="HOP")
    parser.add_argument("--hop-events", default=Hops().events, metavar="HOP")
    parser.add_argument("--metrics", type=int, metavar="PORT", help="Prometheus on 127.0.0.1; 0: any port")
    return parser


def _settings(options: argparse.Namespace) -> RelaySettings:
    dark = dark_side(
        options.dark,
        cacert=options.dark_cacert,
        insecure=options.dark_insecure,
        connections=options.dark_connections,
    )
    try:
        secret = options.secret_file.read_text().strip()
    except OSError as error:
        raise UsageError(f"--secret-file {options.secret_file}: {error.strerror}") from error
    if not secret:
        raise UsageError(f"--secret-file {options.secret_file} is empty")
    if not 0 < options.max_body <= MOST_BODY:
        raise UsageError(f"--max-body {options.max_body}: 1 to {MOST_BODY:,} bytes, please")
    return RelaySettings(
        socket=options.socket,
        log_port=options.log_port,
        dark=dark,
        secret=secret,
        state=options.state,
        pairs=options.pairs,
        allow_query=frozenset(options.allow_query),
        methods=frozenset(options.allow_method or ("GET", "HEAD")),
        ledger=options.ledger,
        ledger_name=options.ledger_name,
        owner=options.owner,
        hops=Hops(mirror=options.hop_mirror, compared=options.hop_compared, events=options.hop_events),
        metrics_port=options.metrics,
        socket_owner=options.socket_owner,
        limits=Limits(body_bytes=options.max_body),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the relay; 0 after SIGTERM, 2 for what cannot work."""
    from darktime.split.relay.relay import Relay

    options = _arguments().parse_args(argv)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        settings = _settings(options)
        relay = Relay(settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        metrics_port = None if settings.metrics_port is None else _serve_metrics(settings.metrics_port, relay)
    except DarktimeError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    print(f"relay on {settings.socket}, log lines on 127.0.0.1:{relay.log_port}", flush=True)
    if metrics_port is not None:
        print(f"metrics on 127.0.0.1:{metrics_port}", flush=True)
    relay.run()
    return 0


def _serve_metrics(port: int, relay: Relay) -> int:
    from darktime.split.relay.metrics import serve

    try:
        return serve(port, relay.state)
    except OSError as error:
        raise UsageError(f"--metrics {port}: {error.strerror}; choose another port, or 0") from error


if __name__ == "__main__":
    raise SystemExit(main())
