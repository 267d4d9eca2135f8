"""Channels: every bound holds, whatever is published; nothing is kept for longer than it may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime_core.push.channels import INACTIVITY_S, Channel, Channels
from realtime_core.push.settings import Settings
from realtime_core.push.wire_format import Event


def event(payload: bytes = b"x", event_id: bytes | None = None) -> Event:
    return Event(None, 0.0, event_id, payload)


def stored(channel: Channel[str]) -> list[bytes]:
    return [one.event.payload for one in channel.stored]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.integers(0, 5)), max_size=40),
    st.integers(1, 6),
    st.integers(20, 60),
    st.integers(40, 120),
)
def test_stores_stay_within_count_bytes_and_time(
    steps: list[tuple[str, int, int]], count: int, channel_bytes: int, all_bytes: int
) -> None:
    settings = Settings(store=count, store_channel_bytes=channel_bytes, store_bytes=all_bytes, store_ttl_s=10.0)
    channels: Channels[str] = Channels(settings)
    now = 0.0
    for name, size, passed in steps:
        now += passed
        channel = channels.open(name, now)
        channels.publish(channel, event(b"y" * size), now)
        found = channels.beginning_with("", now)
        assert channels.stored_messages == sum(len(one.stored) for one in found)
        assert channels.stored_bytes == sum(len(payload) for one in found for payload in stored(one)) <= all_bytes
        for one in found:
            assert len(one.stored) <= count
            assert one.stored_bytes == sum(map(len, stored(one))) <= channel_bytes
            assert all(kept.until > now for kept in one.stored)
    channels.sweep(now + 1000)
    assert (len(channels), channels.stored_messages, channels.stored_bytes) == (0, 0, 0)


def test_replay_is_by_backtrack_first_then_by_the_first_message_with_the_id() -> None:
    channels: Channels[str] = Channels(Settings(store=10))
    channel = channels.open("a", 0.0)
    for payload, event_id in ((b"1", b"e1"), (b"2", b"e2"), (b"3", None), (b"4", b"e2"), (b"5", b"e3")):
        channels.publish(channel, event(payload, event_id), 0.0)

    def replayed(backtrack: int | None, last: bytes | None) -> list[bytes]:
        return [one.payload for one in channels.replay(channel, backtrack, last)]

    assert replayed(2, b"e1") == [b"4", b"5"]
    assert replayed(0, b"e1") == []
    assert replayed(99, None) == [b"1", b"2", b"3", b"4", b"5"]
    assert replayed(None, b"e2") == [b"3", b"4", b"5"]
    assert replayed(None, b"e3") == []
    assert replayed(None, b"e0") == []
    assert replayed(None, None) == []
    assert replayed(None, b"") == []


def test_without_a_store_nothing_is_kept_and_an_unused_channel_goes() -> None:
    channels: Channels[str] = Channels(Settings())
    channels.publish(channels.open("a", 0.0), event(), 0.0)
    channels.open("b", 0.0).subscribers["someone"] = 0
    assert channels.stored_messages == 0
    channels.sweep(INACTIVITY_S - 1)
    assert len(channels) == 2
    channels.sweep(INACTIVITY_S + 1)
    assert [channel.id for channel in channels.beginning_with("", 0.0)] == ["b"]
    channels.leave(channels.open("b", 100.0), "someone", 100.0)
    channels.sweep(100.0 + INACTIVITY_S + 1)
    assert len(channels) == 0


def test_what_waits_is_taken_in_order_and_in_portions() -> None:
    channels: Channels[str] = Channels(Settings())
    channel = channels.open("a", 0.0)
    channels.publish(channel, event(b"nobody"), 0.0)
    channel.subscribers["someone"] = channel.published
    assert channels.publish(channel, event(b"one"), 0.0)
    assert not channels.publish(channel, event(b"two"), 0.0)
    assert not channels.publish(channel, event(b"much too long"), 0.0)
    assert channels.waiting_bytes == 19
    assert channels.take(channel, 6) == (1, [event(b"one"), event(b"two")])
    assert channels.take(channel, 6) == (3, [event(b"much too long")])
    assert channels.take(channel, 6) == (4, [])
    assert channels.waiting_bytes == 0


def test_nothing_waits_for_a_channel_that_everybody_left() -> None:
    channels: Channels[str] = Channels(Settings())
    channel = channels.open("a", 0.0)
    channel.subscribers["someone"] = 0
    channels.publish(channel, event(), 0.0)
    channels.leave(channel, "someone", 0.0)
    assert channels.waiting_bytes == 0
    assert channels.take(channel, 100) == (1, [])


def test_there_are_no_more_channels_than_may_be() -> None:
    channels: Channels[str] = Channels(Settings(max_channels=2))
    assert channels.room_for(["a", "b"])
    assert not channels.room_for(["a", "b", "c"])
    channels.open("a", 0.0)
    channels.open("b", 0.0)
    assert channels.room_for(["a", "b"])
    assert not channels.room_for(["c"])
