from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import ConfigurationError, StartFailed

if TYPE_CHECKING:
    from redis import Redis

    from realtime_core.stack import Push, Stack, Valkey


def publish(push: Push, channel: str, event_id: str) -> dict[str, object]:
    connection = HTTPConnection(push.host, push.port, timeout=5.0)
    try:
        connection.request("POST", f"/pub?id={channel}", body="hello", headers={"Event-Id": event_id})
        answer: dict[str, object] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def test_a_push_server_takes_a_free_port_and_says_which(stack: Stack) -> None:
    push = stack.push("production")
    assert push.port > 0
    assert push.url == f"http://127.0.0.1:{push.port}"
    assert publish(push, "forum.1", "1-1")["channel"] == "forum.1"
    assert push.service.stop() == 0


def test_a_push_server_whose_port_is_taken_is_refused_in_one_line(stack: Stack) -> None:
    first = stack.push("production")
    with pytest.raises(
        ConfigurationError, match=rf"dark cannot listen on 127\.0\.0\.1:{first.port}: .* taken by python"
    ):
        stack.push("dark", listen=(first.host, first.port))


def test_a_push_server_counts_into_the_ledger_that_it_is_given(
    stack: Stack, valkey: Valkey, redis_client: Redis, redis_name: str
) -> None:
    push = stack.push(
        "dark",
        ledger=valkey.url,
        ledger_name=redis_name,
        hop_in="pipeline>dark",
        hop_out="dark>relay",
        owner="push:dark",
    )
    publish(push, "forum.1", "1-1")
    assert push.service.stop() == 0
    assert list(redis_client.scan_iter(match=f"led1:{{{redis_name}}}:*"))


def test_a_push_server_that_refuses_its_settings_shows_why(stack: Stack) -> None:
    with pytest.raises(StartFailed) as failure:
        stack.push("production", options=["--no-such-flag"])
    assert "--no-such-flag" in failure.value.log_tail
