"""An experiment in Redis: one ramp reaches every host, nobody mirrors more than each host allows, and it ends with its time."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from darktime.console.partaking import host_name, hosts_of, recorded
from darktime.errors import UsageError
from darktime.split import levels
from darktime.split.experiment import Experiment, client_of, keys_of
from darktime.split.steering import Steering
from realtime_core.free_ports import free_port
from realtime_core.stack.valkey import valkey_binary
from tests.support.namespaces import network
from tests.support.waiting import wait_until

NAME = "new-feed"


@pytest.fixture
def valkey(stack):
    return stack.valkey()


@pytest.fixture
def experiment(valkey):
    return Experiment(client_of(valkey.url), NAME)


def join(experiment, host="one:1", *, percent=5.0, most=25.0, ttl_s=60.0):
    now = time.time()
    return experiment.join(host, percent=percent, max_percent=most, until=now + ttl_s, who="ann", now=now)


def ramp(experiment, percent, why=""):
    return experiment.ramp(percent, who="bob", why=why, now=time.time())


def kill(experiment, *, killed=True, why=""):
    experiment.set_killed(killed=killed, who="bob", why=why, now=time.time())


def test_kills_and_resumes_are_recorded_among_the_ramps_and_what_changes_nothing_is_not(experiment):
    join(experiment)
    kill(experiment, why="it hurts")
    kill(experiment, why="it hurts still")
    ramp(experiment, 3.0)
    kill(experiment, killed=False)
    kill(experiment, killed=False)
    told = [(one.get("what"), one["who"], one["from"], one["to"], one["why"]) for one in experiment.ramps()]
    assert told[1:] == [
        ("kill", "bob", 5.0, 0.0, "it hurts"), (None, "bob", 5.0, 3.0, ""), ("resume", "bob", 0.0, 3.0, ""),
    ]  # fmt: skip


def test_what_was_done_on_a_host_alone_is_among_its_ramps_and_what_redis_has_too_is_there_once(experiment, tmp_path):
    join(experiment)
    ramps = tmp_path / "ramps.jsonl"
    assert len(recorded(experiment, tmp_path)) == 1, "there is no file yet"
    ramp(experiment, 3.0, "both")
    both, alone = experiment.ramps()[-1], {"at": 5.0, "who": "ann", "from": 3.0, "to": 0.0, "why": "", "what": "kill"}
    ramps.write_text(f"{json.dumps(both)}\n{json.dumps(alone)}\n{{torn\n{json.dumps(alone)[:9]}")
    assert [one["why"] for one in recorded(experiment, tmp_path)] == ["", "the experiment begins", "both"]
    ramps.unlink()
    ramps.mkdir()  # a file that cannot be read
    assert len(recorded(experiment, tmp_path)) == 2


def test_the_first_host_begins_it_and_the_next_takes_the_percentage_that_stands(experiment):
    assert experiment.standing() is None
    assert join(experiment).percent == 5.0
    assert ramp(experiment, 12.5) == 5.0
    second = join(experiment, "two:2", percent=1.0, most=50.0)
    assert (second.percent, second.max_percent, second.hosts) == (12.5, 25.0, ("one:1", "two:2"))


def test_results_name_every_host_that_took_part_when_it_began_or_does_now(experiment):
    join(experiment)
    begun = join(experiment, host_name())
    experiment.leave("one:1")
    join(experiment, "three:3")
    assert hosts_of(experiment, begun) == {"here": host_name(), "all": ["one:1", host_name(), "three:3"]}


def test_nobody_may_ramp_beyond_the_least_that_a_host_allows(experiment):
    join(experiment, most=25.0)
    join(experiment, "two:2", most=10.0)
    with pytest.raises(UsageError, match="allows 10 percent at most"):
        ramp(experiment, 10.1)
    ramp(experiment, 10.0)
    with pytest.raises(UsageError, match="this host allows 9"):
        join(experiment, "three:3", most=9.0)
    assert experiment.standing().percent == 10.0


@pytest.mark.parametrize("percent", [-1, 100.1, 0.05, float("nan")])
def test_a_percentage_that_cannot_be_is_refused(experiment, percent):
    join(experiment, most=100.0)
    with pytest.raises(UsageError, match="0 to 100"):
        ramp(experiment, percent)


def test_every_ramp_is_recorded_with_who_and_why(experiment):
    join(experiment)
    ramp(experiment, 10.0, why="all is well")
    ramp(experiment, 0.0)
    told = [(one["who"], one["from"], one["to"], one["why"]) for one in experiment.ramps()]
    assert told == [
        ("ann", 0.0, 5.0, "the experiment begins"),
        ("bob", 5.0, 10.0, "all is well"),
        ("bob", 10.0, 0.0, ""),
    ]
    assert all(abs(one["at"] - time.time()) < 60 for one in experiment.ramps())


def test_ramps_at_the_same_moment_are_one_after_the_other(experiment, valkey):
    join(experiment, most=100.0)
    threads = [
        threading.Thread(target=lambda n=n: ramp(Experiment(client_of(valkey.url), NAME), float(n)))
        for n in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = experiment.ramps()
    assert [one["from"] for one in told[1:]] == [one["to"] for one in told[:-1]]
    assert experiment.standing().percent == told[-1]["to"]


def test_the_last_host_that_leaves_ends_it_and_leaves_nothing_behind(experiment, valkey):
    join(experiment)
    join(experiment, "two:2")
    experiment.leave("one:1")
    assert experiment.standing().hosts == ("two:2",)
    experiment.leave("two:2")
    experiment.leave("two:2")
    assert experiment.standing() is None
    with valkey.client() as client:
        assert client.keys("*") == []


def test_it_ends_with_its_time_though_nobody_ends_it(experiment):
    join(experiment, ttl_s=0.2)
    wait_until(lambda: experiment.standing() is None, what="the end of its time")
    with pytest.raises(UsageError, match="its time is over"):
        ramp(experiment, 1.0)
    experiment.leave("one:1")
    assert experiment.ramps() == [], "the next of that name begins anew"


def test_one_that_another_version_began_is_not_touched(experiment, valkey):
    with valkey.client() as client:
        client.hset(keys_of(NAME)[0], mapping={"v": 2, "share": "everything"})
    for act in (experiment.standing, lambda: join(experiment), lambda: ramp(experiment, 1.0)):
        with pytest.raises(UsageError, match="another version"):
            act()


class Host:
    """One host's state folder and its agent."""

    def __init__(self, stack, folder, valkey, *, name="agent", most=25.0, ttl_s=60.0, prefix=(), url=None):
        self.folder = folder
        folder.mkdir()
        (folder / "redis.url").write_text(url or valkey.url)
        argv = [
            *prefix, sys.executable, "-m", "darktime.split.agent", "--folder", str(folder), "--ttl", str(ttl_s),
            "--redis-file", str(folder / "redis.url"), "--experiment", NAME, "--max-percent", str(most),
        ]  # fmt: skip
        self.agent = stack.start(name, argv, ready="agent renews ")

    def at(self, percent, limit_s=10.0):
        wait_until(
            lambda: levels.percent_of(self.folder) == percent, timeout_s=limit_s, what=f"{percent} % at {self.folder}"
        )


