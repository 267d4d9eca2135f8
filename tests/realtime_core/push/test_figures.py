"""Statistics in the module's forms, and Prometheus' text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.realtime_core.push.client import Reader, ask, publish

if TYPE_CHECKING:
    from realtime_core.stack import Push

SUMMARY = [
    "hostname",
    "time",
    "channels",
    "wildcard_channels",
    "published_messages",
    "stored_messages",
    "messages_in_trash",
    "channels_in_delete",
    "channels_in_trash",
    "subscribers",
    "uptime",
    "by_worker",
]


def test_the_summary_has_the_modules_keys_in_order(push: Push) -> None:
    publish(push, "a", "x")
    with Reader(push, "a/b"):
        reply = ask(push, "GET", "/channels-stats")
    assert reply.headers["content-type"] == "application/json"
    assert reply.body.endswith(b"]}\r\n")
    summary = json.loads(reply.body)
    assert list(summary) == SUMMARY
    assert summary["by_worker"] == [{"pid": str(push.service.pid), "subscribers": 1, "uptime": summary["uptime"]}]
    counts = [summary[name] for name in ("channels", "published_messages", "stored_messages", "subscribers")]
    assert counts == [2, 1, 1, 1]


def test_groups_are_all_or_a_prefix_or_those_named(push: Push) -> None:
    assert json.loads(ask(push, "GET", "/channels-stats?id=ALL").body)["infos"] == []
    for channel in ("pre_a", "pre_b", "c"):
        publish(push, channel, "x")

    def channels(pattern: str) -> list[str]:
        group = json.loads(ask(push, "GET", f"/channels-stats?id={pattern}").body)
        assert list(group) == ["hostname", "time", "channels", "wildcard_channels", "uptime", "infos"]
        return [info["channel"] for info in group["infos"]]

    assert channels("ALL") == channels("*") == ["pre_a", "pre_b", "c"]
    assert channels("pre_*") == ["pre_a", "pre_b"]
    assert channels("none_*") == []
    assert channels("c/pre_a/absent") == ["c", "pre_a"]
    one = b'{"channel": "c", "published_messages": 1, "stored_messages": 1, "subscribers": 0}\r\n'
    assert ask(push, "GET", "/channels-stats?id=c").body == one
    assert ask(push, "GET", "/channels-stats?id=c/absent").body == one
    assert ask(push, "GET", "/channels-stats?id=absent").status == 404
    assert ask(push, "GET", "/channels-stats?id=absent/gone").status == 404


def test_who_accepts_plain_text_gets_it(push: Push) -> None:
    publish(push, "a", "x")
    reply = ask(push, "GET", "/channels-stats?id=a", Accept="text/plain")
    assert reply.headers["content-type"] == "text/plain"
    assert reply.body == b"channel: a\r\npublished_messages: 1\r\nstored_messages: 1\r\nactive_subscribers: 0\r\n"
    summary = ask(push, "GET", "/channels-stats", Accept="text/plain").body.decode()
    assert [line.split(":")[0] for line in summary.split("\r\n")[:-1]] == [
        *SUMMARY,
        "  pid",
        "  subscribers",
        "  uptime",
    ]
    assert "infos:\r\nchannel: a\r\n" in ask(push, "GET", "/channels-stats?id=ALL", Accept="text/plain").body.decode()


def test_metrics_are_read_by_prometheus_own_parser_and_add_up(push: Push) -> None:
    with Reader(push, "a") as reader:
        for _ in range(3):
            publish(push, "a", "x")
        ask(push, "POST", "/pub?id=ALL", b"x")
        reader.until(b"data: x\n\ndata: x\n\ndata: x\n\n")
        text = ask(push, "GET", "/metrics").body.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["realtime_push_published_total",] == 3
    assert values["realtime_push_deliveries_total",] == 3
    assert values["realtime_push_subscribers",] == values["realtime_push_channels",] == 1
    assert values["realtime_push_requests_total", "pub", "200"] == 3
    assert values["realtime_push_requests_total", "pub", "403"] == 1
    assert 1 <= values["realtime_push_fanout_seconds_count",] <= 3
    assert families["realtime_push_fanout_seconds"].type == "histogram"
    assert all(family.documentation for family in families.values() if family.name.startswith("realtime_"))
