"""The field table: noise is not reported, a defect is, by name; masks hide nothing; several tables are as one."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

import pytest

from darktime.split.compare.answer import Answer, compare_contents, read_answer
from darktime.split.compare.difference import CHANGED, MISSING, FieldDifference, Found
from darktime.split.compare.field_table import MOST_FIELDS, FieldTable
from darktime.split.compare.finding import FieldFinding, shown
from darktime.split.compare.json_body import leaves
from darktime.split.compare.rules import Rules

NONE = Rules().about("GET", "/p")
RUNS = 400


def page(draw: random.Random, second: float, *, wrong: bool = False) -> bytes:
    """A page of a shop: a request id, a time in whole seconds, a list that is sometimes cut, a sum in floating point."""
    prices = [10.5, 20.25, 30.0][: 2 if draw.random() < 0.3 else 3]
    return json.dumps(
        {
            "request_id": str(uuid.UUID(int=draw.getrandbits(128))),
            "at": 1_764_000_000 + int(second),
            "items": [{"id": at, "price": price} for at, price in enumerate(prices)],
            "total": 60.75 * (1 + draw.choice((0, 1e-15, -1e-15))),
            "shipping": 5.0 if not wrong else 4.9,
        }
    ).encode()


def simulated(seed: int, count: int, *, wrong: float = 0.0, dark_later_s: float = 0.0) -> FieldTable:
    """``count`` requests, each answered three times; of the dark answers a share has a wrong price."""
    draw = random.Random(seed)
    table = FieldTable()
    for number in range(count):
        at = draw.random() * 1000
        bodies = (
            page(draw, at),
            page(draw, at + 0.002),
            page(draw, at + 0.002 + dark_later_s, wrong=draw.random() < wrong),
        )
        first, again, dark = (
            read_answer(Answer(status=200, content_type="application/json", body=body, length=len(body)), NONE)
            for body in bodies
        )
        table.look_at("/p", (path for path, _ in leaves(first.value)))
        raw, noise = compare_contents(first, dark, NONE), compare_contents(first, again, NONE)
        table.add("/p", f"{number:032x}", raw=raw, noise=noise)
    return table


def reported(table: FieldTable) -> list[str]:
    return [one.path for one in table.findings() if one.reported]


def test_of_400_runs_of_the_same_code_at_most_one_in_twenty_reports_a_field() -> None:
    alarms = sum(bool(reported(simulated(seed, 40))) for seed in range(RUNS))
    assert alarms <= RUNS // 20


def test_a_field_that_differs_at_any_rate_in_both_is_no_alarm_in_400_runs() -> None:
    """Rates between never and always are where chance could make one side look worse."""
    rates = {f"f{number}": rate for number, rate in enumerate((0.002, 0.01, 0.05, 0.2, 0.5, 0.8, 0.99))}
    made = {name: FieldDifference(path=name, kind=CHANGED, one=1, other=2) for name in rates}
    draw = random.Random(7)
    alarms = 0
    for _ in range(RUNS):
        table = FieldTable()
        for _ in range(150):
            raw, noise = (
                Found(differences=tuple(made[name] for name, rate in rates.items() if draw.random() < rate))
                for _ in range(2)
            )
            table.add("/p", "r", raw=raw, noise=noise)
        alarms += bool(reported(table))
    assert alarms <= RUNS // 20


def test_a_wrong_price_in_one_of_a_hundred_answers_is_reported_by_name_and_alone() -> None:
    found = [reported(simulated(seed, 3000, wrong=0.01)) for seed in range(3)]
    assert sum(one == ["shipping"] for one in found) >= 2
    assert all(one in ([], ["shipping"]) for one in found)
    table = simulated(1, 400, wrong=0.2)
    (finding,) = [one for one in table.findings() if one.reported]
    assert (finding.endpoint, finding.path, finding.kind, finding.noise, finding.total) == (
        "/p",
        "shipping",
        "changed",
        0,
        400,
    )
    assert {(one.today, one.dark) for one in finding.examples} == {("5", "4.9")}
    assert len({one.request_id for one in finding.examples}) == 3


def test_a_clock_that_the_dark_side_reads_later_is_masked_and_listed_with_its_counts() -> None:
    """In whole seconds an answer that comes 0.4 s later differs 200 times as often as one that comes 2 ms later."""
    table = simulated(3, 1500, dark_later_s=0.4)
    assert reported(table) == []
    at = next(one for one in table.findings() if one.path == "at")
    assert at.masked.startswith("timestamp")
    assert 0 < at.noise < 20
    assert at.raw > 400
    assert {one.path: one.value_class for one in table.findings() if one.masked} == {
        "at": "timestamp",
        "request_id": "uuid",
        "total": "float",
    }


def rows(*kinds: tuple[int, int, Any, Any], total: int = 1000, kind: str = CHANGED) -> FieldFinding:
    """The finding of a field that differed so often (raw, noise) with such values."""
    table = FieldTable()
    for number in range(total):
        sides: list[list[FieldDifference]] = [[], []]
        for raw, noise, one, other in kinds:
            for side, times in zip(sides, (raw, noise), strict=True):
                if number < times and not side:
                    side.append(FieldDifference(path="f", kind=kind, one=one, other=other))
        table.add(
            "/p", f"{number:032x}", raw=Found(differences=tuple(sides[0])), noise=Found(differences=tuple(sides[1]))
        )
    (finding,) = table.findings()
    return finding


UUIDS = [str(uuid.UUID(int=number)) for number in (1, 2)]


@pytest.mark.parametrize(
    ("seen", "masked"),
    [
        ((1000, 1000, *UUIDS), True),
        ((1000, 0, *UUIDS), False),
        ((1000, 3, *UUIDS), False),  # today's code keeps its id, the new one draws another each time
        ((900, 3, "2026-11-25T10:00:01Z", "2026-11-25T10:00:03Z"), True),
        ((900, 0, "2026-11-25T10:00:01Z", "2026-11-25T10:00:03Z"), False),
        ((900, 3, "2026-11-25T10:00:01Z", "2026-11-25T11:00:01Z"), False),  # a wrong time zone is no noise
        ((900, 3, 1764000000, 1764000002), True),
        ((900, 3, 5, 7), False),
        ((900, 3, 0.1 + 0.2, 0.3), True),
        ((900, 3, 9.99, 9.98), False),
        ((900, 3, True, False), False),
        ((900, 800, "0123456789abcdef0", "fedcba98765432100"), True),
        ((900, 800, "kd93JDHei29dkjHD92jdHHdks", "Qd93JDHei29dkjHD92jdHHdkq"), True),
        ((900, 3, "active", "closed"), False),
    ],
    ids=range(14),
)
def test_only_what_differs_by_nature_and_in_todays_code_too_is_masked(
    *, seen: tuple[int, int, Any, Any], masked: bool
) -> None:
    finding = rows(seen)
    assert bool(finding.masked) is masked
    if seen[1] < seen[0] / 2:
        assert finding.reported is not masked


def test_a_drawn_token_stays_masked_though_a_few_of_its_values_have_no_digit() -> None:
    """Of 20 letters and digits one in thirty has none."""
    digit, no_digit = "kd93JDHei29dkjHD92jd", "kdxyJDHeiabdkjHDqzjd"
    usual, one_lacks, both_lack = (digit, digit[::-1]), (digit, no_digit), (no_digit, no_digit[::-1])
    for order in ((usual, one_lacks, both_lack), (both_lack, one_lacks, usual)):
        finding = rows(*((900 // (3 - at), 900 // (3 - at), *values) for at, values in enumerate(order)))
        assert (finding.value_class, bool(finding.masked)) == ("token", True)
    assert not rows((900, 900, *both_lack)).masked  # as two slugs of equal length
    assert not rows((1, 0, "active", "closed"), (900, 900, *usual)).masked


def test_tables_of_two_relays_agree_on_a_token_that_one_of_them_saw_without_digits() -> None:
    tables = []
    for one, other in (
        ("kd93JDHei29dkjHD92jd", "dj29DHjkd92ieHDJ39dk"),
        ("kdxyJDHeiabdkjHDqzjd", "djzqDHjkdbaieHDJyxdk"),
    ):
        table = FieldTable()
        found = Found(differences=(FieldDifference(path="csrf", kind=CHANGED, one=one, other=other),))
        table.add("/p", "r", raw=found, noise=found)
        tables.append(FieldTable.from_dict(json.loads(json.dumps(table.to_dict()))))
    for pair in (tables, tables[::-1]):
        (finding,) = FieldTable.merged(pair).findings()
        assert (finding.value_class, bool(finding.masked)) == ("token", True)


def test_one_value_of_another_class_ends_the_mask() -> None:
    times = (900, 3, 1764000000, 1764000002)
    assert rows(times).masked
    assert not rows((1, 0, 1764000000, 0), times).masked
    assert rows(times, kind=MISSING).reported


def test_fields_beyond_the_bound_are_counted_and_findings_can_be_cut() -> None:
    table = FieldTable()
    for number in range(MOST_FIELDS + 5):
        one = FieldDifference(path=f"f{number}", kind=CHANGED, one=1, other=2)
        table.add("/p", "r", raw=Found(differences=(one,)), noise=Found())
    assert table.overflow == 5
    saved = table.to_dict(200)
    assert (len(saved["fields"]), saved["left_out"], saved["overflow"]) == (200, MOST_FIELDS - 200, 5)


def test_a_table_survives_its_saved_form_and_two_are_as_one() -> None:
    halves = [simulated(seed, 700, wrong=0.03) for seed in (1, 2)]
    again = [FieldTable.from_dict(json.loads(json.dumps(half.to_dict()))) for half in halves]
    assert [half.findings() for half in again] == [half.findings() for half in halves]
    whole = FieldTable.merged(again)
    (finding,) = [one for one in whole.findings() if one.reported]
    assert (finding.path, finding.total) == ("shipping", 1400)
    assert finding.raw == sum(one.raw for half in halves for one in half.findings() if one.path == "shipping")
    assert {one.path: one.masked != "" for one in whole.findings()}["request_id"]
    assert not any(reported(half) for half in halves) or len(finding.examples) == 3
    with pytest.raises(ValueError, match="version 2"):
        FieldTable.from_dict({**whole.to_dict(), "v": 2})


def test_examples_are_cut_and_escaped() -> None:
    assert shown("\x1b[2J\u202e" + "x" * 500) == r"\x1b[2J\u202e" + "x" * 74 + "…"
    assert shown({"a": [1, None, True]}) == '{"a":[1,null,true]}'
    nested: Any = 1
    for _ in range(400):
        nested = [nested]
    assert shown(nested) == "(nested too deep to show)"
