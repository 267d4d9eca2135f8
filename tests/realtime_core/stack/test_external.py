from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.free_ports import free_port
from realtime_core.stack import external_valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_core.stack import Stack, Valkey


@contextmanager
def answering(reply: bytes | None) -> Iterator[str]:
    """A server that answers every read with the same bytes; None: it accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10.0)

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.settimeout(10.0)
                while connection.recv(4096):
                    if reply is not None:
                        connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}"
    thread.join(15.0)


def refusal(url: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        external_valkey(url, timeout_s=0.5)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_server_that_will_do_is_taken_without_warnings(valkey: Valkey) -> None:
    external = external_valkey(valkey.url)
    assert external.warnings == ()
    assert external.version >= "7"
    with external.client() as client:
        assert client.ping()


def test_settings_that_lose_data_are_warned_about(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    loose = stack.valkey(options=["--maxmemory-policy", "allkeys-lru", "--appendonly", "no"])
    external = external_valkey(loose.url)
    assert [warning.split(":")[0] for warning in external.warnings] == [
        "maxmemory-policy is allkeys-lru",
        "appendonly is off",
    ]
    assert "set noeviction" in caplog.text


def test_settings_that_cannot_be_read_are_warned_about(stack: Stack) -> None:
    closed = stack.valkey(options=["--rename-command", "CONFIG", ""])
    assert "cannot be read" in external_valkey(closed.url).warnings[0]


def test_a_wrong_password_is_one_clear_line_without_the_password(stack: Stack) -> None:
    port = free_port()
    users = ["--user", "default", "off", "--user", "app", "on", ">right", "~*", "+@all"]
    stack.valkey(listen=("127.0.0.1", port), options=users)
    for url in (f"redis://app:hunter2@127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}/0"):
        text = refusal(url)
        assert "hunter2" not in text
        assert "the password (" in text or "wants a password (NOAUTH)" in text
        assert "USER:PASSWORD" in text
    assert external_valkey(f"redis://app:right@127.0.0.1:{port}/0").version


def test_a_password_that_is_missing_is_said_without_the_protocols_own_words(stack: Stack) -> None:
    port = free_port()
    stack.valkey(listen=("127.0.0.1", port), options=["--requirepass", "right"])
    text = refusal(f"redis://127.0.0.1:{port}/0")
    assert "(NOAUTH)" in text
    assert "HELLO" not in text


@pytest.mark.parametrize(
    "rule",
    [
        ["~*", "+@all", "-@write"],
        ["~*", "+@all", "-@scripting"],
        ["~theirs:*", "+@all"],
        ["%R~*", "+@all"],
    ],
    ids=" ".join,
)
def test_a_user_who_may_not_write_is_refused_before_anything_starts(stack: Stack, rule: list[str]) -> None:
    port = free_port()
    users = ["--user", "default", "off", "--user", "app", "on", ">right", *rule]
    server = stack.valkey(listen=("127.0.0.1", port), options=users)
    text = refusal(f"redis://app:right@127.0.0.1:{port}/0")
    assert "refuses to write" in text
    assert "right@" not in text
    assert server.alive()


def test_a_server_that_only_copies_another_is_refused(stack: Stack, valkey: Valkey) -> None:
    replica = stack.valkey(options=["--replicaof", "127.0.0.1", str(free_port())])
    assert "refuses to write" in refusal(replica.url)


def test_a_server_without_room_is_refused(stack: Stack) -> None:
    full = stack.valkey(options=["--maxmemory", "1mb"])
    assert "refuses to write" in refusal(full.url)


def test_the_question_leaves_no_key(stack: Stack) -> None:
    server = stack.valkey()
    external_valkey(server.url, name="run-1")
    with server.client() as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"-DENIED Redis is running in protected mode\r\n", "it refuses"),
        (b"-ERR max number of clients reached\r\n", "it refuses"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis"),
        (b"\xff\xfe\xfd\r\n", "no Redis"),
        (None, "no answer"),
    ],
)
def test_what_refuses_or_is_no_redis_is_one_clear_line(reply: bytes | None, said: str) -> None:
    with answering(reply) as url:
        assert said in refusal(url)


def test_nobody_there_is_one_clear_line() -> None:
    assert "start it, or check host and port" in refusal(f"redis://127.0.0.1:{free_port()}")
    assert "no answer" in refusal("unix:///no/such/socket")


def test_what_is_no_url_is_said() -> None:
    assert "write redis://HOST:PORT/0" in refusal("localhost:6379")
    assert "write redis://HOST:PORT/0" in refusal("redis://localhost:port")


def test_a_server_that_is_too_old_is_refused(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_core.stack.external.MINIMUM", (99, 0))
    with pytest.raises(ConfigurationError, match="update it or name another"):
        external_valkey(valkey.url)
