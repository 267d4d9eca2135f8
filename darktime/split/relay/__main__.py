"""``python -m darktime.split.relay``: reads its arguments, runs the relay until SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from darktime.errors import DarktimeError, UsageError
from darktime.split.compare.attributes import pair_attributes
from darktime.split.compare.templates import read_templates
from darktime.split.dark_side import CONNECTIONS, DarkSide, dark_side
from darktime.split.record.file import MAX_BYTES, RecordLimits
from darktime.split.record.recorder import RecordSettings
from darktime.split.relay.ending import ENDS, Ending
from darktime.split.relay.expendable import dies_first
from darktime.split.relay.open_files import fitted, may_have
from darktime.split.relay.settings import MOST_STREAM_LIFE_S, CompareSettings, Hops, Limits, RelaySettings
from darktime.split.relay.shares import share_of
from darktime.split.settings import MOST_BODY
from darktime.split.workers import check_workers

if TYPE_CHECKING:
    from darktime.split.relay.relay import Relay


_SWITCH_S: Final = 0.001  # nginx waits for the relay's loop, not for the thread that compares


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m darktime.split.relay", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path, metavar="PATH", help="where nginx sends copies")
    parser.add_argument("--socket-owner", metavar="USER", help="of nginx's workers, where root runs this")
    parser.add_argument("--log-port", required=True, type=int, metavar="PORT", help="UDP port of log lines; 0: any")
    parser.add_argument(
        "--dark",
        action="append",
        metavar="URL",
        help="of a dark instance; several share the users; none: --record alone",
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
    parser.add_argument("--pairs-bytes", type=int, default=Limits().pairs_bytes, metavar="N", help="at most so many")
    parser.add_argument("--population", type=Path, metavar="FILE", help="who asked production, copied or not")
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep the copies, as docs/recorded.md has it")
    parser.add_argument("--record-bytes", type=int, default=MAX_BYTES, metavar="N", help="at most so many")
    parser.add_argument(
        "--record-requests", type=int, default=RecordLimits().requests, metavar="N", help="and requests"
    )
    parser.add_argument("--record-seconds", type=float, default=RecordLimits().seconds, metavar="S", help="and so long")
    parser.add_argument("--record-began", type=float, metavar="SECONDS", help="UTC, as its header says; now")
    parser.add_argument("--one-of", type=int, default=1, metavar="N", help="relays that share users and bounds")
    parser.add_argument("--experiment", default="", metavar="NAME", help="what the recording says")
    parser.add_argument("--key", default="", metavar="KIND:NAME", help="what the recording says makes a user")
    parser.add_argument("--endpoints", type=Path, metavar="FILE", help="an OpenAPI document, or one template a line")
    parser.add_argument("--transform", metavar="MODULE:FUNCTION", help="each copy goes through it")
    parser.add_argument("--allow-query", action="append", default=[], metavar="NAME", help="pass its values unmasked")
    parser.add_argument("--allow-method", action="append", default=[], metavar="NAME", help="default: GET and HEAD")
    parser.add_argument("--max-body", type=int, default=Limits().body_bytes, metavar="BYTES", help="longer: too_big")
    parser.add_argument(
        "--stream-life", type=float, default=Limits().stream_life_s, metavar="SECONDS", help="no stream is held longer"
    )
    parser.add_argument("--ledger", metavar="URL", help="Redis in which to count")
    parser.add_argument("--ledger-file", type=Path, metavar="FILE", help="holds that URL, if it has a password")
    parser.add_argument("--ledger-name", default="darktime", metavar="NAME")
    parser.add_argument("--owner", default="relay", metavar="NAME")
    parser.add_argument("--hop-mirror", default=Hops().mirror, metavar="HOP")
    parser.add_argument("--hop-compared", default=Hops().compared, metavar="HOP")
    parser.add_argument("--hop-events", default=Hops().events, metavar="HOP")
    parser.add_argument(
        "--compare", default="", metavar="LIST", help="besides status,type,latency: length, where it is known exactly"
    )
    parser.add_argument("--secondary", metavar="URL", help="a second instance of today's code: compare bodies too")
    parser.add_argument("--compare-share", type=float, default=0.1, metavar="SHARE", help="of the copies, 0 to 1")
    parser.add_argument("--compare-bytes", type=int, default=65_536, metavar="N", help="kept of each body")
    parser.add_argument("--compare-per-s", type=float, default=50.0, metavar="N", help="comparisons a second")
    parser.add_argument(
        "--calibrate", type=float, default=0.0, metavar="SECONDS", help="so long copies go to the secondary instead"
    )
    parser.add_argument("--ignore", action="append", default=[], metavar="RULE", help="[METHOD] ENDPOINT FIELD")
    parser.add_argument("--unordered", action="append", default=[], metavar="RULE", help="lists without an order")
    parser.add_argument("--html-whitespace", action="store_true", help="any white space in HTML is one space")
    parser.add_argument("--metrics", type=int, metavar="PORT", help="Prometheus on 127.0.0.1; 0: any port")
    return parser


def _ledger(options: argparse.Namespace) -> str | None:
    if options.ledger_file is None:
        return options.ledger  # type: ignore[no-any-return]
    try:
        return str(options.ledger_file.read_text(encoding="utf-8")).strip()
    except OSError as error:
        raise UsageError(f"--ledger-file {options.ledger_file}: {error.strerror}") from error


def _templates(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        return read_templates(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise UsageError(f"--endpoints {path}: {error.strerror}") from error


def _dark(options: argparse.Namespace) -> DarkSide | None:
    if not options.dark:
        return None
    return dark_side(
        options.dark,
        cacert=options.dark_cacert,
        insecure=options.dark_insecure,
        connections=options.dark_connections,
    )


def _record(options: argparse.Namespace) -> RecordSettings | None:
    if options.record is None:
        return None
    limits = RecordLimits(bytes=options.record_bytes, requests=options.record_requests, seconds=options.record_seconds)
    return RecordSettings(
        path=options.record,
        experiment=options.experiment,
        key=options.key,
        limits=limits,
        began=options.record_began,
    )


def _settings(options: argparse.Namespace) -> RelaySettings:
    if not options.dark and options.record is None:
        raise UsageError("neither --dark nor --record: copies would go nowhere; name one of them")
    if options.transform is not None and not options.dark:
        raise UsageError(
            f"--transform {options.transform}: nothing goes out without --dark; leave one out, or name the other"
        )
    try:
        secret = options.secret_file.read_text().strip()
    except OSError as error:
        raise UsageError(f"--secret-file {options.secret_file}: {error.strerror}") from error
    if not secret:
        raise UsageError(f"--secret-file {options.secret_file} is empty")
    if not 0 < options.max_body <= MOST_BODY:
        raise UsageError(f"--max-body {options.max_body}: 1 to {MOST_BODY:,} bytes, please")
    if not 0 < options.stream_life <= MOST_STREAM_LIFE_S:
        raise UsageError(f"--stream-life {options.stream_life:g}: above 0, at most {MOST_STREAM_LIFE_S:,.0f} seconds")
    check_workers(options.one_of)
    settings = RelaySettings(
        socket=options.socket,
        log_port=options.log_port,
        dark=_dark(options),
        secret=secret,
        state=options.state,
        pairs=options.pairs,
        population=options.population,
        record=_record(options),
        allow_query=frozenset(options.allow_query),
        methods=frozenset(options.allow_method or ("GET", "HEAD")),
        ledger=_ledger(options),
        ledger_name=options.ledger_name,
        owner=options.owner,
        hops=Hops(mirror=options.hop_mirror, compared=options.hop_compared, events=options.hop_events),
        metrics_port=options.metrics,
        socket_owner=options.socket_owner,
        attributes=pair_attributes(options.compare),
        compare=_compare(options),
        endpoints=_templates(options.endpoints),
        transform=options.transform,
        limits=Limits(body_bytes=options.max_body, stream_life_s=options.stream_life, pairs_bytes=options.pairs_bytes),
    )
    return share_of(settings, options.one_of)


def _compare(options: argparse.Namespace) -> CompareSettings | None:
    from darktime.split.compare.rules import read_rules

    ignore, unordered = read_rules(options.ignore), read_rules(options.unordered)
    if options.secondary is None:
        return None
    return CompareSettings(
        secondary=_address(options.secondary, "--secondary"),
        share=options.compare_share,
        body_bytes=options.compare_bytes,
        per_s=options.compare_per_s,
        ignore=ignore,
        unordered=unordered,
        html_whitespace=options.html_whitespace,
        calibrate_s=options.calibrate,
    )


def _address(url: str, what: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or not parts.port or parts.path not in {"", "/"}:
        raise UsageError(f"{what} {url}: http://HOST:PORT, please")
    return parts.hostname, parts.port


def main(argv: list[str] | None = None) -> int:
    """Run the relay; 0 after SIGTERM, 2 for what cannot work."""
    from darktime.split.relay.relay import Relay

    options = _arguments().parse_args(argv)
    files = may_have(raised=True)
    try:
        settings = fitted(_settings(options), files)
        if settings.compare is not None:
            sys.setswitchinterval(_SWITCH_S)
        relay = Relay(settings)
        for number in ENDS:
            signal.signal(number, lambda *_: relay.stop())
        ending = Ending(relay.heartbeat)
        metrics_port = None if settings.metrics_port is None else _serve_metrics(settings.metrics_port, relay)
    except DarktimeError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    dies_first()
    print(f"relay on {settings.socket}, log lines on 127.0.0.1:{relay.log_port}", flush=True)
    if metrics_port is not None:
        print(f"metrics on 127.0.0.1:{metrics_port}", flush=True)
    relay.run()
    ending.over()
    return 0


def _serve_metrics(port: int, relay: Relay) -> int:
    from darktime.split.relay.metrics import serve

    try:
        return serve(port, relay.state)
    except OSError as error:
        raise UsageError(f"--metrics {port}: {error.strerror}; choose another port, or 0") from error


if __name__ == "__main__":
    raise SystemExit(main())
