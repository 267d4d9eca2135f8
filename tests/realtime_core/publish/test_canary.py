"""The canary against a real push server: it says what was seen, and holds no more than it may."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import gevent
import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.free_ports import free_port
from realtime_core.publish import Box, Canary, event_of
from tests.support.cutting import Cutter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_core.publish import Event
    from realtime_core.stack import Push, Stack


@pytest.fixture
def push(stack: Stack) -> Push:
    return stack.push("push")


@pytest.fixture
def canary(push: Push) -> Iterator[Canary]:
    canary = Canary(f"{push.url}/ev/", wait_s=0.5, channels=3)
    yield canary
    canary.close()


@pytest.fixture
def between(push: Push) -> Iterator[Cutter]:
    """A proxy between canary and push server."""
    url = urlsplit(push.url)
    assert url.hostname is not None
    assert url.port is not None
    cutter = Cutter((url.hostname, url.port))
    yield cutter
    cutter.close()


def events(*channels: str, number: int = 1) -> list[Event]:
    return event_of([(channel, f"e-{number}") for channel in channels], 1.5, {"data": {}})


def test_what_was_published_is_seen_and_what_was_not_is_not_seen(push: Push, canary: Canary) -> None:
    box = Box("push", push.url)
    both = events("a", "b")
    canary.expect(both)
    assert all(outcome.accepted for outcome in box.publish(both[:1]))
    started = time.monotonic()
    assert canary.seen(both) == [True, False]
    assert 0.4 < time.monotonic() - started < 2
    assert (canary.seen_total, canary.unseen_total) == (1, 1)
    box.close()


def test_it_does_not_wait_longer_than_until_all_are_seen(push: Push, canary: Canary) -> None:
    box = Box("push", push.url)
    for number in range(1, 6):
        some = events("a", "b", number=number)
        canary.expect(some)
        box.publish(some)
        started = time.monotonic()
        assert canary.seen(some) == [True, True]
        assert time.monotonic() - started < 0.4
    box.close()


def test_it_holds_no_more_channels_than_it_may_and_lets_go_of_the_one_not_asked_about_for_longest(
    push: Push, canary: Canary
) -> None:
    box = Box("push", push.url)
    for channel in "abcd":
        some = events(channel)
        canary.expect(some)
        box.publish(some)
        assert canary.seen(some) == [True]
    assert list(canary._subscriptions) == ["b", "c", "d"]
    five = events("v", "w", "x", "y", "z", number=2)
    canary.expect(five)
    box.publish(five)
    assert sum(canary.seen(five)) == 3, "the others cannot be listened to, and nobody says they were seen"
    assert len(canary._subscriptions) == 3
    box.close()


def test_what_it_no_longer_expects_takes_no_room(canary: Canary) -> None:
    some = events("a")
    canary.expect(some)
    canary.forget(some)
    canary.saw("a", "e-1")
    canary.saw("a", "e-2")
    assert canary._awaited == {}


def test_hands_that_need_more_channels_than_there_may_be_take_turns_and_all_of_theirs_is_seen(
    push: Push, canary: Canary
) -> None:
    held = 0

    def hand(name: str) -> list[bool]:
        nonlocal held
        box, found = Box("push", push.url), []
        for number in range(1, 6):
            some = events(f"{name}-{number}", f"{name}-{number + 1}", number=number)
            canary.expect(some)
            held = max(held, len(canary._subscriptions))
            box.publish(some)
            found += canary.seen(some)
        box.close()
        return found

    hands = [gevent.spawn(hand, name) for name in "abcd"]
    gevent.joinall(hands, timeout=20, raise_error=True)
    assert [one.value for one in hands] == [[True] * 10] * 4
    assert held == 3
    assert canary._awaited == {}


def test_a_subscription_that_is_half_open_is_replaced_once_it_did_not_bring_what_was_waited_for(
    push: Push, between: Cutter
) -> None:
    canary, box = Canary(f"http://127.0.0.1:{between.port}/ev/", wait_s=0.5), Box("push", push.url)

    def seen(number: int) -> list[bool]:
        some = events("a", "b", number=number)
        canary.expect(some)
        box.publish(some)
        return canary.seen(some)

    assert seen(1) == [True, True]
    between.forget_connections()
    assert seen(2) == [False, False]
    assert seen(3) == [True, True]
    canary.close()
    box.close()


def test_a_subscription_that_was_silent_for_longer_than_two_pings_is_opened_anew_before_it_is_relied_on(
    push: Push, between: Cutter, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary, box = Canary(f"http://127.0.0.1:{between.port}/ev/", wait_s=0.5), Box("push", push.url)
    for number in (1, 2):
        some = events("a", number=number)
        canary.expect(some)
        box.publish(some)
        assert canary.seen(some) == [True]
        between.forget_connections()
        monkeypatch.setattr("realtime_core.publish.canary.SILENT_S", 0.0)
    canary.close()
    box.close()


def test_a_stream_that_brings_other_events_is_kept_though_one_was_not_seen(push: Push, canary: Canary) -> None:
    box = Box("push", push.url)
    lost, other = events("a", number=1), events("a", number=2)
    canary.expect(lost)
    before = canary._subscriptions["a"]
    box.publish(other)
    assert canary.seen(lost) == [False]
    assert canary._subscriptions["a"] is before
    box.close()


def test_two_batches_that_wait_for_the_same_event_both_see_it_whichever_ends_first(push: Push, canary: Canary) -> None:
    box = Box("push", push.url)
    first, again = events("a"), events("a")
    canary.expect(first)
    canary.expect(again)
    canary.forget(first)
    box.publish(again)
    assert canary.seen(again) == [True]
    assert canary._awaited == {}
    box.close()


def test_where_nobody_listens_it_says_so_at_once() -> None:
    canary = Canary(f"http://127.0.0.1:{free_port()}/ev/", wait_s=10, connect_s=10)
    some = events("a")
    started = time.monotonic()
    canary.expect(some)
    assert canary.seen(some) == [False]
    assert time.monotonic() - started < 2
    canary.close()


@pytest.mark.parametrize("url", ["ftp://h/", "h:80", "http://", "http://h/ a"])
def test_a_url_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Canary(url)
