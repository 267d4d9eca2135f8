"""``python -m realtime_core.push``: one push server, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import secrets
import signal
import sys
from typing import TYPE_CHECKING

from realtime_core.errors import ConfigurationError, RealtimeError
from realtime_core.push.accounts import Accounts
from realtime_core.push.server import Server
from realtime_core.push.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

LEDGER_TIMEOUT_S = 0.25  # of one answer of the ledger's Redis; closing the account may take two
THREAD_SWITCH_S = 0.0005  # the loop gets the interpreter back from the ledger's thread within half a millisecond


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server; the exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        server = Server(_settings(arguments), _accounts(arguments))
    except RealtimeError as error:
        print(f"push server: {error}", file=sys.stderr)
        return error.exit_code
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.setswitchinterval(THREAD_SWITCH_S)
    signal.set_wakeup_fd(server.wakeup.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    gc.freeze()  # what is there stays: no collection in the middle of the work looks through it again
    host = f"[{server.host}]" if ":" in server.host else server.host
    print(f"listening on {host}:{server.port}", flush=True)
    try:
        server.run()
    finally:
        signal.set_wakeup_fd(-1)
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m realtime_core.push", description=__doc__, allow_abbrev=False)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes any free one")
    parser.add_argument("--public", action="store_true", help="allow an address beyond loopback")
    parser.add_argument("--admin", action="store_true", help="let DELETE /pub remove channels")
    numbers: tuple[tuple[str, str, int | float, str], ...] = (
        ("--max-message", "BYTES", defaults.max_message, "longest body of a publish"),
        ("--max-channels", "N", defaults.max_channels, "most channels at a time"),
        ("--max-subscribers-per-channel", "N", defaults.max_subscribers_per_channel, "0: no limit"),
        ("--outbox-bytes", "BYTES", defaults.outbox_bytes, "most that waits for one subscriber"),
        ("--store", "N", defaults.store, "messages kept a channel for replay, 0: none"),
        ("--store-ttl", "S", defaults.store_ttl_s, "how long they are kept"),
        ("--ping", "S", defaults.ping_s, "a comment to every subscriber so often, 0: never"),
        ("--connection-ttl", "S", defaults.connection_ttl_s, "a subscriber's longest stay, 0: for ever"),
        ("--send-timeout", "S", defaults.send_timeout_s, "a peer that reads nothing of what waits is dropped then"),
        ("--request-timeout", "S", defaults.request_timeout_s, "how long a request may take to arrive"),
    )
    for flag, unit, default, words in numbers:
        parser.add_argument(flag, type=type(default), default=default, metavar=unit, help=f"{words} (%(default)s)")
    parser.add_argument("--ledger", metavar="URL", help="Redis that holds the ledger; without it nothing is counted")
    parser.add_argument("--ledger-name", metavar="NAME", help="the ledger's name")
    parser.add_argument("--hop-in", metavar="HOP", help="events are counted as received on this hop")
    parser.add_argument("--hop-out", metavar="HOP", help="events by subscribers are counted as sent on this hop")
    parser.add_argument("--owner", metavar="NAME", help="what the ledger calls this life of this process")
    parser.add_argument("--ledger-keep", type=float, default=86_400.0, metavar="S", help="how long accounts are kept")
    parser.add_argument("--window", type=float, default=5.0, metavar="S", help="the ledger's window (%(default)s)")
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    host, colon, port = arguments.listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - TCP's last port
        raise ConfigurationError(f"--listen {arguments.listen}: HOST:PORT is needed, with a port from 0 to 65535")
    return Settings(
        host=host.removeprefix("[").removesuffix("]"),
        port=int(port),
        public=arguments.public,
        admin=arguments.admin,
        max_message=arguments.max_message,
        max_channels=arguments.max_channels,
        max_subscribers_per_channel=arguments.max_subscribers_per_channel,
        outbox_bytes=arguments.outbox_bytes,
        store=arguments.store,
        store_ttl_s=arguments.store_ttl,
        ping_s=arguments.ping,
        connection_ttl_s=arguments.connection_ttl,
        send_timeout_s=arguments.send_timeout,
        request_timeout_s=arguments.request_timeout,
    )


def _accounts(arguments: argparse.Namespace) -> Accounts:
    if arguments.ledger is None:
        return Accounts(None)
    missing = [flag for flag in ("ledger_name", "hop_in", "hop_out") if not getattr(arguments, flag)]
    if missing:
        flags = ", ".join("--" + flag.replace("_", "-") for flag in missing)
        raise ConfigurationError(f"--ledger {arguments.ledger} counts nothing without {flags}: name them")
    from realtime_core.ledger import Ledger, prepare
    from realtime_core.redis_url import connect

    # It does not try again: the next flush carries what this one did not.
    redis = connect(
        arguments.ledger,
        answer_s=LEDGER_TIMEOUT_S,
        connect_s=LEDGER_TIMEOUT_S,
        name=arguments.ledger_name,
        called="--ledger",
    )
    owner = arguments.owner or f"push:{os.getpid()}#{secrets.token_hex(2)}"
    ledger = Ledger(redis, arguments.ledger_name, owner, window_s=arguments.window, keep_s=arguments.ledger_keep)
    prepare()  # now, and not while the first subscribers wait for it
    return Accounts(ledger, arguments.hop_in, arguments.hop_out)


if __name__ == "__main__":
    sys.exit(main())