def test_an_agent_follows_ramps_and_kills_and_never_beyond_its_own_configuration(experiment, valkey, stack, tmp_path):
    join(experiment, most=25.0)
    host = Host(stack, tmp_path / "host", valkey, most=10.0)
    assert levels.percent_of(host.folder) == 5.0, "before it said that it is ready"
    ramp(experiment, 8.0)
    host.at(8.0)
    with valkey.client() as client:
        client.hset(keys_of(NAME)[0], "percent", "25.0")  # whoever writes there
    host.at(10.0)
    kill(experiment, killed=True)
    wait_until(lambda: levels.killed(host.folder), what="the kill file")
    kill(experiment, killed=False)
    wait_until(lambda: not levels.killed(host.folder), what="no kill file")
    levels.kill(host.folder)
    ramp(experiment, 1.0)
    host.at(1.0)
    assert levels.killed(host.folder), "what somebody killed on this host stays killed"


def test_with_redis_gone_the_percentage_stays_until_the_agents_time_is_over(experiment, valkey, stack, tmp_path):
    join(experiment)
    host = Host(stack, tmp_path / "host", valkey, ttl_s=4.0)
    valkey.kill()
    wait_until(lambda: "Redis does not answer" in host.agent.tail(), timeout_s=10, what="its word")
    assert levels.percent_of(host.folder) == 5.0
    assert levels.leased(host.folder, time.time())
    wait_until(lambda: not host.agent.alive(), timeout_s=10, what="the end of its time")
    assert not levels.leased(host.folder, time.time()), "so nobody is mirrored"


def test_a_redis_that_hangs_holds_up_no_lease_and_is_followed_again_when_it_answers(
    experiment, valkey, stack, tmp_path
):
    join(experiment)
    host = Host(stack, tmp_path / "host", valkey)
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: "Redis does not answer" in host.agent.tail(), timeout_s=10, what="its word")
        assert levels.percent_of(host.folder) == 5.0
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    ramp(experiment, 7.0)
    host.at(7.0)
    assert "Redis answers again" in host.agent.tail()


def test_an_experiment_that_is_over_is_mirrored_for_nobody(experiment, valkey, stack, tmp_path):
    join(experiment)
    host = Host(stack, tmp_path / "host", valkey)
    host.at(5.0)
    experiment.leave("one:1")
    host.at(0.0)
    assert "the experiment is over" in host.agent.tail()


BEGIN = """
import time
from darktime.split.experiment import Experiment, client_of
now = time.time()
Experiment(client_of("{url}"), "{name}").join(
    "one", percent=5.0, max_percent=25.0, until=now + 60, who="ann", now=now
)
"""


def listens(host, port):
    """Whether a port of a host that only its own network reaches is open."""
    try:
        host.run([sys.executable, "-c", f"import socket; socket.create_connection(('{host.address}', {port}), 1)"])
    except subprocess.CalledProcessError:
        return False
    return True


