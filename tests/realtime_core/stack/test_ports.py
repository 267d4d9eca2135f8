from __future__ import annotations

import os
import socket

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.free_ports import free_port
from realtime_core.stack import port_holder, require_free


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9"])
def test_a_port_in_use_is_one_clear_line_that_names_its_holder(host: str) -> None:
    with socket.create_server((host, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ConfigurationError) as refusal:
            require_free(host, port, "production")
    text = str(refusal.value)
    assert text.startswith(f"production cannot listen on {host}:{port}: the port is taken by ")
    assert f"(pid {os.getpid()})" in text
    assert text.endswith("choose another port")
    assert "\n" not in text


def test_a_port_that_nobody_holds_has_no_holder() -> None:
    assert port_holder(free_port()) is None


def test_an_address_of_another_machine_is_refused_as_such() -> None:
    with pytest.raises(ConfigurationError, match="choose an address of this machine"):
        require_free("192.0.2.1", 8080, "child")


def test_a_port_beyond_the_last_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at most 65535"):
        require_free("127.0.0.1", 70_000, "child")
