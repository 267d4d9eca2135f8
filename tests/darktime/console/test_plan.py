"""``darktime plan``: reads a log, gzipped or not, says what a split would do, and changes nothing."""

import gzip
import json
import os
import shlex
import subprocess

import pytest

from darktime.console.main import DARKTIME, run
from darktime.errors import ExitCode
from realtime_core.stack import find_nginx
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


def test_endpoints_may_be_openapi_in_yaml_and_what_is_wrong_in_it_is_said_with_file_and_line(log, capsys):
    document = log.with_name("openapi.yml")
    document.write_text("openapi: 3.1.0\npaths:\n  /thread/{named}: {}\n  /feed/: {}\n")
    words = ["plan", "--log", str(log), "--percent", "5", "--json", "--endpoints", str(document)]
    assert run(DARKTIME, words) == ExitCode.OK
    assert "/thread/{named}" in {one["endpoint"] for one in json.loads(capsys.readouterr().out)["endpoints"]}
    document.write_text("openapi: 3.1.0\npaths:\n  /thread/{named}: {}\n /feed/: {}\n")
    assert run(DARKTIME, words) == ExitCode.USAGE
    assert f"--endpoints {document}: the endpoints file is no YAML at line 4, column" in capsys.readouterr().err


def test_an_endpoints_file_without_an_end_is_refused(log, capsys):
    assert run(DARKTIME, ["plan", "--log", str(log), "--percent", "5", "--endpoints", "/dev/zero"]) == ExitCode.USAGE
    assert "--endpoints /dev/zero: the endpoints file is larger than 16 MiB" in capsys.readouterr().err


BROKEN = gzip.compress(b"x" * 5000, mtime=0)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b broken", BROKEN[:12] + b"\xff" * 20 + BROKEN[20:], BROKEN[:-9]])
def test_a_log_that_cannot_be_read_is_one_clear_line(tmp_path, capsys, content):
    path = tmp_path / "access.log.gz"
    path.write_bytes(content)
    assert run(DARKTIME, ["plan", "--log", str(path), "--percent", "5"]) == ExitCode.USAGE
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


CONFIG = """\
{user}pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{
    access_log {folder}/theirs.log;
    {temporary}
    include {folder}/sites/*;
}}
"""
SITE = """\
server {
\tlisten 127.0.0.1:8999; server_name www.example.org; # \x1b]0;owned\x07 \xe4
\tlocation / { proxy_pass http://127.0.0.1:9; }
\tlocation /other/ { proxy_pass http://127.0.0.1:9; }
}
"""
LINES = ["darktime.http.conf", "darktime.server-1.conf", "darktime.location-1.conf"]


@pytest.fixture
def theirs(tmp_path):
    """The configuration of an nginx that was there before; its site is in a file of its own."""
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "www").write_bytes(SITE.encode("latin-1"))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    path = tmp_path / "nginx.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""  # who may reach a test's folder
    path.write_text(CONFIG.format(folder=tmp_path, temporary=temporary, user=user))
    return path


def planned(capsys, log, *words):
    assert run(DARKTIME, ["plan", "--log", str(log), "--percent", "5", *map(str, words)]) == ExitCode.OK
    return capsys.readouterr().out


def test_the_change_of_an_nginx_that_is_there_is_what_emit_would_show_and_nothing_is_written(
    log, theirs, tmp_path, capsys
):
    folder, site = tmp_path / "includes", tmp_path / "sites" / "www"
    before = theirs.read_bytes(), site.read_bytes()
    there = sorted(tmp_path.rglob("*"))  # nginx itself would make its logs, and folders of temporary files
    words = ("--nginx-conf", theirs, "--emit", folder, "--location", "www.example.org /")
    plan = json.loads(planned(capsys, log, *words, "--json"))
    require_schema(plan)
    change = plan["nginx_change"]
    said = planned(capsys, log, *words)
    assert sorted(tmp_path.rglob("*")) == there
    assert (theirs.read_bytes(), site.read_bytes()) == before
    emit = ["split", "--percent", "5", "--key", "cookie:uid", "--dark-state", "isolated", *map(str, words)]
    assert run(DARKTIME, emit) == ExitCode.OK
    shown = capsys.readouterr()
    assert (folder / "darktime.diff").read_bytes() == change["diff"].encode("utf-8", "surrogateescape")
    assert change["locations"] == ["www.example.org /"]
    for command in (change["make"], change["take_back"], change["end_at_once"]):
        assert command in shown.err
        assert command in said
    added = [line for line in said.splitlines() if line.startswith("+") and "include" in line]
    assert [line.split("/")[-1] for line in added] == [f"{name};" for name in LINES]
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "\n \tlocation /other/" in said, "a tab is shown as it is"


