"""Production and dark are two, and both are there."""

import socket

import pytest

from darktime.errors import UsageError
from darktime.split.instances import addresses, require_two


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "[::ffff:127.0.0.1]"])
def test_one_instance_under_two_names_is_refused(listener, host):
    with pytest.raises(UsageError, match="copies to production would hurt it"):
        require_two(f"127.0.0.1:{listener}", f"{host}:{listener}")


def test_an_instance_where_nobody_listens_is_refused_by_its_name(listener):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    here, nowhere = f"127.0.0.1:{listener}", f"127.0.0.1:{port}"
    for names, who in (((nowhere, here), "production"), ((here, nowhere), "dark")):
        with pytest.raises(UsageError, match=f"^{who} .*nobody listens"):
            require_two(*names)


def test_two_instances_pass(listener):
    with socket.create_server(("127.0.0.1", 0)) as other:
        require_two(f"127.0.0.1:{listener}", f"127.0.0.1:{other.getsockname()[1]}")


def test_a_name_that_nobody_knows_has_no_address():
    assert addresses("no-such-host.invalid:80") == frozenset()
