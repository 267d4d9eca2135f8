"""Who asks production: the lines of requests that are not copied, what they are counted as, and whether the key serves."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.census import too_few
from darktime.split.log_format import LOG_FORMAT, OTHER_FORMAT, LogLine, OtherLine, read_line
from darktime.split.population import LONGEST_STEP, Population, ms_of, step_of
from darktime.split.sampling import BUCKETS, control_buckets

SECRET = "s" * 16


def other(part="c010", **given):
    told = {
        "census": False,
        "keyed": "valid",
        "status": 200,
        "content_type": "text/html",
        "took": 0.02,
        "seconds": 0.01,
    }
    return OtherLine(part=part, **{**told, **given})


def copied(part="b001", **given):
    told = {"id": "0" * 32, "at": 1.0, "status": 200, "took": 0.02, "seconds": 0.01}
    return LogLine(part=part, **{**told, **given})


def written(form, **values):
    """A line as nginx writes it: each variable's value in its place, "-" where there is none."""
    fields = json.loads(form.replace("SECRET", SECRET))
    return b"<190>x dt: " + json.dumps({
        name: values.get(value[1:], "-") if isinstance(value, str) and value.startswith("$") else value
        for name, value in fields.items()
    }).encode()  # fmt: skip


def test_the_line_of_a_request_that_is_not_copied_says_whose_bucket_and_whether_it_has_a_key():
    line = written(
        OTHER_FORMAT, darktime_drawn="c050", darktime_census="1", darktime_keyed="unusable", status="502",
        sent_http_content_type="Text/HTML; charset=utf-8", request_time="0.021", upstream_response_time="0.001, 0.020",
    )  # fmt: skip
    assert read_line(line, SECRET) == OtherLine(
        part="c050", census=True, keyed="unusable", status=502, content_type="text/html", took=0.021, seconds=0.020
    )
    assert read_line(line, "t" * 16) is None


def test_the_line_of_a_copied_request_has_its_bucket_too():
    line = written(
        LOG_FORMAT, request_id="a" * 32, darktime_at="1.5", status="200", request_time="0.030", darktime_drawn="b049",
        darktime_census="1", upstream_response_time="0.020",
    )  # fmt: skip
    found = read_line(line, SECRET)
    assert isinstance(found, LogLine)
    assert (found.part, found.census, found.took, found.seconds) == ("b049", True, 0.030, 0.020)


@given(st.binary(max_size=300), st.sampled_from([b"", b'{"v":1,"k":"ssssssssssssssss","other":1,']))
def test_a_line_that_is_none_is_none_and_raises_nothing(data, head):
    assert read_line(head + data, SECRET) is None or head


@given(
    st.dictionaries(st.sampled_from(["part", "census", "keyed", "status", "type", "took", "up"]), st.text(max_size=9))
)
def test_whatever_stands_in_the_fields_the_bucket_and_the_key_are_of_a_closed_list(fields):
    found = read_line(json.dumps({"v": 1, "k": SECRET, "other": 1, **fields}).encode(), SECRET)
    assert isinstance(found, OtherLine)
    assert found.part == "" or found.part[0] in "bc"
    assert found.keyed in ("valid", "unusable", "none")


@given(st.floats(0, 10_000), st.floats(0, 10_000))
def test_steps_are_in_order_and_a_fifth_of_an_octave_wide(one, another):
    low, high = sorted((one, another))
    assert 0 <= step_of(low) <= step_of(high) <= LONGEST_STEP
    if 0.001 <= one < 900:
        assert one * 1000 <= ms_of(step_of(one)) * (1 + 1e-9)
        assert ms_of(step_of(one)) <= one * 1000 * 2 ** (1 / 5) * (1 + 1e-9)


def test_the_two_groups_and_the_census_are_counted_apart():
    people = Population()
    for line in (copied(), copied(census=True), copied(sink=True), other(), other(part="", census=True, keyed="none")):
        people.add(line)
    assert people.copied["b001"].requests == 2
    assert people.others["c010"].requests == 1
    assert people.keyed == {"valid": 1, "none": 1, "unusable": 0}


@pytest.mark.parametrize(
    "given",
    [{"content_type": "text/event-stream"}, {"status": 101}, {"status": 499}, {"seconds": None}, {"took": None}],
    ids=["a stream", "an upgrade", "given up", "not asked", "no time"],
)
def test_a_request_whose_time_says_nothing_of_production_is_in_no_bucket(given):
    people = Population()
    people.add(other(**given))
    people.add(copied(**given))
    assert not people.others
    assert not people.copied


LINES = st.lists(
    st.builds(
        other, st.sampled_from(["b900", "c001", "c002"]), status=st.sampled_from([200, 500]), seconds=st.floats(0, 5),
        census=st.booleans(),
    ),
    max_size=30,
)  # fmt: skip


@given(LINES, LINES)
def test_what_came_between_two_moments_is_the_difference_and_nothing_is_lost_when_it_is_saved(before, after):
    whole, then, only = Population(), Population(), Population()
    for line in before:
        whole.add(line)
        then.add(line)
    for line in after:
        whole.add(line)
        only.add(line)
    came = Population.from_dict(orjson.loads(orjson.dumps(whole.to_dict(), option=orjson.OPT_NON_STR_KEYS))).since(then)
    assert came.keyed == only.keyed
    alive = {name: bucket for name, bucket in came.others.items() if bucket.requests}
    assert alive == only.others


@given(st.integers(0, BUCKETS))
def test_the_control_group_is_a_quarter_of_the_other_and_apart_from_it_as_far_as_there_is_room(limit):
    control = control_buckets(limit)
    assert len(control) == min(max(limit // 4, 10), 100)
    assert control.stop <= BUCKETS
    assert control.start == limit or (limit > 900 and control.start == 900)


@pytest.mark.parametrize(
    ("valid", "unusable", "none", "ends"),
    [
        (0, 0, 0, False),
        (0, 0, 458, False),
        (0, 0, 459, True),
        (3, 0, 1997, True),
        (15, 0, 985, False),
        (30, 0, 970, False),
    ],
)
def test_a_key_that_fewer_than_a_hundredth_carry_ends_the_run_once_that_is_sure(valid, unusable, none, ends):
    assert (too_few({"valid": valid, "unusable": unusable, "none": none}, "cookie:uid") is not None) is ends


def test_what_was_seen_instead_of_a_key_is_said():
    said = too_few({"valid": 1, "unusable": 250, "none": 2000}, "cookie:uid")
    assert "of 2,251 requests that were looked at, 1 carried cookie:uid; 250 carried one that is no user" in said
    assert "darktime plan --log" in said


@pytest.mark.parametrize("hostile", [b'{"a":' + b"[" * 60_000, b'{"v":1,"k":"' + b"x" * 60_000], ids=["deep", "long"])
def test_no_datagram_of_a_stranger_ends_who_reads_it(hostile):
    assert read_line(hostile, SECRET) is None


def test_a_number_that_is_none_is_no_number_and_a_type_that_is_no_text_can_be_written_down():
    line = json.dumps({
        "v": 1, "k": SECRET, "id": "a" * 32, "at": "1.5", "status": "200", "type": "x", "took": "9" * 400, "bytes": "9" * 400,
    }).encode().replace(b'"type": "x"', b'"type": "application/\xe9"')  # fmt: skip
    found = read_line(line, SECRET)
    assert found.took is None
    assert found.length == 0
    orjson.dumps(found.content_type)
