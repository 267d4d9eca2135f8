"""A real split that records: what is in the file is what the dark instance gets, and each copy has one end in the ledger."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from darktime.split.commands import RECORDED, LedgerNames, relay_command
from darktime.split.record.reader import read
from realtime_core.ledger import balance
from realtime_core.ledger import read as read_ledger
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis import Redis

    from realtime_core.stack import Valkey


@pytest.fixture
def counting(valkey: Valkey, redis_client: Redis, redis_name: str) -> tuple[str, Redis, str]:
    """Where a ledger is kept: its URL, a client, a name of the test's own."""
    return valkey.url, redis_client, redis_name


def ask(split, count: int, first: int = 0) -> None:
    with split.client() as client:
        for number in range(first, first + count):
            head, _ = client.get(f"/page/{number}?token=geheim&id={number}", f"Cookie: uid=user-{number % 3}; s=geheim")
            assert b" 200 " in head


def test_a_recording_beside_a_split_killed_in_the_middle_has_all_that_was_written_and_says_what_was_answered(
    make_split: Callable, origin: Callable, tmp_path: Path
) -> None:
    production, dark = origin(), origin()
    path = tmp_path / "kept" / "r.jsonl.gz"
    split = make_split(production.address, allow_query=("id",))
    split.start_relay(dark.address, None, "--record", str(path), "--experiment", "e1", "--key", "cookie:uid")
    split.start()
    ask(split, 30)
    wait_until(lambda: (split.state().get("recording") or {}).get("answers") == 30, what="thirty answers in the file")
    wait_until(lambda: split.state()["compared"] == 30, what="thirty pairs")
    split.signal(signal.SIGKILL)
    ask(split, 3)  # production goes on
    found = read([path.read_bytes()])
    assert found.header is not None
    assert (found.header.experiment, found.header.key) == ("e1", "cookie:uid")
    assert (len(found.requests), len(found.answers), found.garbage, found.damage) == (30, 30, 0, "")
    assert len({one.user for one in found.requests}) == 3
    by_users = [one.user for one in found.requests]
    assert by_users == by_users[:3] * 10
    assert all(answer.status == 200 and answer.length for answer in found.answers.values())
    heads = {one.target: {name.lower(): value for name, value in one.headers} for one in found.requests}
    ours = {"x-darktime", "traceparent"}
    assert heads == {
        target: {name: value for name, value in head.items() if name not in ours}
        for target, head in zip(dark.targets, dark.heads, strict=True)
    }, "exactly what the dark instance got"
    assert "geheim" not in repr(found)
    assert "user-" not in repr(found)
    assert 0 <= found.requests[0].at < found.requests[-1].at < 60


# Its own files are small: only the recording meets the limit.
FULL_DISK = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.mark.parametrize(
    ("before", "extra", "stopped"),
    [
        ((), ("--record-requests", "20"), "it has its 20 requests"),
        ((sys.executable, "-c", FULL_DISK), (), "it cannot be written (File too large)"),
    ],
    ids=["limit", "full disk"],
)
def test_without_a_dark_instance_every_copy_is_in_the_file_or_has_a_reason_and_the_ledger_balances(  # noqa: PLR0917
    make_split: Callable, origin: Callable, counting: tuple, before: tuple, extra: tuple, stopped: str
) -> None:
    production, (url, redis_client, redis_name) = origin(), counting
    split = make_split(production.address, methods=("GET", "HEAD"))
    path = split.folder / "kept" / "r.jsonl"
    ledger = LedgerNames(url=url, name=redis_name, hop_compared=RECORDED)
    command = relay_command(
        split.settings, split.folder, dark=None, state=split.state_path, pairs=split.pairs_path, ledger=ledger
    )
    argv = [*before, *command.argv, "--record", str(path), *extra]
    split.relay = split.stack.start("relay", argv, ready=command.ready_line or "")
    split.start()
    ask(split, 25)
    wait_until(lambda: split.state().get("recording", {}).get("stopped") == stopped, what="the end of the recording")

    def through() -> bool:
        state = split.state()
        left = state["reasons"].get("relay_full", 0)
        return state["recorded"] + left == 25 == state["offered"] and not state["waiting"]

    wait_until(through, what="every copy's end")
    state = split.state()
    kept = state["recorded"]
    assert (state["received"], state["compared"], state["reasons"]) == (25, 0, {"relay_full": 25 - kept})
    assert 0 < kept < 25
    split.relay.stop()
    found = read([path.read_bytes()])
    assert (len(found.requests), found.garbage, found.cut) == (kept, 0, False)
    hops = {one.hop: one for one in balance(read_ledger(redis_client, redis_name))}
    recorded = hops[RECORDED]
    assert recorded.balanced
    assert (recorded.sent, recorded.received, dict(recorded.explained)) == (25, kept, {"relay_full": 25 - kept})
    assert hops["mirror>relay"].balanced
    assert production.asked.total() == 25, "nothing was sent anywhere else"


def test_a_relay_without_dark_instance_and_recording_is_refused(make_split: Callable, origin: Callable) -> None:

    split = make_split(origin().address)
    command = relay_command(split.settings, split.folder, dark=None, state=split.state_path, pairs=split.pairs_path)
    done = subprocess.run(command.argv, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert "copies would go nowhere" in done.stderr
