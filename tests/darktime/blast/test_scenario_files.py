"""What scenarios read from files: lists of requests, access logs, curves of rates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.access_log import Listed, Recorded, read_list, read_log
from darktime.blast.curve_file import parse_curve, stretched
from darktime.blast.plan import Plan
from darktime.errors import UsageError

COMBINED = '203.0.113.7 - ann [13/Mar/2013:19:06:{:02d} +0100] "{} {} HTTP/1.1" 200 512 "-" "browser"'


def test_a_list_holds_methods_paths_and_what_stands_behind_them():
    text = '# a comment\n\nGET /a?b=c\n  POST /d {"e": "f g"}  \n'
    assert read_list(text) == [
        Listed(method="GET", path="/a?b=c"),
        Listed(method="POST", path="/d", body='{"e": "f g"}'),
    ]


def test_headers_stand_indented_below_their_request():
    text = "GET /a\n  Cookie: uid=${uid}; b=c\n\tX-Empty:\n# between\n  Accept: */*\nGET /b\n"
    assert read_list(text) == [
        Listed(method="GET", path="/a", headers=(("Cookie", "uid=${uid}; b=c"), ("X-Empty", ""), ("Accept", "*/*"))),
        Listed(method="GET", path="/b"),
    ]


def test_a_header_that_would_cut_the_body_off_is_refused():
    with pytest.raises(ValueError, match="line 2: Content-Length follows from the body"):
        read_list("POST /a x\n  Content-Length: 99\n")


@pytest.mark.parametrize("line", ["get /", "GET index", "GET", "GET /a\x01b", "GET http://other/"])
def test_a_line_that_is_no_request_is_named(line):
    with pytest.raises(ValueError, match="line 2"):
        read_list(f"GET /\n{line}\n")


def test_what_a_log_holds_of_one_second_is_spread_evenly_over_it():
    lines = [COMBINED.format(59, "GET", f"/{at}") for at in range(4)]
    lines.insert(2, COMBINED.format(58, "GET", "/first"))  # servers log when they end: not quite in order
    found, left_out = read_log("\n".join(lines))
    assert [(one.at_s, one.path) for one in found] == [
        *((0, "/first"), (1, "/0"), (1.25, "/1")),
        *((1.5, "/2"), (1.75, "/3")),
    ]
    assert left_out == 0


def test_what_changes_something_or_cannot_be_read_is_left_out_and_counted():
    text = "\n".join(
        [
            COMBINED.format(1, "POST", "/buy"),
            COMBINED.format(2, "GET", "http://elsewhere/"),
            COMBINED.replace("13/Mar", "31/Feb").format(3, "GET", "/"),
            '203.0.113.7 - - [nonsense] "GET / HTTP/1.1" 200 5',
            "0.5 DELETE /a",
            "\x16\x03\x01",
            COMBINED.format(4, "HEAD", "/a"),
        ]
    )
    found, left_out = read_log(text)
    assert found == [Recorded(at_s=0, method="HEAD", path="/a")]
    assert left_out == 6
    assert [one.method for one in read_log(text, ["POST"])[0]] == ["POST"]


def test_a_log_without_a_request_is_refused():
    with pytest.raises(ValueError, match="none of its 1 lines"):
        read_log("hello\n")


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(["GET", "HEAD", "POST"])), min_size=1))
def test_every_line_is_replayed_or_counted_as_left_out_and_times_never_fall(rows):
    text = "\n".join(f"{at / 100:.2f} {method} /{number}" for number, (at, method) in enumerate(rows))
    wanted = sum(method != "POST" for _, method in rows)
    if not wanted:
        with pytest.raises(ValueError, match="none"):
            read_log(text)
        return
    found, left_out = read_log(text)
    assert (len(found), left_out) == (wanted, len(rows) - wanted)
    times = [one.at_s for one in found]
    assert times[0] == 0
    assert times == sorted(times)


@given(st.text())
def test_no_text_breaks_a_reader(text):
    for read in (read_list, read_log, parse_curve):
        try:
            read(text)
        except ValueError:
            continue


def test_a_faster_curve_keeps_its_rates():
    curve = parse_curve("# s, rate\n0,10\n60,200\n")
    assert stretched(curve, speed=10, scale=2) == ((0, 20), (6, 400))
    with pytest.raises(UsageError, match="above 0"):
        stretched(curve, speed=0, scale=1)
    with pytest.raises(ValueError, match="line 1"):
        parse_curve("0;10")


def test_a_peak_is_what_any_one_second_holds():
    assert Plan(stage="", duration_s=9, points=((0, 1), (3, 50), (9, 2))).peak_rate_per_s() == 50
    assert Plan(stage="", duration_s=9, times_s=(0, 1.5, 1.9, 2.2, 7)).peak_rate_per_s() == 3
    assert Plan(stage="", duration_s=9, rate_per_s=7).peak_rate_per_s() == 7
