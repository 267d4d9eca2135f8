"""A split that calibrates: whose the first copies are, where their pairs go, and whose failures they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from darktime.split.calibration import calibration_of
from darktime.split.relay.calibrating import Calibrating
from darktime.split.relay.copies import Copy
from darktime.split.relay.darks import share
from darktime.split.results import settled
from tests.darktime.split.pages import Page, Pages
from tests.darktime.split.test_comparison import ALL, Nginx, ids
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def plain(_path: str) -> Page:
    return Page(b'{"price": 9.5}')


def broken(_path: str) -> Page:
    return Page(reset=True)


def hung(_path: str) -> Page:
    return Page(hang=True)


@pytest.fixture
def instances() -> Iterator[Callable[..., list[Pages]]]:
    made: list[Pages] = []

    def start(*makers: Callable[[str], Page]) -> list[Pages]:
        made.extend(map(Pages, makers))
        return made

    yield start
    for one in made:
        one.stop()


def calibrating(make_split: Any, dark: Pages, secondary: Pages, seconds: float) -> Any:
    split = make_split(dark.address)
    words = ("--secondary", f"http://{secondary.address}", *ALL, "--calibrate", str(seconds))
    split.start_relay(dark.address, None, *words)
    return split


def test_the_first_copies_go_to_todays_code_alone_and_all_later_ones_to_the_dark_instance(
    make_split: Any, instances: Any
) -> None:
    dark, secondary = instances(plain, plain)
    split = calibrating(make_split, dark, secondary, 1.5)
    with Nginx(split) as nginx:
        nginx.ask(ids(20))
        wait_until(lambda: split.state().get("compared") == 20, what="twenty pairs")
        assert not dark.asked.total()
        assert secondary.asked.total() == 20, "and nothing is compared by content"
        asked = iter(ids(1000, 1000))
        wait_until(lambda: nginx.ask([next(asked)]) or dark.asked.total() >= 5, what="copies at the dark instance")
        wait_until(lambda: settled(split.state()), what="all through")
    state, pairs, same = split.state(), split.pairs(), calibration_of(split.pairs_path, split.state())
    assert len(pairs) == dark.asked.total()
    assert len(same) == state["calibration"]["pairs"] >= 20
    assert len(same) + len(pairs) == state["compared"]
    assert not {pair["id"] for pair in pairs} & {pair.id for pair in same}
    assert secondary.asked.total() == len(same) + 2 * len(pairs)
    assert state["comparison"]["compared"] == len(pairs)
    assert state["calibration"]["under_way"] == 0


@pytest.mark.parametrize(
    ("todays", "status", "reason"),
    [(broken, "200", "calibration_failed"), (hung, "499", "client_abort")],
    ids=["reset", "left-by-its-client"],
)
def test_what_fails_while_it_calibrates_is_no_failure_of_the_dark_instance(
    make_split: Any, instances: Any, todays: Callable[[str], Page], status: str, reason: str
) -> None:
    dark, secondary = instances(plain, todays)
    split = calibrating(make_split, dark, secondary, 30)
    with Nginx(split) as nginx:
        nginx.ask(ids(3), status=status)
        wait_until(lambda: sum(split.state().get("reasons", {}).values()) == 3, what="three copies that left")
        state = split.state()
    assert state["reasons"] == {reason: 3}
    assert state["calibration"] == {"seconds": 30.0, "pairs": 0, "under_way": 0, "breaker": None}
    assert not dark.asked.total()
    assert not calibration_of(split.pairs_path, split.state())


def test_a_split_that_does_not_calibrate_says_nothing_of_it(make_split: Any, instances: Any) -> None:
    dark, secondary = instances(plain, plain)
    split = calibrating(make_split, dark, secondary, 0)
    with Nginx(split) as nginx:
        nginx.ask(ids(3))
        wait_until(lambda: split.state().get("compared") == 3, what="three pairs")
    assert "calibration" not in split.state()
    assert dark.asked.total() == 3


def test_a_half_written_line_of_the_file_is_left_for_the_next_reading(tmp_path: Any) -> None:
    side = {"status": 200, "content_type": "a/b", "length": 1, "seconds": 0.01}
    record = {"id": "a", "endpoint": "/", "user": "u", "at": 1.0, "production": side, "dark": side}
    (tmp_path / "calibration.jsonl").write_text(f"{json.dumps(record)}\n{{")
    assert [pair.id for pair in calibration_of(tmp_path / "pairs.jsonl", {"calibration": {"pairs": 1}})] == ["a"]


def test_what_another_run_left_there_is_not_taken_for_this_run_s_calibration(tmp_path: Any) -> None:
    side = {"status": 200, "content_type": "a/b", "length": 1, "seconds": 0.01}
    record = {"id": "a", "endpoint": "/", "user": "u", "at": 1.0, "production": side, "dark": side}
    (tmp_path / "calibration.jsonl").write_text(f"{json.dumps(record)}\n")
    assert calibration_of(tmp_path / "pairs.jsonl", {"received": 3}) == []


def test_todays_code_is_asked_for_nothing_but_get_and_head(make_split: Any, instances: Any) -> None:
    dark, secondary = instances(plain, plain)
    split = make_split(dark.address, methods=("GET", "HEAD", "POST", "DELETE"))
    words = ("--secondary", f"http://{secondary.address}", *ALL, "--calibrate", "30")
    split.start_relay(dark.address, None, *words)
    with Nginx(split) as nginx:
        for method, names in (("POST", ids(2)), ("DELETE", ids(1, 10)), ("HEAD", ids(1, 20)), ("GET", ids(3, 30))):
            nginx.ask(names, method=method)
        wait_until(lambda: split.state().get("compared") == 7, what="seven pairs")
        state = split.state()
    assert (secondary.asked.total(), dark.asked.total()) == (4, 3)
    assert state["calibration"]["pairs"] == len(calibration_of(split.pairs_path, split.state())) == 4
    assert len(split.pairs()) == 3


def test_one_that_is_denied_for_want_of_its_credential_calibrates_no_more(make_split: Any, instances: Any) -> None:
    dark, secondary = instances(plain, lambda _path: Page(b"no", status=401))
    split = calibrating(make_split, dark, secondary, 30)
    with Nginx(split) as nginx:
        nginx.ask(ids(3), "/page", "X-Darktime-Stripped: 1")
        wait_until(lambda: split.state().get("reasons") == {"credential_stripped": 3}, what="three that left")
        assert split.state()["calibration"]["under_way"] == 0


class Way:
    """What is behind ``Calibrating``: so many instances, and who was sent where."""

    def __init__(self, instances: int) -> None:
        self.instances = instances
        self.users: list[str] = []

    def submit(self, _copy: Copy, _payload: bytes, user: str, _now: float) -> None:
        self.users.append(user)


def test_of_three_dark_instances_the_users_of_one_calibrate() -> None:
    """The secondary is one instance: it gets the load of one."""
    today, dark = Way(1), Way(3)
    way = Calibrating(today, dark, seconds=10, most=1000, wanted=lambda _: True)  # type: ignore[arg-type]
    users = [f"{number:016x}" for number in range(90)]
    for number, user in enumerate(users):
        copy = Copy(
            id=f"{number:032x}", at=1.0, user="u", method="GET", target="/", headers=(), stripped=False, unfit=None
        )
        way.submit(copy, b"", user, 1.0)
    assert today.users == [user for user in users if share(user, 3) == 0]
    assert sorted(today.users + dark.users) == users
