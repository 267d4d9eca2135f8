"""``darktime split --stream-life``: no mirrored stream is held longer, and without it none is cut before the split ends."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

import pytest

from darktime.console.asked import stream_life
from darktime.errors import UsageError
from tests.darktime.console.test_split import ended, splitting
from tests.darktime.split.servers import Origin
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("flag", "life"), [("1", 1.0), (None, None)])
def test_a_stream_that_production_still_serves_is_held_as_long_as_was_said_and_has_expired_then(
    tmp_path: Path, flag: str | None, life: float | None
) -> None:
    production, dark = Origin(), Origin()
    words = ("--percent", "100", *(("--stream-life", flag) if flag else ("--ttl", "600")))
    try:
        with splitting(tmp_path, f"http://{production.address}", f"http://{dark.address}", *words) as (split, port):
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            link.request("GET", "/ev/thread:1", headers={"Cookie": "uid=u1", "Accept": "text/event-stream"})
            wait_until(lambda: dark.streams == production.streams == 1, timeout_s=10, what="both streams")
            state = tmp_path / "run" / "relay.json"
            if life is not None:
                wait_until(lambda: dark.streams == 0, timeout_s=10, what="the end of the dark one")
                wait_until(lambda: json.loads(state.read_text())["reasons"], what="its reason")
            assert production.streams == 1
            link.close()
            wait_until(lambda: production.streams == dark.streams == 0, timeout_s=10, what="the end of both")
            wait_until(lambda: json.loads(state.read_text())["waiting"] == 0, what="production's line")
            split.terminate()
            out, _ = split.communicate(timeout=20)
    finally:
        production.stop()
        dark.stop()
    copies = json.loads(out)["copies"]
    assert (copies["reasons"], copies["compared"]) == (({"expired": 1}, 0) if life else ({}, 1))


@pytest.mark.parametrize("life", ["0", "-1", "nan", "inf", "604801"])
def test_a_life_that_cannot_be_is_refused_before_anything_starts(tmp_path: Path, life: str) -> None:
    words = ("--production", "http://127.0.0.1:9", "--dark", "http://127.0.0.1:10", "--dark-state", "isolated")
    done = ended(tmp_path, *words, "--stream-life", life)
    assert done.returncode == 2
    assert f"--stream-life {float(life):g}: above 0, at most 604,800 seconds" in done.stderr


def test_where_nobody_says_streams_are_held_as_long_as_the_split_may_last() -> None:
    assert stream_life({"ttl": 604_800.0, "stream_life": None}) == stream_life({"ttl": 604_800.0}) == 604_800.0
    assert stream_life({"ttl": 604_800.0, "stream_life": 60.0}) == 60.0
    with pytest.raises(UsageError):
        stream_life({"ttl": 60.0, "stream_life": 0.0})
