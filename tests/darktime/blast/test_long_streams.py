"""Streams by the ten thousand, held for minutes: nothing is lost, and the generator's memory does not grow."""

import os
import re
import threading
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from realtime_core.stack import find_nginx, free_port
from tests.darktime.blast.runs import running
from tests.support.engines import require_engine
from tests.support.ports import refuses

HOLD_S = float(os.environ.get("DARKTIME_LONG_STREAMS_S", "600"))  # shorter to try it out
pytestmark = [pytest.mark.long, pytest.mark.engine("nginx-nchan"), pytest.mark.timeout(HOLD_S + 300)]
LOOK_S = 5.0
MOST_SLOPE_A_MINUTE = 0.01
WORKERS = 8  # of nginx: a process may have 20,000 open files, which is the limit on the other side as well


@pytest.fixture
def nchan(stack, tmp_path):
    """nginx with nchan, its workers' listeners spread evenly by the kernel."""
    module, nginx, port = require_engine("nginx-nchan"), require_engine("nginx"), free_port()
    folders = "".join(f"{k}_temp_path {tmp_path}/{k};\n" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = tmp_path / "nginx.conf"
    config.write_text(f"""
load_module {module};
daemon off; pid {tmp_path}/nginx.pid; error_log stderr; user root;
worker_processes {WORKERS}; worker_rlimit_nofile 20000;
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
""")
    command = [str(find_nginx(nginx).path), "-c", str(config), "-p", str(tmp_path)]
    stack.start("nchan", command, ready=lambda: not refuses(port), timeout_s=20)
    return f"127.0.0.1:{port}"


def resident_kb(pid):
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


def slope_a_minute(looks):
    """Theil-Sen's, as a share of the level: what a leak would be, and a step is not."""
    slopes = [
        (later - earlier) / (at_later - at)
        for index, (at, earlier) in enumerate(looks)
        for at_later, later in looks[index + 1 :]
    ]
    return 60 * median(slopes) / median(level for _, level in looks)


@pytest.mark.parametrize("size", [(19_000, 1, 200, 50), (100_000, 6, 100, 60)], ids=["19000", "100000"])
def test_streams_are_held_for_minutes_without_a_loss_and_in_the_same_memory(nchan, size, record_property):
    streams, processes, channels, rate = size
    words = ("--streams", str(streams), "--channels", str(channels), "--processes", str(processes))
    plan = ("--rate", str(rate), "--duration", str(HOLD_S), "--slo", "p99<2s,lost=0,errors=0", "--timeout", "30")
    looks, ended = {}, threading.Event()
    with running(nchan, *words, *plan) as run:

        def look():
            while not ended.wait(LOOK_S):
                pids = [run.pid, *run.workers()]
                now = time.monotonic()
                for pid in pids:
                    looks.setdefault(pid, []).append((now, resident_kb(pid)))

        watch = threading.Thread(target=look)
        watch.start()
        try:
            done = run.end(HOLD_S + 280)
        finally:
            ended.set()
            watch.join()
    found = done.found
    totals = found["totals"]
    owed = totals["requests"] * streams // (channels * processes)
    for name in ("p50_ms", "p99_ms", "max_ms"):
        record_property(name, found["latency"][name])
    assert done.code == 0, done.said
    assert found["streams"]["open"] == streams
    assert (totals["lost"], totals["duplicated"], totals["failures"]) == (0, 0, 0)
    assert totals["deliveries"] == pytest.approx(owed, rel=0.01), "channels have a stream more or less"
    holding = [seen for pid, seen in looks.items() if pid != run.pid or processes == 1]
    assert len(holding) == processes
    for seen in holding:
        held = [one for one in seen if one[0] > seen[-1][0] - 0.9 * HOLD_S]  # after it has opened
        assert all(later > earlier for (earlier, _), (later, _) in pairwise(held))
        slope = slope_a_minute(held)
        record_property("RSS", f"{held[-1][1] / 1024:.0f} MB, {100 * slope:+.2f} % a minute")
        assert slope < MOST_SLOPE_A_MINUTE
