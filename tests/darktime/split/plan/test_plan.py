"""A plan's figures are those that a plain reading of the same log gives, and its key is the one a person would take."""

import json
import random

import pytest

from darktime.errors import UsageError
from darktime.split.copied_paths import CopiedPaths
from darktime.split.plan.keys import MOST_KEYS, Keys
from darktime.split.plan.plan import make_plan
from darktime.split.sampling import sampled
from darktime.wire.access_line import Logged


def entry(at, target, method="GET", **fields):
    return json.dumps({"msec": at, "request": f"{method} {target} HTTP/1.1", "status": 200, **fields})


def plan_of(lines, **changes):
    words = {"percent": 5.0, "key": None, "salt": "s", "methods": ["GET", "HEAD"], "paths": CopiedPaths()}
    return make_plan(lambda: iter(lines), **{**words, **changes})


@pytest.fixture(scope="module")
def log():
    """20,000 requests of 1,000 users, one in ten without a cookie, over 1,000 s."""
    draw = random.Random(4)
    lines = []
    for number in range(20_000):
        user = {"cookie_uid": f"u{draw.randrange(1000)}"} if draw.random() < 0.9 else {}
        method = "POST" if draw.random() < 0.1 else "GET"
        target = draw.choice(["/", f"/thread/{draw.randrange(500)}", "/logout", f"/ev/thread:{draw.randrange(50)}"])
        told = {**user, "remote_addr": f"10.0.0.{draw.randrange(200)}", "http_x_request_id": f"{number:x}"}
        lines.append(entry(1_795_600_000 + number / 20, target, method, **told))
    return lines


def test_users_and_copies_are_those_of_a_plain_count(log):
    plan = plan_of(log)
    told = [json.loads(line) for line in log]
    users = {one["cookie_uid"] for one in told if "cookie_uid" in one}
    drawn = {user for user in users if sampled("s", user, 5.0)}
    theirs = [one for one in told if one.get("cookie_uid") in drawn]
    copied = [one for one in theirs if one["request"].startswith("GET") and "/logout" not in one["request"]]
    assert plan.key == "cookie:uid"
    assert (plan.users, plan.sampled_users, plan.copies) == (1000, len(drawn), len(copied))
    assert dict(plan.refused) == {
        "method POST": sum(one["request"].startswith("POST") for one in theirs),
        "excluded path": sum(one["request"].startswith("GET /logout") for one in theirs),
    }
    seconds = [int(one["msec"]) for one in copied]
    assert plan.peak_copies_per_s == max(map(seconds.count, seconds))
    assert plan.copies_per_s == pytest.approx(len(copied) / (19_999 / 20))
    assert sum(row.copies for row in plan.endpoints) == plan.copies
    assert {row.endpoint for row in plan.endpoints} == {"/", "/thread/{id}", "/logout", "/ev/{id}"}


def test_each_key_that_would_not_serve_says_why(log):
    why = {key.name: key.why_not for key in plan_of(log).keys}
    assert why["cookie:uid"] == why["ip"] == ""
    assert why["header:X-Request-Id"] == "new with almost every request"


def test_a_key_that_hardly_anybody_carries_is_refused_with_what_was_seen(log):
    with pytest.raises(UsageError, match=r"--key cookie:session: 0.0% .* cookie:uid \(90%\)"):
        plan_of(log, key="cookie:session")


def test_a_log_in_which_no_key_would_serve_has_no_copies_and_no_key():
    plan = plan_of([entry(1_795_600_000 + at, "/") for at in range(100)])
    assert (plan.key, plan.users, plan.copies) == (None, 0, 0)


def test_who_is_no_valid_user_is_no_user_of_the_plan():
    lines = [entry(1_795_600_000 + at, "/", cookie_uid=f"u{at % 50}" if at % 2 else "a b") for at in range(200)]
    plan = plan_of(lines, percent=100.0)
    assert (plan.key, plan.users, plan.sampled_users, plan.copies) == ("cookie:uid", 25, 25, 100)


def test_a_key_that_nginx_cannot_name_is_refused_as_the_split_would():
    lines = [entry(1_795_600_000 + at, "/", http_cookie=f"my-id=u{at % 50}") for at in range(200)]
    assert [key.why_not for key in plan_of(lines).keys] == ["nginx has no variable of this name"]
    with pytest.raises(UsageError, match="without -"):
        plan_of(lines, key="cookie:my-id")


def test_no_secret_of_a_path_is_shown_by_what_else_is_said_of_it():
    secret = "d41d8cd98f00b204e9800998ecf8427e"
    told = json.dumps(plan_of([entry(1_795_600_000, f"/verify/{secret}/confirm?token={secret}")] * 3).to_dict())
    assert secret not in told
    assert "confirm" in told


def test_a_log_without_a_request_is_refused():
    with pytest.raises(UsageError, match="none of the log's 2 lines"):
        plan_of(["no", "log"])


def test_hostile_logs_do_not_make_the_plan_grow(monkeypatch):
    keys = Keys()
    for number in range(MOST_KEYS * 3):
        keys.add(Logged(at_s=1.0, method="GET", target=f"/?q{number}=1"))
    assert keys.left_out == MOST_KEYS * 2
    monkeypatch.setattr("darktime.split.plan.keys.MOST_VALUES", 30)
    keys = Keys()
    for number in range(100):
        keys.add(Logged(at_s=1.0, method="GET", target=f"/?a={number}&b={number}"))
    assert {(key.name, key.users, key.more_users, key.share) for key in keys.found()} == {
        ("query:a", 15, True, 1.0),
        ("query:b", 15, True, 1.0),
    }
    lines = [entry(1_795_600_000, f"/{'x' * (number % 30)}y{'z' * (number // 30)}/") for number in range(900)]
    assert len(plan_of(lines).endpoints) <= 201


def test_the_applications_own_endpoints_are_used():
    plan = plan_of([entry(1_795_600_000, "/u/ann/posts/hello")] * 3, templates=["/u/{name}/posts/{slug}"])
    assert [row.endpoint for row in plan.endpoints] == ["/u/{name}/posts/{slug}"]
