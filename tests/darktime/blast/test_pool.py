"""A pool of connections, without a run around it."""

import os
import resource
import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from darktime.blast.cohort import Cohort
from darktime.blast.exact_rows import exact_rows
from darktime.blast.offered import Second
from darktime.blast.record import Record
from darktime.blast.requests import RequestPool
from darktime.blast.settings import BlastSettings, resolve
from darktime.blast.snapshot import Snapshots
from darktime.blast.sources import Fixed, Listed, get, request
from darktime.report import validate
from tests.darktime.blast.runs import blast
from tests.darktime.blast.test_engine import server


def by_the_method(link):
    """The head announces a body, and only GET gets it."""
    buffer = b""
    while data := link.recv(65_536):
        buffer += data
        while b"\r\n\r\n" in buffer:
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            body = b"" if head.startswith(b"HEAD") else b"hello"
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)


def test_the_answer_to_head_has_no_body_whatever_its_head_announces_also_when_requests_wait():
    with server(by_the_method) as instance:
        address, cohort = resolve(instance), Cohort()
        source = Listed([request(address, "GET", "/"), request(address, "HEAD", "/")])
        pool = RequestPool(cohort, address, source, size=1, timeout_s=2.0)
        try:
            pool.open()
            until = time.monotonic() + 5
            while not pool.standing and time.monotonic() < until:
                cohort.turn(0.01)
            for _ in range(6):
                pool.submit(time.monotonic())
            while (pool.in_flight or pool.waiting) and time.monotonic() < until:
                cohort.turn(0.05)
            counts = pool.take()
        finally:
            pool.close()
            cohort.close()
    assert (counts.requests, counts.failures, counts.statuses) == (6, 0, {"200": 6}), counts.reasons


def once(listener):
    """Answers one request a connection, one connection at a time, until it is closed."""
    while True:
        try:
            link, _ = listener.accept()
        except OSError:
            return
        with link, suppress(OSError):
            link.settimeout(0.5)  # who connected may have nothing to ask any more
            link.recv(65_536)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@contextmanager
def listening(port=0):
    listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
    thread = threading.Thread(target=once, args=(listener,), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def fresh_pool(port, size):
    cohort, address = Cohort(), resolve(f"127.0.0.1:{port}")
    pool = RequestPool(cohort, address, Fixed(get(address, "/")), size=size, timeout_s=5.0, fresh=True)
    try:
        yield cohort, pool
    finally:
        pool.close()
        cohort.close()


def counted_until(cohort, pool, met, limit_s=10.0):
    """Counts since the last time, as soon as they meet it."""
    counts, until = pool.take(), time.monotonic() + limit_s
    while not met(counts) and time.monotonic() < until:
        cohort.turn(0.02)
        counts.merge(pool.take())
    assert met(counts), (counts.requests, counts.reasons)
    return counts


def test_closed_and_fresh_a_place_whose_connection_failed_is_taken_again():
    with listening() as port:
        pass
    with fresh_pool(port, 4) as (cohort, pool):
        pool.closed_model = True
        pool.start_closed()
        counted_until(cohort, pool, lambda counts: counts.reasons.get("connect_refused", 0) >= 12)
        with listening(port):
            counted_until(cohort, pool, lambda counts: counts.statuses.get("200", 0) >= 100)


def test_a_place_whose_connection_failed_is_not_taken_again_in_a_storm():
    with listening() as port:
        pass
    with fresh_pool(port, 4) as (cohort, pool):
        pool.closed_model = True
        pool.start_closed()
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            cohort.turn(0.02)
        assert 4 <= pool.take().connect_errors <= 4 * 12


def test_fresh_and_open_who_waited_behind_a_full_pool_gets_a_connection_when_the_others_failed():
    with listening() as port:
        pass
    with fresh_pool(port, 2) as (cohort, pool):
        for _ in range(2):
            pool.submit(time.monotonic())
        waiting = [pool.submit(time.monotonic()) for _ in range(5)]
        with listening(port):
            counts = counted_until(cohort, pool, lambda counts: counts.requests == 2 + len(waiting))
    assert counts.statuses.get("200", 0) >= 5, counts.reasons


def test_reads_that_leave_more_waiting_and_refused_sockets_stand_beside_the_figures_of_a_run():
    with server(with_a_body_of(2_000_000)) as instance:
        words = ["--path", "/", "--rate", "5", "--duration", "2", "--connections", "1", "--slo", "p99<9s,errors<1%"]
        run = blast(instance, *words)
    health, rows = run.found["health"], run.found["series"]
    assert 0 < health["backlog_share"] <= 1
    assert max(row["backlog_share"] for row in rows) > 0
    assert (health["errors_of_ours"], {row["errors_of_ours"] for row in rows}) == (0, {0})
    assert validate(run.found) == "blast"


def test_a_machine_that_refuses_sockets_is_counted_as_such():
    with listening() as port, fresh_pool(port, 4) as (cohort, pool):
        held = []
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 8, hard))
        try:
            with suppress(OSError):
                while True:
                    held.append(os.dup(0))
            pool.submit(time.monotonic())
            counts = counted_until(cohort, pool, lambda counts: counts.requests == 1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in held:
                os.close(descriptor)
        assert counts.errors_of_ours >= 1
        second = Second(at_s=7, counts=counts)
        record = Record()
        record.add(second)
        assert record.rows[0]["errors_of_ours"] == counts.errors_of_ours
        assert Snapshots(BlastSettings(instance="127.0.0.1:1")).of(second)["errors_of_ours"] == counts.errors_of_ours
        shown = {name: value for name, value, _ in exact_rows(record, [])}
        assert shown["generator: sockets"] == str(counts.errors_of_ours)


def with_a_body_of(size):
    def answer(link):
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
        while link.recv(65_536):
            link.sendall(reply)

    return answer


@contextmanager
def standing_pool(instance, **options):
    address, cohort = resolve(instance), Cohort()
    pool = RequestPool(cohort, address, Fixed(get(address, "/")), size=1, timeout_s=5.0, **options)
    try:
        pool.open()
        until = time.monotonic() + 5
        while not pool.standing and time.monotonic() < until:
            cohort.turn(0.01)
        yield cohort, pool
    finally:
        pool.close()
        cohort.close()


def test_reads_that_leave_more_waiting_in_the_kernel_are_counted_and_small_ones_are_not():
    with server(with_a_body_of(5_000_000)) as instance, standing_pool(instance) as (cohort, pool):
        pool.submit(time.monotonic())
        counts = counted_until(cohort, pool, lambda counts: counts.requests == 1)
        assert counts.backlog_reads >= 5, "of the 77 reads that would be full"
        assert counts.bytes > 5_000_000
    with server(with_a_body_of(100)) as instance, standing_pool(instance) as (cohort, pool):
        for _ in range(20):
            pool.submit(time.monotonic())
        counts = counted_until(cohort, pool, lambda counts: counts.requests == 20)
        assert counts.backlog_reads == 0
