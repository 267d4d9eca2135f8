"""Objectives: read, written out, refused with a remedy."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.slo import DEFAULT, SHARES, TIMES, Slo, parse_slo
from darktime.errors import UsageError
from darktime.report.figures import slo_p99_ms

NUMBERS = st.decimals(min_value=1, max_value=90, places=3).map(str)
SIGNS = st.sampled_from(["<", "<=", " < ", " <= "])


@st.composite
def parts(draw):
    if draw(st.booleans()):
        name = draw(st.sampled_from(["", *(f"{time}_" for time in TIMES[1:])]))
        mark = draw(st.sampled_from(["p50", "p90", "p99", "p99.9", "max"]))
        return f"{name}{mark}{draw(SIGNS)}{draw(NUMBERS)}{draw(st.sampled_from(['us', 'ms', ' ms', 's']))}"
    name = draw(st.sampled_from(SHARES))
    return f"{name}{draw(st.one_of(st.just('=0'), st.tuples(SIGNS, NUMBERS).map(lambda pair: f'{pair[0]}{pair[1]}%')))}"


@given(st.lists(parts(), min_size=1, max_size=5, unique_by=lambda part: re.split("[<=]", part)[0].strip()))
def test_what_was_read_and_is_written_out_is_read_as_the_same(texts):
    slo = parse_slo(",".join(texts))
    assert parse_slo(str(slo)) == slo
    assert len(slo.thresholds) >= len(texts)


def test_the_default_is_what_it_was_and_what_reports_read():
    assert str(Slo()) == str(parse_slo(DEFAULT)) == "p99 < 200 ms, errors < 0.1 %"
    assert slo_p99_ms(str(Slo())) == 200


def test_several_limits_hold_at_once_in_the_units_they_were_named_in():
    slo = parse_slo("p50<=800us, p99<1.5s,max<3s,first_event_p99<500ms,lost=0,dup<0.5%,errors<1%")
    assert str(slo) == (
        "p50 <= 0.8 ms, p99 < 1500 ms, max < 3000 ms, first_event_p99 < 500 ms, lost = 0, dup < 0.5 %, errors < 1 %"
    )
    assert slo.limit_ms == 0.8
    assert (slo.requests_needed, Slo().requests_needed) == (600, 3000)
    assert slo.good_ms == 3000
    assert [str(one) for one in slo.only_for_streams] == ["first_event_p99 < 500 ms", "lost = 0", "dup < 0.5 %"]


def test_what_is_not_named_keeps_its_default_because_who_fails_fast_holds_nothing():
    assert str(parse_slo("p95<50ms")) == "p95 < 50 ms, errors < 0.1 %"
    assert str(parse_slo("errors<0.5%")) == "p99 < 200 ms, errors < 0.5 %"
    assert str(parse_slo("between_p99<50ms,errors<1%")) == "between_p99 < 50 ms, errors < 1 %"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "''"),
        ("p99<200", "'p99<200'"),
        ("p99>200ms", "'p99>200ms'"),
        ("p101<2ms", "101"),
        ("p0<2ms", "0"),
        ("max<1s,p100<2s", "second limit"),
        ("fast", "'fast'"),
        ("p99<200ms;errors<1%", "errors"),
        ("errors<0%", "= 0"),
        ("errors<100%", "100"),
        ("gaps=0", "gaps"),
        ("warm_p99<2ms", "warm"),
        ("errors<0.1%,p99<1s,p99<2s", "second limit"),
        ("p99<0.0001us", "1 us"),
        ("lost=1", "'lost=1'"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_is_allowed_and_an_example(text, part):
    with pytest.raises(UsageError) as refused:
        parse_slo(text)
    for words in (part, "Allowed:", "first_event", DEFAULT):
        assert words in str(refused.value)
