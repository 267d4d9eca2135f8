"""``darktime split --emit`` and ``--include``: an nginx that was there before is joined, and left as it was."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from darktime import extras
from darktime.console.include import read_includes
from darktime.console.main import DARKTIME as GROUP
from darktime.console.main import run
from darktime.split.dark_side import parse_instance
from darktime.split.emit import emit
from realtime_core.free_ports import free_port
from realtime_core.stack import find_nginx
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

DARKTIME = Path(sys.executable).parent / "darktime"
CONFIG = """\
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
    {temporary}
    access_log {folder}/theirs.log;
    server {{
        listen 127.0.0.1:{port}; server_name www.example.org;
        location / {{ proxy_pass {production}; }}
        location = /health {{ return 200 "well\\n"; }}
    }}
}}
"""
USERS = 12


@pytest.fixture
def short():
    """A folder whose path leaves room for a socket's name."""
    path = Path(tempfile.mkdtemp(prefix="dt-"))
    yield path
    shutil.rmtree(path)


@contextmanager
def their_nginx(folder, production):
    """An nginx that has nothing to do with us: its port and its configuration; reloaded as people do."""
    port = free_port()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    config = folder / "nginx.conf"
    text = CONFIG.format(folder=folder, port=port, production=production, temporary=temporary)
    if os.geteuid() == 0:  # its workers are somebody else, as everywhere
        text = f"user nobody nogroup;\n{text}"
        folder.chmod(0o711)
    config.write_text(text)
    argv = [find_nginx().path, "-c", config, "-e", folder / "error.log"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until((folder / "pid").exists, timeout_s=10)
            yield port, config
        finally:
            process.terminate()
            process.wait(10)


def reload(config):
    """As the printed command does; done when the worker of before has gone."""
    argv = [str(find_nginx().path), "-c", str(config), "-e", str(config.parent / "error.log")]
    master = int((config.parent / "pid").read_text())
    before = set(children(master))
    subprocess.run([*argv, "-t", "-q"], check=True, timeout=10)
    subprocess.run([*argv, "-s", "reload"], check=True, timeout=10)
    wait_until(lambda: (now := set(children(master))) and not now & before, timeout_s=10, what="new workers")


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def command(*words, cwd):
    key = () if "--include" in words or "--key" in words else ("--key", "cookie:uid")
    argv = [DARKTIME, "split", "--percent", "100", *key, *map(str, words)]
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=25, check=False)


def patch(folder, *words):
    with (folder / "darktime.diff").open() as change:
        subprocess.run(["patch", "-p0", "-d", "/", *words], stdin=change, check=True, capture_output=True, timeout=10)


def ask(port):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for number in range(USERS):
        link.request("GET", "/channels-stats", headers={"Cookie": f"uid=user-{number}"})
        reply = link.getresponse()
        assert reply.status == 200
        assert reply.read()
    link.close()


