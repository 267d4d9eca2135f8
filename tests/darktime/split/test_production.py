"""Production by TLS, and in several instances: nginx verifies what the preflight verified, and goes on without one that dies."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from darktime.errors import UsageError
from darktime.split.commands import nginx_command
from darktime.split.dark_side import parse_instance
from darktime.split.instances import answers, check_instances
from darktime.split.production import Production, UpstreamTls, production_of
from darktime.split.production_tls import check_tls, machines_cas
from darktime.split.settings import Route
from realtime_core.free_ports import free_port
from tests.darktime.split.certificates import Authority
from tests.darktime.split.conftest import CANDIDATE, binaries
from tests.darktime.split.servers import Client, Origin, Quick
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from realtime_core.stack import Stack

NAME = "www.example.org"
KEPT_FOR = 500  # requests: a plain nginx closes a connection after 1,000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


class TlsOrigin(Origin):
    """Production behind TLS; keeps the names that clients asked for."""

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__()
        self.names: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.sni_callback = lambda _link, name, _context: self.names.append(name)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


@pytest.fixture
def secured() -> Iterator[Callable[..., TlsOrigin]]:
    made: list[TlsOrigin] = []

    def make(certificate: Path, key: Path) -> TlsOrigin:
        made.append(TlsOrigin(certificate, key))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.parametrize(
    ("urls", "options", "says"),
    [
        ([], {}, "0 production instances"),
        (["ftp://a:1"], {}, "production ftp://a:1: http://HOST:PORT"),
        (["http://a"], {}, "production http://a:"),
        (["http://a:1", "http://a:1"], {}, "each instance once"),
        (["http://a:1", "https://b:2"], {}, "all by http:// or all by https://"),
        (["http://a:1"], {"name": NAME}, "are for https://"),
        (["http://a:1"], {"insecure": True}, "are for https://"),
        (["https://10.0.0.7"], {}, "--production-name"),
        (["https://[::1]:8443"], {}, "--production-name"),
        (["https://a", "https://b"], {}, "--production-name"),
        (["https://a"], {"name": "10.0.0.7"}, "and no address"),
    ],
)
def test_what_no_nginx_could_verify_or_reach_is_refused(urls: list[str], options: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        production_of(urls, **options)


@pytest.mark.parametrize("name", ["a b", "a;", 'a"', "$host", "a/b"])
def test_no_name_can_write_into_the_configuration(name: str) -> None:
    with pytest.raises(UsageError, match="--production-name"):
        UpstreamTls(name=name, cacert=None)


def test_a_port_that_is_left_out_is_that_of_https_and_one_host_needs_no_other_name() -> None:
    production = production_of([f"https://{NAME}", f"https://{NAME}:8443/"])
    assert production.at == (f"{NAME}:443", f"{NAME}:8443")
    assert production.tls_name == NAME
    assert production_of(["https://10.0.0.7", "https://10.0.0.8"], insecure=True).tls_name == ""


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
def test_nginx_accepts_what_the_preflight_accepts_and_nothing_else(
    make_split: Callable, secured: Callable, authority: Authority, tmp_path: Path, nginx: Path
) -> None:
    """One route for each certificate; who is refused by the preflight would be a 502."""
    other = Authority(tmp_path)
    names = f"DNS:{NAME}"
    cases = {
        "good": (authority.issue(names), NAME, authority.cacert),
        "wildcard": (authority.issue("DNS:*.example.org"), NAME, authority.cacert),
        "chain": (authority.issue_by_two(names), NAME, authority.cacert),
        "stranger": (other.issue(names), NAME, authority.cacert),
        "name": (authority.issue("DNS:other.example.org"), NAME, authority.cacert),
        "expired": (authority.issue(names, days=-1), NAME, authority.cacert),
        "client": (authority.issue(names, usage="clientAuth"), NAME, authority.cacert),
        "insecure": (other.issue("DNS:elsewhere.example"), NAME, None),
        "nameless": (other.issue("DNS:elsewhere.example"), "", None),
    }
    servers = {case: secured(*pair) for case, (pair, _, _) in cases.items()}
    routes = tuple(
        Route(
            prefix=f"/{case}/",
            upstreams=(servers[case].address,),
            mirrored=True,
            tls=UpstreamTls(name=name, cacert=cacert),
        )
        for case, (_, name, cacert) in cases.items()
    )
    split = make_split("127.0.0.1:1", routes=(*routes, Route(prefix="/", upstreams=("127.0.0.1:1",))))
    split.start(nginx=nginx)
    before, at_nginx, said = {}, {}, []
    for case, (_, name, cacert) in cases.items():
        instance = parse_instance(f"https://{servers[case].address}")
        asked = Production(instances=(instance,), name=name or None, cacert=cacert, insecure=cacert is None)
        try:
            check_tls(asked, cacert)
            before[case] = True
        except UsageError as error:
            before[case] = False
            said.append(str(error))
        for cookie in (CANDIDATE, "Cookie: other=1"):
            with split.client() as client:
                head, _ = client.get(f"/{case}/x", cookie)
            at_nginx.setdefault(case, set()).add(head.split(b" ")[1])
    assert {case: {b"200"} if accepted else {b"502"} for case, accepted in before.items()} == at_nginx
    assert [case for case, accepted in before.items() if accepted] == [
        "good",
        "wildcard",
        "chain",
        "insecure",
        "nameless",
    ]
    assert all("is not accepted" in one and "--production-insecure" in one for one in said)
    assert set(servers["good"].names) == {NAME}
    assert set(servers["nameless"].names) == {None}
    assert {head["host"] for head in servers["good"].heads} == {"site.example"}, "the client's own, as without TLS"


def test_a_plain_server_at_https_and_a_file_without_cas_are_named(origin: Callable, tmp_path: Path) -> None:
    plain = production_of([f"https://{origin().address}"], name=NAME)
    with pytest.raises(UsageError, match=r"no TLS there .*write http://"):
        check_tls(plain, machines_cas())
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    for cacert in (empty, tmp_path / "none.pem"):
        with pytest.raises(UsageError, match=rf"--production-cacert {cacert}: .*in PEM"):
            check_tls(plain, cacert)


def test_a_production_that_does_not_answer_is_waited_for_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darktime.split.production_tls.LIMIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UsageError, match=rf"production {url}: no TLS there \(.*timed out"):
            check_tls(production_of([url], insecure=True), None)


def test_the_machines_cas_are_those_that_everybody_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cacert))
    assert machines_cas() == authority.cacert
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: ssl.DefaultVerifyPaths(*[None] * 6))
    monkeypatch.setattr("darktime.split.production_tls._BUNDLES", ())
    with pytest.raises(UsageError, match="--production-cacert FILE"):
        machines_cas()


def test_each_instance_of_production_is_asked_whether_it_is_the_dark_one(origin: Callable) -> None:
    one, two, dark = (parse_instance(f"http://{origin().address}") for _ in range(3))
    check_instances([one, two], [dark])
    with pytest.raises(UsageError, match=rf"production {two.at} and dark {two.at} are the same server"):
        check_instances([one, two], [dark, two])
    with pytest.raises(UsageError, match=f"production {two.at} is where nginx is to listen"):
        check_instances([one, two], [dark], listen=two.at)
    dead = parse_instance(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UsageError, match=f"production {dead.url}: nobody listens there"):
        check_instances([one, dead], [dark])


class Dropper:
    """Reads a request whole, and ends the connection without an answer."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            link, _ = self._listener.accept()
            with link:
                data = link.recv(65536)
                if data == b"stop":
                    return
                self.asked[data.split(b" ", 1)[0].decode()] += bool(data)

    def stop(self) -> None:
        host, port = self._listener.getsockname()
        with socket.create_connection((host, port)) as link:
            link.sendall(b"stop")
        self._thread.join()
        self._listener.close()


