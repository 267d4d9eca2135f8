"""A pool of connections, without a run around it."""

import time

from darktime.blast.cohort import Cohort
from darktime.blast.requests import RequestPool
from darktime.blast.settings import resolve
from darktime.blast.sources import Listed, request
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
