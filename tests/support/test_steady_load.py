"""The steady load tells what its requests went through, from when each was due."""

import socket
import threading
import time

import pytest

from tests.support.steady_load import SteadyLoad, failed, percentile

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def server():
    """Serves one connection; what it does with the nth request is told by ``does``."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = "{}:{}".format(*listener.getsockname())
    does, asked = {}, []

    def serve():
        link, _ = listener.accept()
        with link:
            buffer = b""
            while data := link.recv(65536):
                *heads, buffer = (buffer + data).split(b"\r\n\r\n")
                for head in heads:
                    asked.append(head)
                    answer = does.get(len(asked), lambda: OK)()
                    if not answer:
                        return
                    link.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield address, does, asked
    thread.join()
    listener.close()


def test_a_pause_of_the_server_is_felt_by_all_that_was_due_meanwhile(server):
    address, does, asked = server

    def late():
        time.sleep(0.4)  # the server's own pause
        return OK

    does[20] = late
    with SteadyLoad(address, rate=100, seconds=1, connections=1, users=3, path="/page/%") as load:
        answers = load.answers()
    assert failed(answers) == []
    assert len(answers) == len(asked) == 100
    assert asked[4].startswith(b"GET /page/4 ")
    assert b"\r\nCookie: uid=u1" in asked[4]
    assert answers[19].took_s > 0.35
    waited = [one.took_s for one in answers[19:50]]
    assert waited[10] > 0.25, "due 0.1 s later, it waits 0.1 s less"
    assert percentile(answers, 0.99) > 0.3
    assert sum(waited) > 4


def test_an_error_and_a_connection_that_ends_are_told(server):
    address, does, _ = server
    does[5] = lambda: b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    does[9] = lambda: b""
    with SteadyLoad(address, rate=100, seconds=0.2, connections=1) as load:
        with pytest.raises(AssertionError, match="1 connections were closed"):
            load.answers()
        answers = load.told(closed=1)
    assert [one.status for one in answers[:9]] == [200] * 4 + [502] + [200] * 3 + [0]
    assert len(failed(answers)) == 13