def test_what_was_killed_stays_so_when_the_experiment_vanishes(experiment, valkey, stack, tmp_path):
    join(experiment)
    host = Host(stack, tmp_path / "host", valkey)
    kill(experiment, killed=True)
    wait_until(lambda: levels.killed(host.folder), what="the kill file")
    with valkey.client() as client:
        client.flushall()
    host.at(0.0)
    assert levels.killed(host.folder), "its time is over, and what it was killed for is not mended by that"


def test_a_kill_file_of_somebody_here_outlives_the_resume_of_somebody_else(experiment, valkey, stack, tmp_path):
    join(experiment)
    host = Host(stack, tmp_path / "host", valkey)
    levels.kill(host.folder)
    for killed in (True, False):
        kill(experiment, killed=killed)
        wait_until(lambda said=("was killed" if killed else "may go on"): said in host.agent.tail(), what="its word")
    assert levels.killed(host.folder)


def test_what_could_not_be_followed_is_tried_again(experiment, valkey, stack, tmp_path):
    join(experiment)
    host = Host(stack, tmp_path / "host", valkey)
    with valkey.client() as client:
        client.hset(keys_of(NAME)[0], "until", "no number")
    wait_until(lambda: "cannot be followed" in host.agent.tail(), timeout_s=10, what="its word")
    with valkey.client() as client:
        client.hset(keys_of(NAME)[0], "until", str(time.time() + 60))
    ramp(experiment, 3.0)
    host.at(3.0)


def test_who_decides_on_what_he_saw_does_not_override_who_ramped_or_killed_meanwhile(experiment):
    join(experiment)
    ramp(experiment, 0.0)
    with pytest.raises(UsageError, match="at 0 percent by now, and not at 5"):
        experiment.ramp(25.0, who="darktime split", why="GO", now=time.time(), expected=5.0)
    ramp(experiment, 5.0)
    kill(experiment, killed=True)
    with pytest.raises(UsageError, match="killed by now"):
        experiment.ramp(25.0, who="darktime split", why="GO", now=time.time(), expected=5.0)
    assert experiment.standing().percent == 5.0


@pytest.mark.engine("ip")
def test_one_ramp_reaches_the_agents_of_two_hosts_and_one_of_them_cut_off_keeps_what_was(stack, tmp_path):
    with network(3) as (hub, one, two):
        port = free_port()
        server = [
            str(valkey_binary()),
            "--bind",
            hub.address,
            "--port",
            str(port),
            "--protected-mode",
            "no",
            "--save",
            "",
        ]
        stack.start("shared", [*hub.prefix, *server], ready=lambda: listens(hub, port))
        url = f"redis://{hub.address}:{port}/0"
        steer = [str(Path(sys.executable).parent / "darktime"), "ramp", "--redis", url, "--experiment", NAME]
        one.run([sys.executable, "-c", BEGIN.format(url=url, name=NAME)])
        hosts = [
            Host(stack, tmp_path / host.namespace, None, name=f"agent-{number}", prefix=host.prefix, url=url)
            for number, host in enumerate((one, two))
        ]
        for host in hosts:
            host.at(5.0)
        one.run([*steer, "20", "--why", "both of them"])
        for host in hosts:
            host.at(20.0)
        two.run(["ip", "link", "set", "eth0", "down"])
        wait_until(lambda: "Redis does not answer" in hosts[1].agent.tail(), timeout_s=10, what="the second's word")
        one.run([*steer, "0"])
        hosts[0].at(0.0)
        assert levels.percent_of(hosts[1].folder) == 20.0
        two.run(["ip", "link", "set", "eth0", "up"])
        hosts[1].at(0.0)


def test_steering_changes_nothing_while_redis_is_away_and_a_stop_still_stops_this_host(valkey, experiment, tmp_path):
    join(experiment)
    folder, ramps = tmp_path / "state", tmp_path / "ramps.jsonl"
    folder.mkdir()
    levels.set_percent(folder, 5.0, 25.0)
    steering = Steering(folder=folder, max_percent=25.0, ramps=ramps, experiment=experiment)
    assert steering.ramp(6.0, why="a try") == 5.0
    assert levels.percent_of(folder) == 6.0
    valkey.kill()
    with pytest.raises(UsageError, match="nothing was changed; 'darktime kill'"):
        steering.ramp(7.0, why="another")
    assert levels.percent_of(folder) == 6.0
    assert len(ramps.read_text().splitlines()) == 1
    steering.stop("harm")
    assert levels.killed(folder)
    assert "other hosts were not told" in steering.kill(killed=False)
    assert not levels.killed(folder)
    told = [json.loads(line) for line in ramps.read_text().splitlines()]
    assert [(one.get("what"), one["from"], one["to"], one["why"]) for one in told] == [
        (None, 5.0, 6.0, "a try"), ("kill", 6.0, 0.0, "harm"), ("resume", 0.0, 6.0, ""),
    ]  # fmt: skip