@pytest.mark.engine("patch")
def test_the_diff_of_the_plan_is_one_that_patch_makes_and_takes_back(log, theirs, tmp_path, capsys):
    site = tmp_path / "sites" / "www"
    before = theirs.read_bytes(), site.read_bytes()
    words = ("--nginx-conf", theirs, "--nginx", find_nginx().path, "--emit", tmp_path / "d", "--json")
    change = json.loads(planned(capsys, log, *words))["nginx_change"]["diff"].encode("utf-8", "surrogateescape")
    subprocess.run(["patch", "-p0", "-d", "/"], input=change, check=True, capture_output=True, timeout=10)
    assert (theirs.read_bytes(), site.read_bytes()) != before
    subprocess.run(["patch", "-R", "-p0", "-d", "/"], input=change, check=True, capture_output=True, timeout=10)
    assert (theirs.read_bytes(), site.read_bytes()) == before


def test_without_a_configuration_an_example_shows_the_three_lines_and_how_they_are_taken_back(log, capsys):
    change = json.loads(planned(capsys, log, "--json"))["nginx_change"]
    assert change["config"] is None
    added = [line.strip("+ ") for line in change["diff"].splitlines() if line.startswith("+ ")]
    assert added == [f"include /etc/darktime/{name};" for name in LINES]
    said = planned(capsys, log)
    assert "an example; --nginx-conf FILE shows yours" in said
    assert "take it back    patch -R -p0" in said
    assert "darktime kill, darktime ramp 0: no reload" in said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--location", "a /"], "say --nginx-conf FILE or --nginx PATH too"),
        (["--nginx-conf", "{theirs}", "--location", "a /"], "--location 'a /': there is none"),
        (["--nginx-conf", "{theirs}", "--emit", "{folder}/sites"], "has includes of"),
        (["--nginx-conf", "{log}"], "cannot be read"),
        (["--emit", "/etc/dark time"], "choose another folder"),
    ],
)
def test_a_change_that_cannot_be_shown_is_one_clear_line(log, theirs, capsys, words, why):
    words = [word.format(log=log, theirs=theirs, folder=theirs.parent) for word in words]
    assert run(DARKTIME, ["plan", "--log", str(log), "--percent", "5", *words]) == ExitCode.USAGE
    assert why in capsys.readouterr().err


def test_where_no_location_writes_a_log_nothing_could_be_mirrored_and_that_is_said(log, theirs, tmp_path, capsys):
    theirs.write_text(theirs.read_text().replace(f"access_log {tmp_path}/theirs.log;", "access_log off;"))
    words = ["--nginx-conf", str(theirs), "--emit", str(tmp_path / "d")]
    emit = ["split", "--percent", "5", "--key", "cookie:uid", "--dark-state", "isolated", *words]
    for command in (["plan", "--log", str(log), "--percent", "5", *words], emit):
        assert run(DARKTIME, command) == ExitCode.USAGE
        said = capsys.readouterr().err
        assert "access_log off is in force at 'www.example.org /'" in said
        assert "write 'access_log /dev/null;'" in said
    assert not (tmp_path / "d").exists()


def test_the_commands_that_are_printed_are_ones_a_shell_takes_whatever_the_files_are_called(
    log, theirs, tmp_path, capsys
):
    odd = tmp_path / "it's my; touch owned"
    odd.mkdir()
    config, nginx = odd / "nginx $(touch owned).conf", odd / "nginx"
    config.write_bytes(theirs.read_bytes())
    nginx.symlink_to(find_nginx().path)
    words = ("--nginx-conf", config, "--nginx", nginx, "--location", "www.example.org /", "--json")
    change = json.loads(planned(capsys, log, *words))["nginx_change"]
    for command in (change["make"], change["take_back"]):
        called = shlex.split(command.partition("&& ")[2].replace("&&", " "))
        assert [called[at] for at in (0, 3, 4, 8)] == [str(nginx), str(config), str(nginx), str(config)]
