"""Production's first byte comes as it does without a mirror, of a page and of a stream; behind a naive mirror it does not.

A browser asks for a page and opens its stream on the same connection. The dark instance is twenty times slower than production.
Times are compared with those of the same split while it is killed, in turns, so that a busy machine is busy for both.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from darktime.split import levels
from tests.darktime.split.conftest import CANDIDATE
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.darktime.split.conftest import Split

PRODUCTION_S, DARK_S = 0.03, 0.6
FACTOR = 5.0
TURNS = 6


def first_bytes(split: Split) -> tuple[float, float]:
    """Seconds until production's first byte: of a second page on a connection, and of a stream behind it."""
    with split.client() as client:
        client.get("/page/1", CANDIDATE)
        page = client.timed("/page/2", CANDIDATE)
        began = time.perf_counter()
        client.send("/ev/thread:1", "Accept: text/event-stream", CANDIDATE)
        assert client.sock.recv(1)
        return page, time.perf_counter() - began


@pytest.mark.parametrize("mirror", ["ours", "naive"])
def test_the_first_byte_comes_as_without_a_mirror_and_behind_a_naive_one_waits_for_the_dark_instance(
    mirror: str, make_split: Callable, origin: Callable
) -> None:
    production, dark = origin(), origin()
    production.hang_s, dark.hang_s = PRODUCTION_S, DARK_S
    split = make_split(production.address, mirror_timeout_ms=1_000)
    if mirror == "naive":
        split.start(naive=dark.address)
        page, stream = first_bytes(split)
        assert min(page, stream) > DARK_S / 2 > FACTOR * PRODUCTION_S
        return
    split.start_relay(dark.address)
    split.start()
    alone, mirrored = [], []
    for _ in range(TURNS):
        levels.kill(split.folder)
        alone.append(first_bytes(split))
        levels.resume(split.folder)
        mirrored.append(first_bytes(split))
    for before, since in zip(zip(*alone, strict=True), zip(*mirrored, strict=True), strict=True):
        assert min(since) < FACTOR * min(before)
    wait_until(lambda: dark.asked["GET /ev/thread:1"] == TURNS, what="the copy of each stream")
    assert dark.asked["GET /page/2"] == TURNS
