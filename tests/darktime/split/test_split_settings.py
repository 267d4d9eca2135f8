"""Settings and configuration: what cannot be is refused by name, and what is rendered is what nginx takes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.errors import UsageError
from darktime.split.folder import prepare
from darktime.split.front import Front
from darktime.split.nginx_config import render, render_naive
from darktime.split.production import UpstreamTls
from darktime.split.settings import Route, SplitSettings
from tests.darktime.split.conftest import binaries, split_settings

HERE = Path("/tmp/dt-x")
ROUTE = Route(prefix="/", upstreams=("127.0.0.1:1",), mirrored=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"listen": "8080"}, "HOST:PORT"),
        ({"listen": "127.0.0.1:70000"}, "HOST:PORT"),
        ({"routes": ()}, "one must be /"),
        ({"routes": (ROUTE, ROUTE)}, "each prefix once"),
        ({"routes": (Route(prefix="/", upstreams=("h:1",)),)}, "none is mirrored"),
        ({"key": "uid"}, "cookie:NAME"),
        ({"key": "cookie:a-b"}, "without -"),
        ({"key": "cookie:a;b"}, "cookie:NAME"),
        ({"key": "query:a-b"}, "without -"),
        ({"key": "ip:x"}, "or ip"),
        ({"salt": ""}, "experiment's name"),
        ({"salt": 'a"b'}, "experiment's name"),
        ({"max_percent": 0}, "0.1 to 100"),
        ({"max_percent": 101}, "0.1 to 100"),
        ({"max_percent": 1.23}, "steps of 0.1"),
        ({"slot_s": 60}, "1, 10, 100 or 1000"),
        ({"methods": ("get",)}, "method"),
        ({"excluded": ('a"b',)}, "excluded word"),
        ({"allow_headers": ("A B",)}, "header"),
        ({"allow_cookies": ("a-b",)}, "cookie"),
        ({"dark_state": "maybe"}, "isolated, readonly or shared"),
        ({"dark_state": "shared"}, "listed paths"),
        ({"secret": "short"}, "16 to 128"),
        ({"log_port": 0}, "log port"),
        ({"relay_socket": Path("/tmp/a b/relay.sock")}, "choose another folder"),
        ({"relay_socket": Path("/tmp/" + "x" * 120)}, "shorter folder"),
        ({"run_as": "ro ot"}, "name of a user"),
    ],
)
def test_what_cannot_be_is_refused_with_its_value_and_the_remedy(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        split_settings(HERE, "127.0.0.1:1", **changes)


@given(st.text(min_size=1, max_size=20))
def test_no_folder_can_write_into_the_configuration(name: str) -> None:
    path = Path("/tmp") / name
    try:
        text = render(split_settings(HERE, "127.0.0.1:1"), path)["nginx.conf"]
    except UsageError:
        return
    assert not set(str(path)) & set(" \t\r\n;{}\"'\\$#")
    assert f"pid {path}/nginx.pid;" in text


@pytest.mark.parametrize("prefix", ["ev/", "/a b", '/a"', "/a;", "/{", "/$x", ""])
def test_no_prefix_can_write_into_the_configuration(prefix: str) -> None:
    with pytest.raises(UsageError, match="prefix"):
        Route(prefix=prefix, upstreams=("h:1",))


def test_the_secret_does_not_show_where_settings_are_shown() -> None:
    settings = split_settings(HERE, "127.0.0.1:1")
    assert settings.secret not in repr(settings)


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"key": "header:X-User-Id", "slot_s": 1, "max_percent": 0.1},
        {"dark_state": "shared", "only_paths": ("/api/", "/x.y"), "excluded": ()},
        {
            "allow_cookies": ("uid", "a"),
            "allow_headers": ("Authorization",),
            "methods": ("GET", "POST"),
            "worker_processes": 2,
        },
    ],
)
def test_nginx_takes_what_is_rendered_in_a_folder_that_only_its_owner_can_read(
    folder: Path, nginx: Path, changes: dict[str, Any]
) -> None:
    extra = Route(prefix="/ev/", upstreams=("127.0.0.1:2", "127.0.0.1:3"))
    settings = split_settings(folder, "127.0.0.1:1", routes=(ROUTE, extra), **changes)
    for files in (render(settings, folder), render_naive(settings, folder, "127.0.0.1:9")):
        prepare(folder, settings, files)
        argv = [str(nginx), "-t", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
        told = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        assert told.returncode == 0, told.stderr
        assert "warn" not in told.stderr, told.stderr
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "nginx.conf").stat().st_mode & 0o777 == 0o600
    assert (folder / "secret").read_text() == settings.secret + "\n"


def test_who_asks_for_no_tls_gets_nothing_of_it() -> None:
    text = render(split_settings(HERE, "127.0.0.1:1"), HERE)["nginx.conf"]
    for word in ("ssl", "http2", "https", "X-Forwarded-Proto"):
        assert word not in text, word
    assert text.count("max_fails=0") == 2, "of the sink, and of the only production there is"


@pytest.mark.parametrize("name", ["a b.pem", "a;.pem", '".pem', "$x.pem", "{.pem"])
def test_no_file_can_write_into_the_configuration(name: str) -> None:
    good, bad = HERE / "good.pem", HERE / name
    for front in (
        {"certificate": bad, "certificate_key": good},
        {"certificate": good, "certificate_key": bad},
    ):
        with pytest.raises(UsageError, match="certificate"):
            split_settings(HERE, "127.0.0.1:1", front=Front(**front))
    with pytest.raises(UsageError, match="file of CAs"):
        Route(prefix="/", upstreams=("h:1",), tls=UpstreamTls(name="h", cacert=bad))


def test_settings_are_values() -> None:
    with pytest.raises(AttributeError):
        split_settings(HERE, "127.0.0.1:1").salt = "other"  # type: ignore[misc]
    assert SplitSettings.__dataclass_params__.frozen  # type: ignore[attr-defined]
