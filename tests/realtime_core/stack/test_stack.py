from __future__ import annotations

import os
import signal
import socket
import stat
import time
from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import ConfigurationError, RealtimeError, StartFailed
from realtime_core.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Python = Callable[[str], list[str]]

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


class Recorded:
    """A child that notes its end, and fails at it if told to."""

    def __init__(self, name: str, order: list[str], failure: Exception | None = None) -> None:
        self.name = name
        self.order = order
        self.failure = failure

    def kill(self) -> None:
        self.order.append(f"kill {self.name}")

    def stop(self, timeout_s: float = 5.0) -> int:
        self.order.append(self.name)
        if self.failure is not None:
            raise self.failure
        return 0


def test_children_end_in_reverse_order_whatever_fails_and_the_first_failure_is_raised(tmp_path: Path) -> None:
    order = []
    stack = Stack(tmp_path / "stack")
    stack.adopt(Recorded("first", order))
    stack.adopt(Recorded("second", order, RealtimeError("second hangs")))
    stack.adopt(Recorded("third", order, OSError("third broke")))
    with pytest.raises(OSError, match="third broke"):
        stack.stop()
    assert order == ["third", "second", "first"]
    stack.stop()
    assert len(order) == 3


def test_real_children_end_with_the_block_even_when_it_fails(tmp_path: Path, python: Python) -> None:
    with pytest.raises(ZeroDivisionError), Stack(tmp_path / "stack") as stack:  # noqa: PT012
        children = [stack.start(name, python(SLEEP), ready="up") for name in ("a", "b")]
        raise ZeroDivisionError
    assert not any(child.alive() for child in children)


def test_ctrl_c_while_stopping_kills_the_rest_at_once_and_is_raised_at_the_end(tmp_path: Path) -> None:
    order = []

    class Interrupted(Recorded):
        def stop(self, timeout_s: float = 5.0) -> int:
            os.kill(os.getpid(), signal.SIGINT)
            return super().stop(timeout_s)

    stack = Stack(tmp_path / "stack")
    stack.adopt(Recorded("first", order))
    stack.adopt(Interrupted("second", order))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        stack.stop()
    assert order == ["kill first", "kill second", "second", "first"]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_folder_is_private_and_a_temporary_one_goes_with_the_stack(tmp_path: Path) -> None:
    with Stack() as stack:
        assert stat.S_IMODE(stack.folder.stat().st_mode) == 0o700
        folder = stack.folder
    assert not folder.exists()
    with Stack(tmp_path / "named") as stack:
        assert stat.S_IMODE(stack.folder.stat().st_mode) == 0o700
    assert stack.folder.is_dir()


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "open").mkdir(mode=0o755)
    for folder, said in (
        (tmp_path / "file", "cannot be used"),
        (tmp_path / "file" / "below", "cannot be used"),
        (tmp_path / "no" / "parent", "in a folder that exists"),
        (tmp_path / "open", "chmod 700"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            Stack(folder)


def test_a_child_whose_port_is_taken_is_not_started(stack: Stack, python: Python) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = holder.getsockname()
        with pytest.raises(ConfigurationError, match=rf"site cannot listen on 127\.0\.0\.1:{address[1]}: .* by "):
            stack.start("site", python(SLEEP), ready="up", listens=address)
    assert not (stack.folder / "site.log").exists()


def test_a_child_gets_its_own_environment_and_working_directory(stack: Stack, python: Python, tmp_path: Path) -> None:
    code = "import os, time; print('up', os.environ['ONLY_HERE'], os.getcwd()); time.sleep(60)"
    child = stack.start("child", python(code), ready="up", env={"ONLY_HERE": "yes"}, cwd=tmp_path)
    assert child.tail() == f"up yes {tmp_path}"
    assert "ONLY_HERE" not in os.environ


def test_a_start_that_fails_leaves_the_others_running(stack: Stack, python: Python) -> None:
    good = stack.start("good", python(SLEEP), ready="up")
    with pytest.raises(StartFailed):
        stack.start("bad", python("raise SystemExit(1)"), ready="up")
    assert good.alive()


def test_stopping_many_children_takes_no_longer_than_their_own_ends(stack: Stack, python: Python) -> None:
    for number in range(5):
        stack.start(f"child{number}", python(SLEEP), ready="up")
    began = time.monotonic()
    stack.stop(timeout_s=25.0)
    assert time.monotonic() - began < 25.0
