"""Turns: whatever comes in whatever order, each user has one request in hand, in order, and every one comes out once."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.turns import Turns

USERS = "abcd"
steps = st.lists(
    st.one_of(
        st.tuples(st.just("due"), st.sampled_from(USERS)),
        st.tuples(st.just("connection"), st.none()),
        st.tuples(st.just("reply"), st.sampled_from(USERS)),
        st.tuples(st.just("overdue"), st.integers(0, 60)),
    ),
    max_size=80,
)


@given(steps)
def test_they_agree_with_a_plain_model(told):
    turns, free = Turns(), 0
    in_hand, sent, queued, lost = {}, defaultdict(list), [], set()
    for number, (what, which) in enumerate(told):
        if what == "due":
            if turns.is_free(which) and free:
                assert which not in in_hand
                assert not any(user == which for user, _ in queued)
                free -= 1
                turns.begin(which)
                in_hand[which] = number
                sent[which].append(number)
            else:
                turns.wait(which, float(number), number)
                queued.append((which, number))
        elif what == "overdue":
            gone = turns.overdue(float(which))
            assert {one for _, one in gone} == {one for _, one in queued if one < which}
            lost |= {one for _, one in gone}
            queued = [pair for pair in queued if pair[1] >= which]
        elif what == "reply":
            if which in in_hand:
                del in_hand[which]
                turns.end(which)
                free += 1
        else:
            free += 1
        while free and (user := turns.first()) is not None:
            assert user not in in_hand, "one at a time"
            planned, one = turns.take(user)
            assert planned == one == next(number for other, number in queued if other == user), "in order"
            queued.remove((user, one))
            free -= 1
            turns.begin(user)
            in_hand[user] = one
            sent[user].append(one)
        assert turns.waiting == len(queued)
        # Nobody waits for a connection while one is free, unless something of his is in hand.
        assert not free or all(user in in_hand for user, _ in queued)
    due = [number for number, (what, _) in enumerate(told) if what == "due"]
    out = [number for user in USERS for number in sent[user]]
    assert sorted([*out, *lost, *(number for _, number in queued)]) == due
    assert all(order == sorted(order) for order in sent.values())
    assert turns.clear() == len(queued)
    assert turns.first() is None


def test_who_has_waited_longest_for_a_connection_has_it_first():
    turns = Turns()
    for number, user in enumerate("aab"):
        turns.wait(user, 0.0, number)
    assert turns.first() == "a"
    assert turns.take("a") == (0.0, 0)
    turns.begin("a")
    assert turns.first() == "b"
    turns.end("a")
    assert turns.first() == "b", "a stands behind now"
    assert turns.take("b") == (0.0, 2)
    turns.begin("b")
    assert turns.first() == "a"
