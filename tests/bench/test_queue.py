"""The bench of the queue and its peers: its arithmetic, and each queue once in small."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.bench import losses, peers, queue
from tests.bench.losses import CASES, Losses, count_losses, held
from tests.bench.peers import PEERS, Turn, fastest, ratios, spread, told

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis


def turn(done_per_s: float, cpu_us: float = 10.0, put_per_s: float = 1.0) -> Turn:
    return Turn(
        put_per_s=put_per_s, put_server_us=0.0, done_per_s=done_per_s, server_us=cpu_us / 4, consumer_us=cpu_us * 3 / 4
    )


def test_a_spread_is_the_median_and_the_range() -> None:
    assert spread([2_000.0, 1_000.0, 9_000.0], 0) == "2,000 (1,000 to 9,000)"


def test_ratios_are_of_turns_side_by_side() -> None:
    assert ratios([10.0, 30.0], [5.0, 10.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_the_fastest_peer_is_so_by_its_median_not_by_its_best_turn() -> None:
    assert fastest({"a": [turn(1.0), turn(1.0), turn(99.0)], "b": [turn(2.0), turn(3.0), turn(2.0)]}) == "b"


def test_a_peer_is_told_with_its_settings_and_with_how_many_times_it_ours_is() -> None:
    theirs, ours = (
        [turn(100.0, 80.0, 10.0)] * 3,
        {16: [turn(700.0, 20.0, 30.0), turn(800.0, 20.0, 30.0), turn(900.0, 10.0, 30.0)]},
    )
    first, second = told("huey", {"threads": 2}, theirs, ours)
    assert re.match(
        r"- huey [\d.]+, threads 2: claim and finish 100 \(100 to 100\) jobs/s, 20 µs of the server's CPU", first
    )
    assert second == (
        "  - ours, batch 16: **8.0** (7.0 to 9.0) by rate, **4.0** (4.0 to 8.0) by CPU a job, put **3.0** (3.0 to 3.0)"
    )


def test_an_aim_is_reached_by_the_rate_and_by_the_ratio_each_for_itself() -> None:
    ours = {16: [turn(21_000.0)], 256: [turn(39_000.0)]}
    lines = queue.aims(ours, {"slow": [turn(10.0)], "fast": [turn(3_001.0)]})
    first, second = (line.split("; ") for line in lines)
    assert first == [
        "asked of batch 256: 40,000 jobs/s, NOT reached: 39,000 (39,000 to 39,000)",
        "15 times the fastest peer, which is fast, NOT reached: 13.0 (13.0 to 13.0), by CPU a job 1.0 (1.0 to 1.0)",
    ]
    assert second == [
        "asked of batch 16: 20,000 jobs/s, reached: 21,000 (21,000 to 21,000)",
        "7 times the fastest peer, which is fast, NOT reached: 7.0 (7.0 to 7.0), by CPU a job 1.0 (1.0 to 1.0)",
    ]


def test_a_job_is_done_or_lost_or_stuck_and_doubled_when_it_left_its_effect_twice() -> None:
    found = count_losses(["a", "b", "c", "d", "e"], {"a": 1, "b": 3}, ["c", "b", "other"], 1.5)
    assert found == Losses(jobs=5, done=2, doubled=1, lost=2, stuck=1, after_s=1.5)


def test_a_job_is_held_wherever_on_the_server_its_id_is_but_in_the_memory_of_ids(
    redis_client: Redis, redis_name: str
) -> None:
    redis_client.set(f"{redis_name}:job-900001", "x")
    redis_client.set(f"{redis_name}:s", "job-900002")
    redis_client.rpush(f"{redis_name}:l", "x", "{job-900003}")
    redis_client.sadd(f"{redis_name}:t", "job-900004:1")
    redis_client.zadd(f"{redis_name}:z", {"job-900005": 1})
    redis_client.hset(f"{redis_name}:h", mapping={"job-900006": "x", "y": "job-900007"})
    redis_client.xadd(f"{redis_name}:x", {"a": "job-900008"})
    redis_client.sadd(f"{redis_name}:recent", "job-900009")
    assert {id_ for id_ in held(redis_client) if id_ >= "job-9"} == {f"job-90000{n}" for n in range(1, 9)}


@pytest.mark.parametrize("peer", {peer.queue: peer for peer in PEERS.values()}.values(), ids=lambda peer: peer.queue)
def test_each_peer_does_what_was_put(tmp_path: Path, peer: peers.Peer) -> None:
    found = peers.turn(tmp_path, peer, peer.settings[-1], jobs=40)
    assert min(found.put_per_s, found.done_per_s, found.cpu_us) > 0


def test_ours_does_what_was_put(tmp_path: Path) -> None:
    found = queue.turn(tmp_path, keys=0, batch=16, jobs=100, threads=2)
    assert min(found.put_per_s, found.done_per_s, found.cpu_us) > 0


@pytest.mark.parametrize("case", {case.name: case for case in CASES}.values(), ids=lambda case: case.name)
def test_each_queue_is_killed_at_work_and_all_its_jobs_are_accounted_for(tmp_path: Path, case: losses.Case) -> None:
    (found,) = losses.kill_all(tmp_path, [case], jobs=60, kills=1, wait_s=1.0 if case.name != "ours" else 10.0)
    assert found.done + found.lost + found.stuck == found.jobs == 60
    assert found.done >= 60 * 4 // 5
    if case.name == "ours":
        assert (found.lost, found.stuck) == (0, 0)
