"""Log lines that the kernel has no room for: how many it has room for is known, and what they were about is named soon."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from darktime.split.log_format import LogLine
from darktime.split.relay import line_room
from darktime.split.relay.intake import LineSocket
from darktime.split.relay.lost_lines import Gap
from darktime.split.results import settled
from darktime.wire.poller import Poller
from tests.darktime.split.test_relay_ears import copy_bytes
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "s" * 24
RMEM_MAX = Path("/proc/sys/net/core/rmem_max")


def main_line(number: int, secret: str = SECRET, **changes: object) -> bytes:
    """As nginx writes one, all of its fields there."""
    fields = {
        "v": 1, "k": secret, "id": f"{number:032x}", "at": f"{time.time():.3f}", "status": "200", "type": "text/plain",
        "bytes": "512", "took": "0.004", "head": "0.004", "up": "0.004", "done": "OK", "part": "b001", "census": "",
        "len": "512", "enc": "",
    }  # fmt: skip
    return b"<190>Nov 24 04:44:10 darktime: " + json.dumps({**fields, **changes}, separators=(",", ":")).encode()


def test_a_gap_stands_where_lines_were_lost_and_each_line_is_read_or_counted() -> None:
    poller = Poller(cooperative=False, coarse=True)
    lines = LineSocket(0, poller, SECRET, 1_048_576)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nginx:
        nginx.connect(("127.0.0.1", lines.port))
        sent = 0
        for _ in range(2):
            for _ in range(lines.room * 2):
                nginx.send(main_line(sent))
                sent += 1
            found = [*read_all(lines)]
            nginx.send(main_line(sent))  # what was lost last only the next line tells
            sent += 1
            found += read_all(lines)
            assert [type(one) for one in found[-2:]] == [Gap, LogLine], (
                "before the first line after it, and nowhere else"
            )
            assert sum(isinstance(one, Gap) for one in found) == 1
            assert found[-2].lost >= lines.room // 2
        assert lines.lines + lines.lost == sent
    lines.close()
    poller.close()


def read_all(lines: LineSocket) -> list:
    found = lines.read()
    while lines.full:
        found += lines.read()
    return found


def test_the_room_is_what_was_asked_for_as_root_and_what_rmem_max_gives_to_others() -> None:
    if not RMEM_MAX.exists():
        pytest.skip("a kernel that does not say what it gives")
    asked = "from darktime.split.relay import line_room; import os; os.getuid() or os.setuid(65534); print(line_room.to_be_had())"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=20, check=True).stdout
    given = min(int(RMEM_MAX.read_text()), line_room.WANTED)
    assert int(said) == 2 * given // 1_280
    if os.getuid() == 0 and "cap_net_admin" not in said:
        assert line_room.to_be_had() >= int(said)


def test_a_relay_that_was_stopped_until_lines_were_lost_names_each_copy_within_ten_seconds(
    make_split: Callable, origin: Callable
) -> None:
    """Three copies lose their lines; of a fourth request the sink's line is lost, and production's comes."""
    dark = origin()
    split = make_split(dark.address)
    split.start_relay(dark.address)
    room = wait_until(lambda: split.state().get("log_room"), what="the state")
    secret = split.settings.secret
    with socket.socket(socket.AF_UNIX) as nginx, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        nginx.settimeout(5)
        nginx.connect(str(split.settings.relay_socket))
        udp.connect(("127.0.0.1", split.settings.log_port))
        nginx.sendall(b"".join(copy_bytes(f"{number:032x}") for number in range(3)))
        wait_until(lambda: split.state()["received"] == 3 and sum(dark.asked.values()) == 3, what="three copies")
        split.signal(signal.SIGSTOP)
        try:
            fourth = f"{time.time():.3f}"
            other = main_line(0, secret, other=1)
            filled = int(room * 1.6)  # some of the kernel's room is for its own notes
            for _ in range(filled):
                udp.send(other)
            for number in range(3):
                udp.send(main_line(number, secret))
            udp.send(main_line(3, secret, sink=1, at=fourth))
        finally:
            split.signal(signal.SIGCONT)
        began = time.monotonic()
        wait_until(lambda: split.state()["log_lines"] >= room // 2, timeout_s=10, what="lines that are read")
        udp.send(main_line(3, secret, at=fourth))
        wait_until(lambda: split.state()["offered"] == 4 and settled(split.state()), timeout_s=10, what="each named")
        assert time.monotonic() - began < 15
    state = split.state()
    assert (state["reasons"], state["mirror_reasons"]) == ({"log_lost": 3}, {"log_lost": 1})
    assert state["log_lines"] + state["log_lost"] == filled + 3 + 1 + 1
    assert (state["late_lines"], state["waiting"]) == (0, 0)
