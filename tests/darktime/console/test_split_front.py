"""``darktime split`` with TLS and HTTP/2 in front, and production by TLS, in several instances: as its user says it."""

import json
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from darktime.console.main import DARKTIME, run
from darktime.errors import ExitCode
from realtime_core.free_ports import free_port
from realtime_core.stack import find_nginx
from tests.darktime.split.certificates import Authority
from tests.darktime.split.h2_client import H2Client
from tests.darktime.split.servers import Origin
from tests.support.ports import refuses
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

COMMAND = Path(sys.executable).parent / "darktime"
USERS = 19  # one fewer than a latency is judged from: a busy machine must not decide how a test ends


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("DNS:site.example")


@pytest.fixture
def origin():
    made = []

    def make(pair=None):
        one = Origin()
        made.append(one)
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            one.socket = context.wrap_socket(one.socket, server_side=True, do_handshake_on_connect=False)
        return one

    yield make
    for one in made:
        one.stop()


def test_by_tls_and_http_2_all_the_way_every_instance_gets_requests_and_copies_are_compared(
    tmp_path, authority, pair, origin
):
    """All of it from the settings file; two instances behind one name, trusted by a CA of their own."""
    productions, dark, port = [origin(authority.issue("DNS:localhost")) for _ in range(2)], origin(), free_port()
    lines = {
        "production": [f"https://localhost:{one.server_port}" for one in productions],
        "production_cacert": str(authority.cacert),
        "dark": f"http://{dark.address}",
        "listen": f"127.0.0.1:{port}",
        "certificate": str(pair[0]),
        "certificate_key": str(pair[1]),
        "key": "cookie:uid",
        "dark_state": "isolated",
    }
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
    (tmp_path / "darktime.toml").write_text(f"[split]\n{text}")
    words = [COMMAND, "split", "--percent", "100", "--out", "run", "--json"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as split:
        try:
            wait_until((tmp_path / "run" / "split.json").exists, timeout_s=20)
            tls = ssl.create_default_context(cafile=str(authority.cacert))
            tls.set_alpn_protocols(["h2"])
            with H2Client(f"127.0.0.1:{port}", tls) as client:
                answers = client.many("/page", [("cookie", f"uid=u{number}") for number in range(USERS)], parallel=5)
            state = tmp_path / "run" / "relay.json"
            wait_until(lambda: json.loads(state.read_text())["compared"] == USERS, timeout_s=10)
        finally:
            split.terminate()
        out, err = split.communicate(timeout=20)
    assert {(one.status, one.body) for one in answers} == {(200, b"hello /page")}
    assert all(one.asked["GET /page"] for one in productions)
    assert {head["host"] for one in productions for head in one.heads} == {"site.example"}
    results = json.loads(out)
    require_schema(results)
    assert split.returncode == results["exit_code"] == 5, err
    assert results["production"] == ", ".join(lines["production"])
    assert f"production's requests go to https://127.0.0.1:{port}" in err


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """What the command says before it has started anything."""
    monkeypatch.chdir(tmp_path)

    def ask(*words, production=("http://127.0.0.1:1",), percent="5"):
        port = free_port()
        given = [word for url in production for word in ("--production", url)]
        always = ["--key", "cookie:uid", "--dark-state", "isolated", "--listen", f"127.0.0.1:{port}", "--duration", "1"]
        code = run(DARKTIME, ["split", "--percent", percent, *given, *always, *map(str, words)])
        assert code == ExitCode.USAGE
        assert refuses(port)
        return capsys.readouterr().err

    return ask


def test_a_certificate_that_has_expired_or_is_another_keys_is_said_before_anything_starts(refused, authority, pair):
    dark = ("--dark", "http://127.0.0.1:2")
    expired = authority.issue("DNS:site.example", days=-1)
    said = refused(*dark, "--certificate", expired[0], "--certificate-key", expired[1])
    assert f"--certificate {expired[0]}: it has expired; renew it" in said
    said = refused(*dark, "--certificate", pair[0], "--certificate-key", expired[1])
    assert f"--certificate-key {expired[1]} is not the key of the first certificate" in said
    assert "--certificate goes with --certificate-key" in refused(*dark, "--certificate", pair[0])


def test_a_recording_has_the_same_front(tmp_path, monkeypatch, capsys, authority):
    monkeypatch.chdir(tmp_path)
    certificate, key = authority.issue("DNS:site.example", days=-1)
    words = ["--certificate", str(certificate), "--certificate-key", str(key), "--production", "http://127.0.0.1:1"]
    assert run(DARKTIME, ["record", "--percent", "5", "--key", "cookie:uid", *words]) == ExitCode.USAGE
    assert "it has expired" in capsys.readouterr().err


def test_a_production_whose_certificate_nobody_can_verify_is_said_and_not_a_502_to_users(refused, authority, origin):
    dark, strange = ("--dark", f"http://{origin().address}"), origin(authority.issue("DNS:localhost"))
    url = f"https://localhost:{strange.server_port}"
    said = refused(*dark, production=(url,))
    assert f"production {url}: its certificate is not accepted" in said
    assert "--production-cacert FILE" in said
    said = refused(*dark, "--production-cacert", authority.cacert, "--production-name", "a.example", production=(url,))
    assert "is not accepted (Hostname mismatch" in said
    assert not strange.heads


def test_of_several_production_instances_none_may_be_the_dark_one(refused, origin):
    one, two = (f"http://{origin().address}" for _ in range(2))
    assert "are the same server" in refused("--dark", two, production=(one, two))


def test_that_nobody_verifies_production_is_said_loudly(refused, authority, origin, tmp_path):
    dark, strange = origin(), origin(authority.issue("DNS:localhost"))
    said = refused(  # that many percent are refused later, once production has been reached
        *("--dark", f"http://{dark.address}", "--production-insecure"),
        production=(f"https://127.0.0.1:{strange.server_port}",),
        percent="200",
    )
    assert "NOBODY VERIFIES" in said


@pytest.mark.parametrize("by_file", [False, True], ids=["option", "file"])
def test_http_2_without_tls_is_a_newer_nginxs(refused, tmp_path, by_file):
    nginx = find_nginx()
    old = tuple(map(int, nginx.version.split("."))) < (1, 25, 1)
    if by_file:
        (tmp_path / "darktime.toml").write_text("[split]\nhttp2 = true\n")
    said = refused("--dark", "http://127.0.0.1:2", "--nginx", nginx.path, *(() if by_file else ("--http2",)))
    assert ("takes nginx 1.25.1 or newer" in said) == old


@pytest.mark.parametrize(
    "words",
    [("--certificate", "a.pem"), ("--no-http2",), ("--production-insecure",), ("--production-name", "a.example")],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("option", ["--emit", "--include"])
def test_what_only_an_nginx_of_ours_takes_is_refused_beside_one_that_is_there(refused, tmp_path, option, words):
    said = refused(option, tmp_path, "--dark", "http://127.0.0.1:2", *words, production=())
    assert f"{words[0].replace('--no-', '--')} is for an nginx that darktime starts; with {option}" in said
