"""What ends a split before its time, or takes it back: a key that nobody carries, harm to the sampled, a NO-GO on the ramp."""

import http.client
import json
import socket
import subprocess
import threading
from contextlib import closing, suppress

import pytest

from darktime.split.sampling import bucket
from tests.darktime.console.test_split import DARKTIME, splitting
from tests.darktime.split.servers import Origin, Quick
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

USERS = [f"u{number}" for number in range(2000)]
COPIED = [user for user in USERS if (bucket("darktime", user) or 0) < 50][:40]
MOST = ("--max-percent", "25")
CONTROL = [user for user in USERS if 250 <= (bucket("darktime", user) or 0) < 312][:40]


@pytest.fixture
def origins():
    made = [Origin(), Origin()]
    yield made
    for one in made:
        one.stop()


class Crowd:
    """Users that go on asking until they are told to stop, some at a time; each answer must come."""

    def __init__(self, port, cookies, *, threads=8):
        self._port = port
        self._cookies = cookies
        self._stop = threading.Event()
        self.asked = 0
        self.failed = []
        self._threads = [threading.Thread(target=self._go, args=(at, threads)) for at in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _go(self, at, step):
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as link:
            while not self._stop.is_set():
                for cookie in self._cookies[at::step]:
                    if self._stop.is_set() or not self._ask(link, cookie):
                        return

    def _ask(self, link, cookie):
        try:
            link.request("GET", "/page", headers={"Cookie": cookie})
            reply = link.getresponse()
            reply.read()
        except (OSError, http.client.HTTPException) as error:
            self.failed.append(error)
            return False
        self.asked += 1
        if reply.status != 200:
            self.failed.append(reply.status)
        return True


def ask_many(port, cookie, many):
    """So many requests on one connection, a hundred on their way at once. ConnectionError once the split has ended."""
    request = f"GET /page HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        for _ in range(many // 100):
            link.sendall(request * 100)
            data = b""
            while data.count(b"HTTP/1.1 200") < 100 or not data.endswith(b"ok"):
                part = link.recv(65536)
                if not part:
                    raise ConnectionResetError("nginx has ended")
                data += part


def status(tmp_path, *words):
    """What ``darktime status`` prints."""
    argv = [DARKTIME, "status", "--run", "run", *words]
    return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20).stdout


def test_a_key_that_nobody_carries_ends_it_with_2_and_what_was_seen(tmp_path, origins):
    production, dark = Quick(), origins[0]
    try:
        with splitting(tmp_path, f"http://{production.address}", f"http://{dark.address}", *MOST) as (split, port):
            with suppress(ConnectionError):  # on a slow machine it has seen enough before all are asked
                for _ in range(18):
                    ask_many(port, "other=1", 1500)
                    ask_many(port, "uid=%00", 100)
            _, err = split.communicate(timeout=20)
    finally:
        production.stop()
    assert split.returncode == 2, err
    assert "0 carried cookie:uid" in err
    assert "carried one that is no user" in err
    assert "GET /page" not in dark.asked


def test_when_the_sampled_are_served_worse_than_the_others_nobody_is_mirrored_any_more(tmp_path, origins):
    production, dark = origins
    slow = {f"uid={user}" for user in COPIED}
    production.slower_for = lambda cookie: 0.04 if cookie in slow else 0.0
    with (
        splitting(tmp_path, f"http://{production.address}", f"http://{dark.address}", *MOST) as (split, port),
        Crowd(port, [f"uid={user}" for pair in zip(COPIED, CONTROL, strict=True) for user in pair]),
    ):
        out, err = split.communicate(timeout=25)
    results = json.loads(out)
    require_schema(results)
    assert results["production_watched"]["harmed"] is True
    assert results["verdict"]["outcome"] == "NO-GO"
    assert split.returncode == 3
    assert "are served worse by production: p95" in results["verdict"]["reasons"][0]
    assert [(one["from"], one["to"]) for one in results["ramps"]] == [(0.0, 5.0), (5.0, 0.0)]
    assert "are served worse by production" in results["ramps"][-1]["why"]
    assert "nobody is mirrored any more" in err


def test_where_the_sampled_fare_as_the_others_the_results_say_so(tmp_path, origins):
    production, dark = origins
    production.slower_for = lambda cookie: 0.005 if cookie else 0.0
    with splitting(tmp_path, f"http://{production.address}", f"http://{dark.address}", *MOST) as (split, port):
        with Crowd(port, [f"uid={user}" for pair in zip(COPIED, CONTROL, strict=True) for user in pair]) as crowd:
            groups = tmp_path / "run" / "population.json"
            wait_until(lambda: groups.exists() and crowd.asked > 900, timeout_s=20, what="traffic")
            standing = status(tmp_path, "--json")
            shown = status(tmp_path)
        split.terminate()
        out, _ = split.communicate(timeout=20)
    results = json.loads(out)
    watched = results["production_watched"]
    assert watched["harmed"] is False, watched
    assert watched["groups"]["copied"]["requests"] > 200
    assert watched["groups"]["others"]["requests"] > 200
    assert not crowd.failed
    told = json.loads(standing)
    require_schema(told)
    assert (told["percent"], told["killed"], told["leased"], told["relay_alive"]) == (5.0, False, True, True)
    assert told["users"] == len(COPIED)
    assert told["copies"]["received"] > 200
    assert told["traffic"]["keyed_share"] == 1.0
    assert told["latency"]["production"]["pairs"] > 200
    assert "mirrors 5 % of users, at most 25 %" in shown
    assert shown.count("\n") <= 20


def test_a_ramp_by_a_plan_goes_back_to_nobody_when_the_dark_side_fails(tmp_path, origins):
    production, dark = origins
    dark.status = 500
    words = (*MOST, "--ramp", "5,25", "--hold", "10")
    with (
        splitting(tmp_path, f"http://{production.address}", f"http://{dark.address}", *words) as (split, port),
        Crowd(port, [f"uid={user}" for user in COPIED]),
    ):
        out, err = split.communicate(timeout=25)
    results = json.loads(out)
    assert split.returncode == 3, err
    assert results["verdict"]["outcome"] == "NO-GO"
    assert [(one["from"], one["to"]) for one in results["ramps"]] == [(0.0, 5.0), (5.0, 0.0)]
    assert "NO-GO at 5 %, nobody is mirrored any more" in err


def test_somebody_who_ramps_by_hand_takes_the_plan_over(tmp_path, origins):
    production, dark = origins
    words = (*MOST, "--ramp", "1,20", "--hold", "60")
    with splitting(tmp_path, f"http://{production.address}", f"http://{dark.address}", *words) as (split, _):
        ramp = [DARKTIME, "ramp", "7", "--run", "run", "--why", "by hand"]
        done = subprocess.run(ramp, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20)
        assert done.stdout.strip() == "1 % -> 7 % (at most 25 %)"
        lines = []
        reading = threading.Thread(target=lambda: lines.extend(split.stderr))
        reading.start()
        wait_until(lambda: any("plan is not followed" in line for line in lines), timeout_s=10, what="its word")
        split.terminate()
        split.wait(20)
        reading.join()
        results = json.loads(split.stdout.read())
    assert results["percent"] == 7.0
    assert [(one["to"], one["why"]) for one in results["ramps"]] == [(1.0, "the experiment begins"), (7.0, "by hand")]
