"""Several relays of one split, described: how many, what each has to itself, and which part of the shared bounds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.errors import UsageError
from darktime.split.commands import CompareOptions, LedgerNames
from darktime.split.dark_side import dark_side
from darktime.split.in_force import Place, Spot, worker_connections
from darktime.split.include import http_include, server_include
from darktime.split.nginx_blocks import relay_upstream, sink_server
from darktime.split.nginx_config import render
from darktime.split.record.file import RecordLimits
from darktime.split.record.recorder import RecordSettings
from darktime.split.relay.__main__ import _arguments, _settings
from darktime.split.relay.settings import CompareSettings, RelaySettings
from darktime.split.relay.shares import share_of
from darktime.split.relays import Relays
from darktime.split.sampling import murmur2, sampled
from darktime.split.worker_blocks import too_few
from darktime.split.workers import is_relay, workers_of
from tests.darktime.split.conftest import split_settings

if TYPE_CHECKING:
    from darktime.split.settings import CopySettings, SplitSettings

ROOT = Path("/tmp/of-nobody")
SPOT = Spot(file="nginx.conf", line=1, words=("server",))
PLACE = Place(
    server_names=("www.example.org",),
    listens=("80",),
    location="/",
    answers="proxy_pass",
    at=SPOT,
    server_at=SPOT,
    http_after=SPOT,
    server_logs=(("/theirs.log", "combined"),),
    logs=None,
    mirrors=(),
    log_off=False,
    has=frozenset(),
    server_has=frozenset(),
)
ONE_UPSTREAM = """\
upstream darktime_relay {
  zone darktime_relay 64k;
  server unix:/tmp/of-nobody/relay.sock max_conns=256 max_fails=5 fail_timeout=2s;
  server unix:/tmp/of-nobody/sink.sock backup max_fails=0;
  keepalive 32;
}
"""
ONE_SINK = """\
server {
  listen unix:/tmp/of-nobody/sink.sock;
  client_max_body_size 0;
  access_log syslog:server=127.0.0.1:5001,tag=darktime,nohostname darktime_sink;
  return 204;
}
"""


def settings_of(relays: int, **changes: Any) -> SplitSettings:
    ports = {"log_port": 5001, "more_log_ports": tuple(range(5002, 5001 + relays))}
    return split_settings(ROOT, "127.0.0.1:9", listen="127.0.0.1:8", secret="s" * 24, **ports, **changes)


def drawn(settings: CopySettings, user: str, relays: int) -> int:
    """Which relay nginx draws for a user, from 1 on: parts of split_clients are cumulative, in hundredths of a percent."""
    part = (10_000 // relays) * 0xFFFFFFFF // 10_000
    return min(murmur2(f"worker:{settings.salt}:{user}".encode()) // part + 1, relays)


def relays_of(relays: int, results: Path = ROOT, **more: Any) -> Relays:
    given = {"dark": dark_side(["http://127.0.0.1:7"]), "free_port": iter(range(6001, 6033)).__next__, **more}
    return Relays(settings=settings_of(relays), secrets=ROOT, results=results, **given)


def test_one_relay_is_configured_as_if_there_were_no_others() -> None:
    settings = settings_of(1)
    assert (relay_upstream(settings), sink_server(settings)) == (ONE_UPSTREAM, ONE_SINK)
    text = render(settings, ROOT)["nginx.conf"]
    assert "proxy_pass http://darktime_relay$request_uri;" in text
    assert text.count("access_log syslog:server=127.0.0.1:5001,tag=darktime,nohostname darktime;") == 1
    assert text.count("access_log syslog:server=127.0.0.1:5001,tag=darktime,nohostname darktime_other;") == 1
    included = http_include(settings) + server_include(settings, ROOT, PLACE)
    assert "set $darktime_told 1;" in included
    assert "set $darktime_copied 1;" in included
    for word in ("darktime_worker", "darktime_whose", "darktime_to", "darktime_relay_", "darktime_log_"):
        assert word not in text.replace("darktime_told", "") + included.replace("darktime_told", "")


@pytest.mark.parametrize(("relays", "kept", "most"), [(1, 32, 256), (2, 16, 128), (5, 6, 51), (32, 1, 32)])
def test_all_upstreams_together_take_no_more_of_nginx_s_connections_than_one_does(
    relays: int, kept: int, most: int
) -> None:
    text = relay_upstream(settings_of(relays))
    assert text.count(f"  keepalive {kept};\n") == text.count(f" max_conns={most} ") == relays
    assert relays * kept <= 32


def test_an_nginx_with_too_few_connections_for_copies_is_told_so() -> None:
    assert too_few(512, settings_of(1)) == ""
    assert "worker_connections 511 in this nginx: copies alone may take 256" in too_few(511, settings_of(1))
    assert "let it be 2,048 at least, or fewer --relay-workers" in too_few(2_000, settings_of(32))
    parse = [{"directive": "events", "block": [{"directive": "worker_connections", "args": ["768"]}]}]
    assert (worker_connections(parse), worker_connections([])) == (768, 512)


@pytest.mark.parametrize("relays", [2, 3, 32])
def test_each_relay_has_its_socket_its_sink_and_its_port_and_they_are_drawn_alike(relays: int) -> None:
    settings = settings_of(relays)
    workers = workers_of(settings)
    assert len({path for one in workers for path in (one.relay_socket, one.sink_socket)}) == 2 * relays
    assert [one.name for one in workers] == [f"relay-{number}" for number in range(1, relays + 1)]
    text = render(settings, ROOT)["nginx.conf"]
    for number, one in enumerate(workers, 1):
        for said in (
            f"upstream darktime_relay_{number} {{",
            f"server unix:{one.relay_socket} max_conns=",
            f"server unix:{one.sink_socket} backup max_fails=0;",
            f"listen unix:{one.sink_socket};",
            f"127.0.0.1:{one.log_port},tag=darktime,nohostname darktime_sink;",
            f"127.0.0.1:{one.log_port},tag=darktime,nohostname darktime if=$darktime_to_{number};",
            f"127.0.0.1:{one.log_port},tag=darktime,nohostname darktime_other if=$darktime_to_{number};",
        ):
            assert text.count(said) == 1, said
    assert f"  {10_000 // relays / 100:.2f}% _1;\n" in text
    assert f"  * _{relays};\n" in text
    included = server_include(settings, ROOT, PLACE)
    assert included.count(" darktime if=$darktime_log_") == included.count(" darktime_other if=") == relays


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        (tuple(range(5002, 5034)), "--relay-workers 33: 1 to 32, please"),
        ((5002, 5001), "each relay has its own"),
        ((70_000,), "log port 70000"),
    ],
    ids=["too many", "one port twice", "no port"],
)
def test_what_cannot_be_is_refused(ports: tuple[int, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        split_settings(ROOT, "127.0.0.1:9", log_port=5001, more_log_ports=ports)


def test_a_socket_with_a_number_must_fit_too() -> None:
    path = Path("/tmp") / ("x" * 90) / "relay.sock"
    assert len(str(path)) <= 107
    with pytest.raises(UsageError, match="shorter folder"):
        split_settings(
            ROOT, "127.0.0.1:9", log_port=5001, more_log_ports=(5002,), relay_socket=path.with_name("r" * 10)
        )


def test_relays_listen_write_count_and_export_apart() -> None:
    found = relays_of(3, ledger=LedgerNames(url="redis://h", name="n", owner="front"))
    commands = list(found.commands())
    options = [_arguments().parse_args(command.argv[3:]) for command in commands]
    for name in ("socket", "log_port", "state", "pairs", "population", "metrics", "owner"):
        assert len({getattr(one, name) for one in options}) == 3, name
    assert [one.owner for one in options] == ["front-1", "front-2", "front-3"]
    assert [command.name for command in commands] == list(found.parts) == list(found.exporters)
    assert all(is_relay(command.name) for command in commands)
    assert {one.one_of for one in options} == {3}
    alone = relays_of(1)
    (only,) = alone.commands()
    assert (only.name, alone.parts, alone.gathering({})) == ("relay", {}, None)
    assert "--one-of" not in only.argv
    assert alone.files.state == ROOT / "relay.json"


def test_a_recording_is_written_in_parts_that_count_from_the_same_moment(tmp_path: Path) -> None:
    record = RecordSettings(path=tmp_path / "kept.jsonl.gz", experiment="e", key="ip")
    options = [_arguments().parse_args(one.argv[3:]) for one in relays_of(2, record=record).commands()]
    assert [one.record.name for one in options] == ["kept.jsonl-relay-1.gz", "kept.jsonl-relay-2.gz"]
    assert options[0].record_began == options[1].record_began > 1.7e9
    (only,) = relays_of(1, record=record).commands()
    assert _arguments().parse_args(only.argv[3:]).record == record.path


@given(relays=st.integers(1, 32), connections=st.integers(1, 1024), per_s=st.floats(0.1, 10_000))
def test_relays_together_never_take_more_of_others_than_one_may(relays: int, connections: int, per_s: float) -> None:
    compare = CompareSettings(secondary=("h", 1), per_s=per_s, most=100, connections=64)
    limits = RecordLimits(bytes=10**6, requests=10**4)
    whole = RelaySettings(
        dark=dark_side(["http://h:1"], connections=connections),
        secret="s",
        state=ROOT,
        compare=compare,
        record=RecordSettings(path=ROOT, experiment="e", key="ip", limits=limits),
    )
    if connections < relays:
        with pytest.raises(UsageError, match="each needs one"):
            share_of(whole, relays)
        return
    part = share_of(whole, relays)
    assert part.dark is not None
    assert part.compare is not None
    assert part.record is not None
    assert 1 <= part.dark.connections * relays <= connections
    assert part.compare.per_s * relays == pytest.approx(per_s)
    assert part.compare.most * relays <= compare.most
    assert part.compare.connections * relays <= compare.connections
    assert part.record.limits.bytes * relays <= limits.bytes
    assert part.record.limits.requests * relays <= limits.requests
    assert part.limits.pairs_bytes * relays <= whole.limits.pairs_bytes
    # What each had when it could have no more, or its part of what one may have.
    assert 4_194_304 <= part.limits.lines_bytes <= max(4_194_304, whole.limits.lines_bytes / relays)
    assert (part.limits.streams, part.limits.queue_bytes) == (whole.limits.streams, whole.limits.queue_bytes)
    assert relays > 1 or part == whole


@pytest.mark.parametrize("percent", [5, 50])
def test_those_who_are_in_spread_over_all_relays_whatever_the_percentage(percent: float) -> None:
    """Drawn by the hash that says who is in they would all lie at its beginning, and be one relay's."""
    relays, settings = 4, settings_of(4)
    users = [user for user in (f"u{number}" for number in range(12_000)) if sampled(settings.salt, user, percent)]
    spread = Counter(drawn(settings, user, relays) for user in users)
    even = len(users) / relays
    assert sorted(spread) == [1, 2, 3, 4]
    assert all(abs(count - even) < 5 * even**0.5 for count in spread.values())


def test_too_few_connections_are_refused_before_any_relay_is_started() -> None:
    with pytest.raises(UsageError, match="--dark-connections 2: 3 relays share them"):
        relays_of(3, dark=dark_side(["http://127.0.0.1:7"], connections=2))


def test_a_relay_takes_its_part_by_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s" * 24)
    found = Relays(
        settings=settings_of(4),
        secrets=tmp_path,
        results=tmp_path,
        dark=dark_side(["http://127.0.0.1:7"], connections=64),
        free_port=lambda: 6001,
        compare=CompareOptions(secondary="http://127.0.0.1:6", per_s=50.0),
    )
    command = list(found.commands())[1]
    settings = _settings(_arguments().parse_args(command.argv[3:]))
    assert settings.dark is not None
    assert settings.compare is not None
    assert (settings.dark.connections, settings.compare.per_s, settings.limits.pairs_bytes) == (16, 12.5, 150_000_000)
    assert settings.socket == ROOT / "relay-2.sock"
