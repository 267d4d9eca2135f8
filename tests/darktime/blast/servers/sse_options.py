"""The push server's options: which faults there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.darktime.blast.servers.sse_wire import LINE_ENDS, Form

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Faults of the row, of time, of the wire, of replay, of slow readers."""
    for flag, words in (
        ("--drop-every", "lose every Kth event"),
        ("--duplicate-every", "send every Kth event twice"),
        ("--swap-every", "send every Kth event after its successor"),
        ("--replay-drop-every", "lose every Kth event of all replays"),
        ("--comments", "a comment before and in every Kth event"),
        ("--chunk-bytes", "at most so many bytes of an event in a chunk; 0: one chunk an event"),
        ("--most", "serve at most K streams at once; 0: any number"),
        ("--send-buffer", "SO_SNDBUF of streams; 0: the kernel's choice"),
    ):
        parser.add_argument(flag, type=int, default=0, metavar="K", help=words)
    parser.add_argument(
        "--scope",
        choices=["event", "delivery"],
        default="event",
        help="every Kth of a channel, the same for all; or of each stream, beginning with another one",
    )
    parser.add_argument(
        "--above", choices=["503", "reset"], default="503", help="with --most: how others are turned away"
    )
    parser.add_argument("--hold-ms", type=float, default=200.0, help="an event waits so long for its successor")
    parser.add_argument(
        "--delay-ms", type=float, default=0.0, help="deliver so much later; publishes are answered at once"
    )
    parser.add_argument("--serial-us", type=float, default=0.0, help="fan-out takes so long a subscriber")
    parser.add_argument("--line-ends", choices=list(LINE_ENDS), default="lf")
    parser.add_argument("--lines", choices=["one", "around", "inside"], default="one")
    for flag in ("--bom", "--utf8", "--bare", "--fields", "--no-ids"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--cut", choices=["none", "walk", "every"], default="none", help="write in pieces")
    parser.add_argument("--cut-pause-ms", type=float, default=2.0, help="between two pieces")
    parser.add_argument("--epoch", default="7", help="ids are EPOCH-NUMBER")
    parser.add_argument("--history", type=int, default=1000, help="events kept a channel")
    parser.add_argument("--retry-ms", type=int)
    parser.add_argument("--slow", choices=["buffer", "drop", "block"], default="buffer")
    parser.add_argument("--buffer-bytes", type=int, default=65_536, help="with --slow drop")


def form_of(options: argparse.Namespace) -> Form:
    """What they say about the wire."""
    return Form(
        line_ends=options.line_ends,
        lines=options.lines,
        comments=options.comments,
        bom=options.bom,
        utf8=options.utf8,
        bare=options.bare,
        fields=options.fields,
        chunk_bytes=options.chunk_bytes,
    )
