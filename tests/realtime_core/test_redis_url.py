"""Which clients URLs become, and what is said of those that are none."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import SentinelConnectionPool, SentinelManagedSSLConnection

from realtime_core import redis_cluster
from realtime_core.errors import ConfigurationError
from realtime_core.redacted import without_password
from realtime_core.redis_cluster import NodeConnection, SlotMoved, TLSNodeConnection
from realtime_core.redis_url import check_one_node, connect

if TYPE_CHECKING:
    from redis import Redis


def client(url: str) -> Redis:
    return connect(url, answer_s=3.0, connect_s=1.0, name="orders")


@pytest.mark.parametrize("url", ["redis://localhost:7000/2", "rediss://u:p@localhost", "unix:///run/x.sock?db=3"])
def test_one_servers_url_is_redis_pys_own_with_our_limits_and_no_tries(url: str) -> None:
    kwargs = client(url).get_connection_kwargs()
    assert (kwargs["socket_timeout"], kwargs["socket_connect_timeout"]) == (3.0, 1.0)
    assert kwargs["retry"].get_retries() == 0


def test_sentinels_are_named_by_host_and_port_with_a_login_each_and_the_primarys() -> None:
    url = "redis+sentinel://us%40er:p%2Fw@a,[::1]:7001,b:7002/my%20primary/4?sentinel_username=s&sentinel_password=t"
    pool = client(url).connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "my primary"
    own = pool.connection_kwargs
    assert (own["username"], own["password"], own["db"], own["socket_timeout"]) == ("us@er", "p/w", 4, 3.0)
    asked = [one.get_connection_kwargs() for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in asked] == [("a", 26_379), ("::1", 7_001), ("b", 7_002)]
    assert {(one["username"], one["password"], one["socket_timeout"]) for one in asked} == {("s", "t", 1.0)}


def test_with_rediss_primary_and_sentinels_are_spoken_to_by_tls() -> None:
    pool = client("rediss+sentinel://a/p?ssl_ca_certs=/ca.pem").connection_pool
    assert pool.connection_class is SentinelManagedSSLConnection
    assert pool.connection_kwargs["ssl_ca_certs"] == "/ca.pem"
    (sentinel,) = pool.sentinel_manager.sentinels
    assert sentinel.get_connection_kwargs()["ssl_ca_certs"] == "/ca.pem"


def test_a_clusters_nodes_are_named_by_host_and_port_with_one_login_and_the_name_says_which_slot() -> None:
    pool = client("redis+cluster://us%40er:p%2Fw@a,[::1]:7001").connection_pool
    assert pool.connection_class is NodeConnection
    own = pool.connection_kwargs
    assert (own["username"], own["password"], own["socket_timeout"], own["retry"].get_retries()) == (
        "us@er",
        "p/w",
        3.0,
        1,
    )
    assert own["retry"]._supported_errors == (SlotMoved,)
    assert own["owner"]._known == (("a", 6_379), ("::1", 7_001))
    assert own["owner"]._slot == key_slot(b"rtq2:{orders}:jobs")
    secured = client("rediss+cluster://a?ssl_ca_certs=/ca.pem").connection_pool
    assert secured.connection_class is TLSNodeConnection
    assert secured.connection_kwargs["ssl_ca_certs"] == "/ca.pem"


@dataclass
class Nodes:
    """A cluster that answers out of memory: to each node's name what it says, or raises."""

    says: dict[str, list[str] | Exception]
    asked: list[str] = field(default_factory=list)
    takes_s: float = 0.0

    def shards(self, node: tuple[str, int], _: object, limit_s: float) -> list[tuple[int, int, list[tuple[str, int]]]]:
        self.asked.append(node[0])
        time.sleep(min(self.takes_s, limit_s))
        told = self.says[node[0]]
        if isinstance(told, Exception):
            raise told
        return [(0, 16_383, [(one, 1) for one in told])] if told else []


def owner_of(nodes: Nodes, monkeypatch: pytest.MonkeyPatch, *named: str) -> redis_cluster.Owner:
    monkeypatch.setattr(redis_cluster, "_shards", nodes.shards)
    return redis_cluster.Owner([(name, 1) for name in named], "orders", {})


def test_the_nodes_of_a_cluster_are_asked_in_turn_those_that_are_heard_of_too_and_those_that_left_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = ["a", "b", "c", "d"]
    nodes = Nodes({"a": there, "b": RedisConnectionError("dead"), "c": there, "d": there})
    owner = owner_of(nodes, monkeypatch, "a", "b")
    for _ in range(4):
        assert owner.address(1.0) == ("a", 1)
    assert nodes.asked == ["a", "b", "c", "d", "a"]
    there.remove("c")
    for _ in range(4):
        owner.address(1.0)
    assert nodes.asked[5:] == ["b", "c", "d", "a", "b", "d"]


