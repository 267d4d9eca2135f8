"""Where a redirect leads: to the same host as a browser would go there, and nowhere else."""

import pytest

from darktime.blast.redirects import next_request
from darktime.wire.http1 import Reply

ORIGINS = (b"http://127.0.0.1:8001",)
ASKED = b"POST /shop/cart?step=1 HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nContent-Length: 2\r\nCookie: a=b\r\n\r\n{}"


def target(*headers, asked=ASKED, keep_alive=True):
    request = next_request(asked, Reply(301, headers, 0, b"", keep_alive), ORIGINS)
    if request is None:
        return None
    assert request.startswith(b"GET ")
    assert request.endswith(b" HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nCookie: a=b\r\n\r\n")
    return request[4 : request.index(b" HTTP/1.1")]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (b"/p", b"/p"),
        (b"http://127.0.0.1:8001/p?x=1", b"/p?x=1"),
        (b"HTTP://127.0.0.1:8001/p", b"/p"),
        (b"http://127.0.0.1:8001", b"/"),
        (b"http://127.0.0.1:8001?x=1", b"/?x=1"),
        (b"//127.0.0.1:8001/p", b"/p"),
        (b"paid", b"/shop/paid"),
        (b"../paid", b"/paid"),
        (b"?step=2", b"/shop/cart?step=2"),
        (b"/p?q=a%20b#there", b"/p?q=a%20b"),
        (b"/a b", b"/a%20b"),
        (b"/caf\xc3\xa9", b"/caf%C3%A9"),
    ],
)
def test_a_redirect_to_the_same_host_is_followed_as_a_browser_does(location, path):
    assert target((b"location", location)) == path


@pytest.mark.parametrize(
    "location",
    [
        b"//other.example/x",
        b"http://other.example/",
        b"https://127.0.0.1:8001/",
        b"http://127.0.0.1:80010/",
        b"http://[/",
    ],
)
def test_a_redirect_to_another_host_is_not_followed(location):
    assert target((b"location", location)) is None


def test_a_redirect_to_nowhere_is_its_own_reply_and_so_is_one_whose_connection_ends():
    assert target() is None
    assert target((b"location", b"")) is None
    assert target((b"location", b"/p"), keep_alive=False) is None