@pytest.fixture
def made() -> Iterator[Callable]:
    servers: list[Dropper | Quick] = []

    def make(kind: type) -> Dropper | Quick:
        servers.append(kind())
        return servers[-1]

    yield make
    for one in servers:
        one.stop()


PLAIN = """daemon off;
pid {folder}/plain.pid;
error_log {folder}/plain.log;
events {{ }}
http {{
  access_log off;
  {temporary}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  {upstreams}
  server {{
    listen {listen};
    {locations}
  }}
}}
"""


@pytest.fixture
def fronts(make_split: Callable, stack: Stack, folder: Path) -> Callable[..., dict[str, str]]:
    """The addresses of an nginx of ours, and of a plain one; each has routes to servers, by prefix."""

    def start(nginx: Path, ours: Mapping[str, Sequence[str]], plain: Mapping[str, Sequence[str]]) -> dict[str, str]:
        routes = tuple(
            Route(prefix=prefix, upstreams=tuple(servers), mirrored=True) for prefix, servers in ours.items()
        )
        split = make_split("127.0.0.1:1", routes=routes)
        split.start(nginx=nginx)
        port = free_port()
        upstreams = (
            f"upstream plain_{at} {{ {' '.join(f'server {one};' for one in servers)} keepalive 256; }}"
            for at, servers in enumerate(plain.values())
        )
        locations = (f"location {prefix} {{ proxy_pass http://plain_{at}; }}" for at, prefix in enumerate(plain))
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        config = folder / "plain.conf"
        config.write_text(
            PLAIN.format(
                folder=folder,
                listen=f"127.0.0.1:{port}",
                upstreams=" ".join(upstreams),
                locations=" ".join(locations),
                temporary=" ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds),
            )
        )
        argv = [str(config) if word.endswith("nginx.conf") else word for word in nginx_command(nginx, folder).argv]
        stack.start("plain", argv, ready=lambda: answers("127.0.0.1", port))
        return {"ours": split.address, "plain": f"127.0.0.1:{port}"}

    return start


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
def test_one_of_two_instances_is_killed_under_load_and_nobody_notices_as_with_a_plain_nginx(
    fronts: Callable, made: Callable, nginx: Path
) -> None:
    dying, staying = made(Quick), made(Quick)
    stop, failures, answered = threading.Event(), Counter(), Counter()

    def browse(name: str, address: str) -> None:
        while not stop.is_set():
            with Client(address) as client:
                for _ in range(KEPT_FOR):
                    head, body = client.get("/page", CANDIDATE)
                    answered[name] += 1
                    failures[name] += (b" 200 " not in head) or body != b"ok"
                    if stop.is_set():
                        return

    both = {"/": (dying.address, staying.address)}
    addresses = fronts(nginx, both, both)
    threads = [threading.Thread(target=browse, args=one) for one in addresses.items() for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: min(answered[name] for name in addresses) > 50 and dying.requests > 20, timeout_s=10)
        dying.stop()
        before = dict(answered)
        wait_until(lambda: all(answered[name] > before[name] + 100 for name in addresses), timeout_s=10)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures["plain"] == 0, "or the servers are not what this is about"
    assert failures["ours"] == 0


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
def test_what_may_have_changed_something_is_not_asked_twice_and_what_only_reads_is(
    fronts: Callable, made: Callable, origin: Callable, nginx: Path
) -> None:
    """One instance reads each request and dies of it; three requests, so that it is the first one's turn at least once."""
    kinds = {"/": ("GET", b""), "/pay/": ("POST", b"amount=100"), "/drop/": ("DELETE", b"")}
    servers = {name: {prefix: (made(Dropper), origin()) for prefix in kinds} for name in ("ours", "plain")}
    told = {
        name: {prefix: [one.address for one in two] for prefix, two in pairs.items()} for name, pairs in servers.items()
    }
    seen = {}
    for name, address in fronts(nginx, told["ours"], told["plain"]).items():
        for prefix, (method, body) in kinds.items():
            statuses = Counter()
            for _ in range(3):
                with Client(address) as client:
                    statuses[client.get(prefix, CANDIDATE, method=method, body=body)[0][9:12]] += 1
            drops, keeps = servers[name][prefix]
            seen[name, prefix] = statuses, drops.asked, keeps.asked.total()
    for prefix in kinds:
        assert seen["ours", prefix] == seen["plain", prefix], prefix
    assert seen["ours", "/"] == ({b"200": 3}, {"GET": 1}, 3)
    assert seen["ours", "/pay/"] == ({b"200": 2, b"502": 1}, {"POST": 1}, 2)
