"""Which clients URLs become, and what is said of those that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis.sentinel import SentinelConnectionPool, SentinelManagedSSLConnection

from realtime_core.errors import ConfigurationError
from realtime_core.redacted import without_password
from realtime_core.redis_url import connect

if TYPE_CHECKING:
    from redis import Redis


def client(url: str) -> Redis:
    return connect(url, answer_s=3.0, connect_s=1.0)


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
    ],
)
def test_a_url_that_is_none_is_an_error_that_says_what_to_write_and_no_password(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as error:
        client(url)
    assert "secret" not in str(error.value)


def test_a_sentinels_password_is_not_shown_either() -> None:
    shown = without_password("redis+sentinel://u:one@a,b/p?sentinel_password=two")
    assert shown == "redis+sentinel://***@a,b/p?***"
