"""``darktime doctor``: it looks at what will be used, and says the remedy for what will not do."""

import socket
import subprocess

import pytest

from darktime.console import doctor
from darktime.console.main import DARKTIME, run
from darktime.errors import ExitCode


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def finding(what, listen=doctor.LISTEN):
    (found,) = [one for one in doctor.findings(listen) if one.what == what]
    return found


@pytest.fixture
def only(monkeypatch, tmp_path):
    """A machine on whose PATH there is nothing but what a test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("realtime_core.stack.nginx._SYSTEM", ())
    return tmp_path


def test_it_says_what_is_there(capsys):
    assert run(DARKTIME, ["doctor"]) == ExitCode.OK
    said = capsys.readouterr().out
    for what in ("Python", "nginx", "nginx splits", "Redis or Valkey", "open files", "extra blast", "split's address"):
        assert what in said


def test_it_says_what_is_missing_with_the_remedy(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name, **_: None)
    assert run(DARKTIME, ["doctor"]) == ExitCode.USAGE
    said = capsys.readouterr().out
    assert "pip install 'darktime[embedded]'" in said
    assert "apt-get install" in said


def test_an_nginx_built_without_what_splitting_needs_will_not_do(only):
    script(
        only / "nginx",
        "echo 'nginx version: nginx/1.25.0'; echo 'configure arguments: --without-http_mirror_module "
        "--without-http_split_clients_module --without-http_gzip_module'",
    )
    found = finding("nginx splits")
    assert not found.ok
    assert found.seen == "built without http_mirror_module, http_split_clients_module"
    assert "--nginx" in found.remedy


@pytest.mark.parametrize("how", ["loadable", "built in", "none"])
def test_the_push_module_is_looked_for_in_the_nginx_that_was_found(only, how):
    modules = only / "modules"
    modules.mkdir()
    if how == "loadable":
        (modules / "ngx_nchan_module.so").touch()
    added = "--add-module=/src/nginx-push-stream-module" if how == "built in" else ""
    arguments = f"configure arguments: --modules-path={modules} {added}"
    script(only / "nginx", f"echo 'nginx version: nginx/1.25.0'; echo '{arguments}'")
    found = finding("nginx push module")
    assert found.ok == (how != "none")
    assert {"loadable": str(modules), "built in": "nginx-push-stream-module", "none": "stands in"}[how] in found.seen


@pytest.mark.parametrize(("version", "ok"), [("6.0.16", False), ("6.2.0", True), ("7.0.15", True)])
def test_a_redis_older_than_the_core_needs_will_not_do(only, monkeypatch, version, ok):
    monkeypatch.setattr("realtime_core.stack.valkey.platform.machine", lambda: "vax")  # no embedded one for it
    script(only / "redis-server", f"echo 'Redis server v={version} sha=00000000:0 malloc=libc'")
    found = finding("Redis or Valkey")
    assert found.ok == ok
    assert version in found.seen
    assert "has no server for this machine" in found.seen
    assert found.remedy.startswith("6.2 or newer")


def test_the_embedded_server_tells_its_own_version_not_its_packages(only):
    from realtime_core.stack.valkey import valkey_binary

    said = subprocess.run([valkey_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    assert f"embedded {said.partition('v=')[2].split()[0]}" in finding("Redis or Valkey").seen


@pytest.mark.parametrize(("room", "ok"), [(332, False), (6_553, True)])
def test_too_little_room_for_log_lines_is_said_with_the_setting_that_gives_more(monkeypatch, room, ok):
    """332 are what a user who is not root gets where nobody has changed the kernel's limit."""
    monkeypatch.setattr("darktime.split.relay.line_room.to_be_had", lambda: room)
    found = finding("log lines")
    assert (found.ok, found.needed) == (ok, False)
    assert found.seen.startswith(f"room for {room:,} ")
    assert found.remedy.startswith("sysctl net.core.rmem_max=33554432")


def test_an_address_that_is_taken_is_said_with_its_holder(tmp_path, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "darktime.toml").write_text(f'[split]\nlisten = "127.0.0.1:{port}"\n')
        monkeypatch.chdir(tmp_path)
        assert run(DARKTIME, ["doctor"]) == ExitCode.OK
        assert f"127.0.0.1:{port}: the port is taken by" in capsys.readouterr().out


def test_a_package_of_the_same_name_that_is_somebody_elses_is_said(tmp_path, monkeypatch):
    """There is another sseclient on PyPI."""

    def version(name):
        if name == "sseclient-py":
            raise doctor.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor.metadata, "version", version)
    found = finding("extra blast")
    assert not found.ok
    assert "not from sseclient-py" in found.seen
    assert found.remedy == "pip uninstall sseclient; pip install 'darktime[blast]'"
