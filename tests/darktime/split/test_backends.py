"""The servers behind somebody's nginx are found wherever its configuration names them, and compared with the dark instance."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import crossplane
import pytest

from darktime.errors import UsageError
from darktime.split.backends import Backends, of_mirror, of_places
from darktime.split.dark_side import parse_instance
from darktime.split.in_force import places
from darktime.split.instances import refuse_backends

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = """\
events { }
http {
  upstream app {
    zone app 64k; server 10.0.0.1; server 10.0.0.2:8000 weight=2; server unix:/run/app.sock backup; server 10.0.0.9 down;
  }
  map $http_x_new $chosen { default app; yes 10.0.0.3:81; }
  map $uri $page { hostnames; default /x; }
  server {
    listen 80; server_name site.example;
    set $kept http://10.0.0.4:8000;
    MIRRORED
    location @named { proxy_pass http://10.0.0.5:8000; }
    location ~ [.]php$ { fastcgi_pass unix:/run/php.sock; }
    location /elsewhere { proxy_pass http://10.9.9.9; }
  }
}
"""
APP = ["10.0.0.1:80", "10.0.0.2:8000", "unix:/run/app.sock"]


@pytest.mark.parametrize(
    ("within", "addresses", "unread"),
    [
        ("proxy_pass http://app;", APP, []),
        ("proxy_pass http://APP/below/;", APP, []),
        ("proxy_pass https://10.0.0.6;", ["10.0.0.6:443"], []),
        ("proxy_pass http://www.example.org:8000/x?y=1;", ["www.example.org:8000"], []),
        ("proxy_pass http://[::1]:8000;", ["[::1]:8000"], []),
        ("proxy_pass http://[::1];", ["[::1]:80"], []),
        ("proxy_pass http://unix:/run/x.sock:/uri/;", ["unix:/run/x.sock"], []),
        ("uwsgi_pass unix:///run/u.sock;", ["unix:/run/u.sock"], []),
        ("uwsgi_pass uwsgi://10.0.0.6:3031;", ["10.0.0.6:3031"], []),
        ("fastcgi_pass 10.0.0.6:9000;", ["10.0.0.6:9000"], []),
        ("scgi_pass 10.0.0.6:9000;", ["10.0.0.6:9000"], []),
        ("grpc_pass grpcs://10.0.0.6;", ["10.0.0.6:443"], []),
        ("proxy_pass http://$chosen;", [*APP, "10.0.0.3:81"], []),
        ("proxy_pass $kept/x;", ["10.0.0.4:8000"], []),
        ("proxy_pass http://10.0.0.6:8000$request_uri;", ["10.0.0.6:8000"], []),
        ("proxy_pass http://$host:8000;", [], ["http://$host:8000"]),
        ("if ($arg_x) { proxy_pass http://10.0.0.7; } proxy_pass http://10.0.0.6;", ["10.0.0.7:80", "10.0.0.6:80"], []),
        ("proxy_pass http://10.0.0.6; location /in/ { proxy_pass http://10.0.0.7; }", ["10.0.0.6:80", "10.0.0.7:80"], []),
        ("try_files $uri @named;", ["10.0.0.5:8000"], []),
        ("error_page 502 = @named; proxy_pass http://10.0.0.6;", ["10.0.0.6:80", "10.0.0.5:8000"], []),
        ("try_files $uri /index.php;", ["10.0.0.5:8000", "unix:/run/php.sock", "10.9.9.9:80"], []),
    ],
)  # fmt: skip
def test_what_a_mirrored_location_passes_requests_to_is_found(
    tmp_path: Path, within: str, addresses: list[str], unread: list[str]
) -> None:
    path = tmp_path / "nginx.conf"
    path.write_text(TEXT.replace("MIRRORED", f"location /mirrored {{ mirror /m; {within} }}"))
    parsed = crossplane.parse(str(path), combine=True)
    assert parsed["status"] == "ok", parsed["errors"]
    tree = parsed["config"][0]["parsed"]
    chosen = [place for place in places(tree, "/log") if place.location == "/mirrored"]
    found = of_places(tree, chosen)
    assert sorted(found.addresses) == sorted(addresses)
    assert list(found.unread) == unread
    assert of_mirror(tree, "/m") == found
    assert of_mirror(tree, "/other") == Backends()


@contextmanager
def listening(*at: str) -> Iterator[None]:
    """One process that listens at all of these: HOST:PORT, or a path."""
    text = (
        "import socket, sys\nheld = []\nfor at in sys.argv[1:]:\n"
        "    one = socket.socket(socket.AF_UNIX if '/' in at else socket.AF_INET)\n"
        "    host, _, port = at.rpartition(':')\n"
        "    one.bind(at if '/' in at else (host, int(port))); one.listen(); held.append(one)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", text, *at]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.terminate()
            process.wait(10)


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return "127.0.0.1:{}".format(*probe.getsockname()[1:])


def test_a_dark_instance_that_is_a_backend_by_another_name_is_refused() -> None:
    at = free_address()
    port = at.rpartition(":")[2]
    dark = parse_instance(f"http://localhost:{port}")
    with (
        listening(f"0.0.0.0:{port}"),
        pytest.raises(UsageError, match=rf"is 127\.0\.0\.2:{port}, .*name another instance"),
    ):
        refuse_backends([free_address(), f"127.0.0.2:{port}"], [dark], where="nginx.conf")
    assert refuse_backends([free_address()], [dark], where="nginx.conf") == []


def test_a_process_that_listens_at_the_unix_socket_and_at_the_dark_address_is_production(tmp_path: Path) -> None:
    sock, at = tmp_path / "app.sock", free_address()
    link, backend = tmp_path / "link.sock", f"unix:{sock}"
    link.symlink_to(sock)
    dark = parse_instance(f"http://{at}")
    with listening(str(sock), at):
        for name in (backend, f"unix:{link}"):
            with pytest.raises(UsageError, match=f"is {name}, where"):
                refuse_backends([name], [dark], where="nginx.conf")
    sock.unlink()
    with listening(str(sock)), listening(at):
        assert refuse_backends([backend], [dark], where="nginx.conf") == []


def test_a_backend_that_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    dark = parse_instance(f"http://{free_address()}")
    left = refuse_backends([f"unix:{tmp_path}/none", "nobody.invalid:80"], [dark], where="nginx.conf")
    assert any(f"unix:{tmp_path}/none" in one for one in left)
    assert any("nobody.invalid:80" in one and "not known" in one for one in left)
    unknown = parse_instance("http://nobody.invalid:80")
    with pytest.raises(UsageError, match=r"dark nobody\.invalid:80 is nobody\.invalid:80"):
        refuse_backends(["nobody.invalid:80"], [unknown], where="nginx.conf")