@pytest.mark.engine("patch")
def test_an_nginx_that_is_there_is_joined_and_its_files_are_left_to_their_owner(short, tmp_path, stack):
    production, dark = stack.push("production").url, stack.push("dark").url
    with their_nginx(short, production) as (port, config):
        before, folder = config.read_text(), short / "include"
        words = ("--emit", folder, "--dark-state", "isolated", "--nginx-conf", config)
        done = command(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert config.read_text() == before
        assert done.stdout.count(f"include {folder}/") == 3, "of the http block, the server and the location"
        for said in ("patch -p0", "patch -R -p0", "--include", "kill", "have no bodies", "worker_connections 256 in"):
            assert said in done.stderr

        join = ("--include", folder, "--dark", dark, "--out", "run", "--json", "--probe", f"http://127.0.0.1:{port}/")
        refused = command(*join, cwd=tmp_path)
        assert refused.returncode == 2
        assert "does not include darktime.http.conf" in refused.stderr

        patch(folder)
        assert config.read_text() != before
        reload(config)
        other = command(*join, "--path", "/thread/", cwd=tmp_path)
        assert other.returncode == 2
        assert "--path was fixed when the includes were written" in other.stderr
        argv = [DARKTIME, "split", "--percent", "100", *map(str, join)]
        with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as split:
            state = tmp_path / "run" / "relay.json"
            wait_until(
                lambda: state.exists() and json.loads(state.read_text())["compared"] >= 1, 20, "the probe's copy"
            )
            second = command(*join[:4], "--out", "second", cwd=tmp_path)
            assert second.returncode == 2
            assert "runs beside the nginx" in second.stderr
            ask(port)
            wait_until(lambda: json.loads(state.read_text())["compared"] == USERS + 1, 10, "all copies compared")
            ramp = [DARKTIME, "ramp", "0", "--run", "run"]
            assert (
                "100 % -> 0 %" in subprocess.run(ramp, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
            )
            ask(port)
            split.terminate()
            out, err = split.communicate(timeout=20)
        results = json.loads(out)
        require_schema(results)
        assert split.returncode == results["exit_code"] == 5, err
        assert "a copy of the request of darktime-probe-" in err
        assert results["copies"] == {**results["copies"], "received": USERS + 1, "compared": USERS + 1, "reasons": {}}

        log = short / "theirs.log"
        wait_until(lambda: log.read_text().count("GET /channels-stats") == 2 * USERS, 5, "their own lines")

        ask(port)  # with nobody of ours alive
        assert json.loads(state.read_text())["received"] == USERS + 1
        patch(folder, "-R")
        assert config.read_text() == before
        reload(config)
        ask(port)
        assert (short / "error.log").read_text().count("[error]") == 0


@pytest.mark.engine("patch")
def test_beside_an_nginx_that_is_there_copies_are_recorded_without_a_dark_instance(short, tmp_path, stack):
    with their_nginx(short, stack.push("production").url) as (port, config):
        folder = short / "include"
        emitted = command("--emit", folder, "--dark-state", "isolated", "--nginx-conf", config, cwd=tmp_path)
        assert emitted.returncode == 0, emitted.stderr
        patch(folder)
        reload(config)
        probe = ("--probe", f"http://127.0.0.1:{port}/health-of-all", "--duration", "0.2", "--out", "kept", "--json")
        argv = [DARKTIME, "record", "--percent", "100", "--include", str(folder), *probe]
        kept = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=25, check=False)
    assert kept.returncode == 0, kept.stderr
    results = json.loads(kept.stdout)
    require_schema(results)
    assert results["copies"]["recorded"] == results["recording"]["requests"] == 1
    assert "/health-of-all" in Path(results["recording"]["file"]).read_text()


@pytest.mark.engine("patch")
def test_a_split_that_would_hurt_production_or_was_killed_does_not_begin(short, tmp_path, stack):
    """The name of the new instance leads back to the nginx that is joined, by a server that only its host names tell."""
    production, dark = stack.push("production").url, stack.push("dark").url
    with their_nginx(short, production) as (port, config):
        other = f"    server {{ listen 127.0.0.1:{port} default_server; return 204; }}\n}}\n"
        config.write_text(config.read_text().rstrip().removesuffix("}") + other)
        folder = short / "include"
        emit = ("--emit", folder, "--dark-state", "isolated", "--nginx-conf", config, "--location", "www.example.org /")
        done = command(*emit, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        patch(folder)
        reload(config)
        again = command(*emit, cwd=tmp_path)
        assert again.returncode == 2
        assert "take them back first" in again.stderr

        back = command("--include", folder, "--dark", f"http://127.0.0.1:{port}", "--out", "run", cwd=tmp_path)
        assert back.returncode == 2
        assert "leads back to" in back.stderr
        same = ("--include", folder, "--dark", dark, "--production", dark, "--out", "run")
        done = command(*same, cwd=tmp_path)
        assert done.returncode == 2
        assert "the same server" in done.stderr

        (folder / "state" / "kill").touch()
        killed = command("--include", folder, "--dark", dark, "--out", "run", cwd=tmp_path)
        assert killed.returncode == 2
        assert "state/kill first" in killed.stderr


@pytest.mark.engine("patch")
def test_a_copy_that_does_not_arrive_ends_it_before_anybody_relies_on_it(short, tmp_path, stack):
    production, dark = stack.push("production").url, stack.push("dark").url
    with their_nginx(short, production) as (port, config):
        folder = short / "include"
        done = command("--emit", folder, "--dark-state", "isolated", "--nginx-conf", config, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        patch(folder)  # and no reload
        probe = f"http://127.0.0.1:{port}/"
        done = command("--include", folder, "--dark", dark, "--out", "run", "--probe", probe, cwd=tmp_path)
    assert done.returncode == 2
    assert "no copy of it arrived" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts workers that are somebody else")
def test_a_folder_that_the_workers_cannot_reach_is_refused(short, tmp_path):
    with their_nginx(short, "http://127.0.0.1:1") as (_, config):
        (tmp_path / "closed").mkdir(mode=0o700)
        folder = tmp_path / "closed" / "include"
        done = command("--emit", folder, "--dark-state", "isolated", "--nginx-conf", config, cwd=tmp_path)
    assert done.returncode == 2
    assert "nginx's workers (nobody) cannot pass" in done.stderr
    assert not folder.exists()


EVERYBODY = "in these locations nginx reads EVERYBODY's uploads to their end before production gets a byte"


@pytest.mark.parametrize(
    ("words", "said", "unsaid"),
    [
        (
            ("--copy-bodies", "--max-body", "4096"),
            ("POST carry bodies of up to 4,096 bytes", EVERYBODY),
            "no copies of",
        ),
        ((), ("no copies of POST", "copies have no bodies"), EVERYBODY),
    ],
)
def test_what_becomes_of_uploads_is_said_before_anything_is_written(
    short, tmp_path, monkeypatch, capsys, *, words, said, unsaid
):
    before = []

    def watched(folder, *rest):
        before.append((capsys.readouterr(), folder.exists()))
        return emit(folder, *rest)

    monkeypatch.setattr("darktime.split.emit.emit", watched)
    monkeypatch.chdir(tmp_path)
    folder = short / "include"
    with their_nginx(short, "http://127.0.0.1:1") as (_, config):
        asked = ["split", "--emit", str(folder), "--percent", "100", "--key", "cookie:uid", "--dark-state", "isolated"]
        assert run(GROUP, [*asked, "--nginx-conf", str(config), "--methods", "GET,POST", *words]) == 0
    ((printed, written),) = before
    assert not written
    assert printed.out == ""
    assert all(one in printed.err for one in said)
    assert unsaid not in printed.err + capsys.readouterr().err
    assert (folder / "darktime.http.conf").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--location", "elsewhere /"), "there is none; there are 'www.example.org /'"),
        (("--nginx-conf", "{short}/broken.conf"), "says no"),
        (("--key", "cookie:a-b"), "without -"),
        (("--location", "www.example.org = /quiet"), "access_log /dev/null"),
    ],
)
def test_what_cannot_be_joined_is_said_with_the_remedy(short, tmp_path, words, why):
    with their_nginx(short, "http://127.0.0.1:1") as (_, config):
        (short / "broken.conf").write_text("http {")
        config.write_text(config.read_text().replace("location = /health {", "location = /quiet { access_log off;"))
        told = [word.format(short=short) for word in words]
        known = ("--nginx-conf", config) if "--nginx-conf" not in told else ()
        done = command("--emit", short / "include", "--dark-state", "isolated", *known, *told, cwd=tmp_path)
    assert done.returncode == 2
    assert why in done.stderr
    assert not (short / "include").exists()


@pytest.mark.engine("patch")
def test_beside_an_nginx_productions_own_backend_is_refused_as_the_dark_instance(short, tmp_path, stack):
    """No probe can see it, since it stands behind that nginx: what the mirrored locations pass requests to is compared."""
    production, dark = stack.push("production").url, stack.push("dark").url
    port_of_production = production.rpartition(":")[2]
    other_name = f"http://localhost:{port_of_production}"
    with their_nginx(short, production) as (_, config):
        upstream = f"    upstream app {{ server 127.0.0.1:{port_of_production}; }}\n    server {{\n"
        text = config.read_text().replace("    server {\n", upstream)
        config.write_text(text.replace(f"proxy_pass {production};", "proxy_pass http://app;"))
        folder = short / "include"
        emit = ("--emit", folder, "--dark-state", "isolated", "--nginx-conf", config)
        at_once = command(*emit, "--dark", other_name, cwd=tmp_path)
        assert at_once.returncode == 2, at_once.stderr
        assert f"127.0.0.1:{port_of_production}" in at_once.stderr
        assert not folder.exists()

        done = command(*emit, "--dark", dark, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        about = json.loads((folder / "include.json").read_text())
        assert about["backends"] == {"addresses": [f"127.0.0.1:{port_of_production}"], "unread": []}
        patch(folder)
        reload(config)
        for told in (production, other_name):
            refused = command("--include", folder, "--dark", told, "--out", "run", cwd=tmp_path)
            assert refused.returncode == 2, refused.stderr
            assert f"127.0.0.1:{port_of_production}" in refused.stderr
            assert "name another instance" in refused.stderr
        second = ("--include", folder, "--dark", dark, "--secondary", production, "--out", "run")
        refused = command(*second, cwd=tmp_path)
        assert refused.returncode == 2, refused.stderr
        assert "must not be asked again" in refused.stderr

        del about["backends"]  # as an older release wrote it: the configuration is read again
        (folder / "include.json").write_text(json.dumps(about))
        old = command("--include", folder, "--dark", production, "--out", "run", cwd=tmp_path)
        assert old.returncode == 2, old.stderr
        assert f"127.0.0.1:{port_of_production}" in old.stderr


@pytest.mark.engine("patch")
def test_beside_an_nginx_what_could_not_be_compared_with_the_dark_instance_is_said(
    short, tmp_path, stack, monkeypatch, capsys
):
    production, dark = stack.push("production").url, stack.push("dark").url
    with their_nginx(short, production) as (_, config):
        by_header = f"location = /chosen {{ proxy_pass http://$http_x_backend; }}\n        location / {{ proxy_pass {production}"
        config.write_text(config.read_text().replace(f"location / {{ proxy_pass {production}", by_header))
        folder = short / "include"
        emit = ("--emit", folder, "--dark-state", "isolated", "--nginx-conf", config)
        assert command(*emit, cwd=tmp_path).returncode == 0
        patch(folder)
        reload(config)
        run = ("--include", folder, "--dark", dark, "--out", "run", "--duration", "0.2")
        done = command(*run, cwd=tmp_path)
        about = json.loads((folder / "include.json").read_text())
        del about["backends"]
        (folder / "include.json").write_text(json.dumps(about))
        monkeypatch.setattr(extras, "missing", list)  # no parser here, and the includes are an older release's
        read_includes(folder, {"nginx": None, "nginx_conf": None}, [parse_instance(production)])
        assert "could not be compared: say --production URL" in capsys.readouterr().err
    assert done.returncode == 5, done.stderr
    assert "http://$http_x_backend" in done.stderr
    assert "could not be compared" in done.stderr
