"""``darktime plan``: reads a log, gzipped or not, says what a split would do, and changes nothing."""

import gzip
import json

import pytest

from darktime.console.main import DARKTIME, run
from darktime.errors import ExitCode
from tests.support.schemas import require_schema

SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.fixture
def log(tmp_path):
    lines = [
        json.dumps(
            {
                "msec": 1_795_600_000 + number / 10,
                "request": f"GET {target} HTTP/1.1",
                "remote_addr": f"10.0.0.{number % 50}",
                "cookie_uid": f"u{number % 97}",
            }
        )
        for number, target in enumerate(
            ["/", "/thread/12", "/comments/3/delete", f"/in?token={SECRET}", "/logout", "/x\x1b]0;owned\x07"] * 200
        )
    ]
    path = tmp_path / "access.log"
    path.write_text("\n".join(lines) + "\nno line\n")
    return path


def test_it_says_who_would_be_in_what_would_be_copied_and_what_speaks_against_it(log, capsys):
    before = sorted(log.parent.iterdir())
    assert run(DARKTIME, ["plan", "--log", str(log), "--percent", "5"]) == ExitCode.OK
    said = capsys.readouterr().out
    for words in (
        "1,200 requests",
        "key cookie:uid",
        "→ cookie:uid",
        "/thread/{id}",
        "delete",
        "query token",
        "200 GETs",
    ):
        assert words in said, words
    assert SECRET not in said
    assert "\x1b" not in said, "what a visitor sends is not obeyed by a terminal"
    assert max(map(len, said.splitlines())) <= 96
    assert sorted(log.parent.iterdir()) == before


def test_as_json_it_has_the_committed_shape_and_a_gzipped_log_says_the_same(log, capsys):
    assert run(DARKTIME, ["plan", "--log", str(log), "--percent", "5", "--json"]) == ExitCode.OK
    plain = capsys.readouterr().out
    require_schema(json.loads(plain))
    packed = log.with_name("access.log.gz")
    packed.write_bytes(gzip.compress(log.read_bytes(), mtime=0))
    assert run(DARKTIME, ["plan", "--log", str(packed), "--percent", "5", "--json"]) == ExitCode.OK
    assert capsys.readouterr().out == plain


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--percent", "101"], "101 percent: 0 to 100"),
        (["--percent", "5", "--key", "cookie:nobody"], "--key cookie:nobody: 0.0%"),
        (["--percent", "5", "--experiment", "a b"], "--experiment 'a b'"),
        (["--percent", "5", "--endpoints", "{log}"], "endpoints file"),
    ],
)
def test_what_cannot_be_is_one_clear_line(log, capsys, words, why):
    words = [word.format(log=log) for word in words]
    assert run(DARKTIME, ["plan", "--log", str(log), *words]) == ExitCode.USAGE
    assert why in capsys.readouterr().err


BROKEN = gzip.compress(b"x" * 5000, mtime=0)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b broken", BROKEN[:12] + b"\xff" * 20 + BROKEN[20:], BROKEN[:-9]])
def test_a_log_that_cannot_be_read_is_one_clear_line(tmp_path, capsys, content):
    path = tmp_path / "access.log.gz"
    path.write_bytes(content)
    assert run(DARKTIME, ["plan", "--log", str(path), "--percent", "5"]) == ExitCode.USAGE
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
