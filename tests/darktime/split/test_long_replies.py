"""A reply may take as long as production's does, at a long poll say, and does not keep others from the dark instance."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from darktime.split.relay.channels import OTHER, Channels
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = {"reply_s": 0.5, "lasting_after_s": 0.1, "connections": 2, "lasting": 3}


def test_a_reply_is_waited_for_as_long_as_production_is_and_others_pass_it_by(
    own_relay: Callable, origin: Callable
) -> None:
    dark = origin()
    dark.hang_s, dark.hang_on = 1.2, "/poll"
    relay = own_relay(dark.address, **QUICK, line_wait_s=0.5)
    for number in range(3):
        relay.copy(number, "/poll")
    wait_until(lambda: relay.state["lasting"] == 3, what="three that last")
    relay.copy(7, "/page")
    relay.line(7)
    wait_until(lambda: relay.state["compared"] == 1, what="one that passes them by")
    assert relay.state["lasting"] == 3
    wait_until(lambda: dark.asked["GET /poll"] == 3 and relay.state["in_flight"] == 0, what="three answers")
    for number in range(3):
        relay.line(number)
    wait_until(lambda: relay.state["compared"] == 4, what="four pairs")
    assert relay.state["reasons"] == {}


def test_when_production_has_ended_a_reply_has_its_usual_time_from_then_on(
    own_relay: Callable, origin: Callable
) -> None:
    dark = origin()
    dark.hang_s = 20
    relay = own_relay(dark.address, **QUICK)
    relay.copy(1, "/poll")
    relay.copy(2, "/left")
    began = time.monotonic()
    wait_until(lambda: relay.state["lasting"] == 2, what="two that last")
    wait_until(lambda: time.monotonic() - began > QUICK["reply_s"] + 0.2, what="more than a reply's time")
    assert relay.state["in_flight"] == 2
    relay.line(1)
    relay.line(2, status="499")
    ended = time.monotonic()
    wait_until(lambda: relay.state["reasons"].get("client_abort") == 1, what="the one whose client left")
    wait_until(lambda: relay.state["reasons"].get("dark_timeout") == 1, what="the timeout")
    assert 0.4 < time.monotonic() - ended < 1.5
    assert (relay.state["in_flight"], relay.state["lasting"]) == (0, 0)


def test_of_replies_that_last_so_many_are_waited_for_and_no_more(own_relay: Callable, origin: Callable) -> None:
    dark = origin()
    dark.hang_s = 20
    relay = own_relay(dark.address, **QUICK)
    for number in range(5):
        relay.copy(number, "/poll")
    wait_until(lambda: relay.state["lasting"] == 3 and relay.state["in_flight"] == 5, what="three and two")
    wait_until(lambda: relay.state["reasons"] == {"relay_full": 2}, what="two that found no room")
    assert relay.state["lasting"] == relay.state["in_flight"] == 3
    assert relay.state["breaker"] is None, "that is no fault of the dark instance"


def test_a_reply_that_lasts_has_an_end_though_production_s_line_never_comes(
    own_relay: Callable, origin: Callable
) -> None:
    dark = origin()
    dark.hang_s = 20
    relay = own_relay(dark.address, **QUICK, stream_life_s=0.8)
    relay.copy(1, "/poll")
    wait_until(lambda: relay.state["lasting"] == 1, what="one that lasts")
    wait_until(lambda: sum(relay.state["reasons"].values()) == 1, what="its end")
    assert relay.state["reasons"] == {"expired": 1}, "both sides were at it still"
    assert (relay.state["in_flight"], relay.state["lasting"]) == (0, 0)


@given(st.lists(st.sampled_from(["a", "b", "c", "d", OTHER, "x y", "", "\n"]), max_size=60))
def test_channels_are_bounded_and_their_sum_is_all_events(names: list[str]) -> None:
    channels = Channels(2)
    for name in names:
        channels.count(name)
    assert sum(channels.counts.values()) == len(names)
    assert len(set(channels.counts) - {OTHER}) <= 2
    kept = set(channels.counts) - {OTHER}
    assert all(channels.counts[name] == names.count(name) for name in kept)