def test_a_node_that_knows_nobody_makes_none_of_the_others_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes({"a": ["b", "c"], "b": RedisConnectionError("away"), "c": RedisConnectionError("away")})
    owner = owner_of(nodes, monkeypatch, "a")
    assert owner.address(1.0) == ("b", 1)
    nodes.says["a"] = []
    with pytest.raises(RedisConnectionError, match=r"a:1 knows nobody who holds slot \d+"):
        owner.address(1.0)
    nodes.says["c"] = ["c"]
    assert owner.address(1.0) == ("c", 1)


def test_asking_many_nodes_that_are_silent_takes_no_longer_than_asking_one_and_goes_on_with_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [chr(ord("a") + number) for number in range(16)]
    nodes = Nodes({name: RedisConnectionError("silent") for name in names}, takes_s=0.1)
    owner = owner_of(nodes, monkeypatch, *names)
    for _ in range(2):
        with pytest.raises(RedisConnectionError, match="silent"):
            owner.address(0.25)
    assert 2 <= len(nodes.asked) <= 6
    assert nodes.asked == names[: len(nodes.asked)]


@pytest.mark.parametrize("error", [ValueError("not enough values to unpack"), TypeError("int() argument")])
def test_what_answers_and_is_no_node_is_an_error_of_redis(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    owner = owner_of(Nodes({"a": error}), monkeypatch, "a")
    with pytest.raises(RedisConnectionError, match=r"orders's slot in the cluster is not found: a:1: (not|int)"):
        owner.address(1.0)


@pytest.mark.parametrize("kind", ["redis", "redis+sentinel", "redis+cluster"])
@pytest.mark.parametrize("login", [":se/cret@", "u:se#cret@", "u:se?cret@"])
def test_a_password_that_is_not_escaped_is_not_shown(kind: str, login: str) -> None:
    url = f"{kind}://{login}a:7000/orders"
    with pytest.raises(ConfigurationError, match="not written as %2F, %3F and %23") as error:
        client(url)
    assert "cret" not in str(error.value)
    assert "cret" not in without_password(url)


def test_in_a_cluster_queue_and_ledger_have_one_name() -> None:
    check_one_node("redis+cluster://a", queue="orders", ledger="orders", called="--ledger-name")
    check_one_node("redis+cluster://a", queue="orders", ledger=None, called="--ledger-name")
    check_one_node("redis://a", queue="orders", ledger="books", called="--ledger-name")
    with pytest.raises(ConfigurationError, match=r"--ledger-name books: in a cluster .* one name: call it orders"):
        check_one_node("rediss+cluster://a", queue="orders", ledger="books", called="--ledger-name")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://x", "write redis://HOST:PORT/0"),
        ("redis://u:secret@x:port/0", r"redis://\*\*\*@x:port/0"),
        ("redis+sentinel://a,b", "does not say what the sentinels call the primary"),
        ("redis+sentinel:///p", "0 sentinels: 1 to 16"),
        ("redis+sentinel://" + ",".join("abcdefghijklmnopq") + "/p", "17 sentinels: 1 to 16"),
        ("redis+sentinel://a:b/p", "redis.sentinel://a:b/p: .*HOST:PORT"),
        ("redis+sentinel://a/p/x", "database 'x': a number from 0 to 1,000,000"),
        ("redis+sentinel://a/p?sentinel_passwrod=x", "'sentinel_passwrod' is no option: there are sentinel_username"),
        ("redis+cluster://", "0 nodes: 1 to 16"),
        ("redis+cluster://" + ",".join("abcdefghijklmnopq"), "17 nodes: 1 to 16"),
        ("redis+cluster://a/3", "database '3': a cluster has 0 alone"),
        ("redis+cluster://:secret@a:b", r"redis.cluster://\*\*\*@a:b: .*redis.cluster://HOST:PORT,HOST2:PORT"),
        ("redis+cluster://a?sentinel_password=x", "'sentinel_password' is no option: there are ssl_ca_certs"),
    ],
)
def test_a_url_that_is_none_is_an_error_that_says_what_to_write_and_no_password(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as error:
        client(url)
    assert "secret" not in str(error.value)


def test_a_sentinels_password_is_not_shown_either() -> None:
    shown = without_password("redis+sentinel://u:one@a,[::1]:7000,b/p?sentinel_password=two")
    assert shown == "redis+sentinel://***@a,[::1]:7000,b/p?***"
