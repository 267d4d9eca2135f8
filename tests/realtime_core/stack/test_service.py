from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from realtime_core.errors import ConfigurationError, StartFailed
from realtime_core.stack import ready_line, start
from tests.support.processes import descendants, running, stopped
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from realtime_core.stack import Service

    Python = Callable[[str], list[str]]
    Launch = Callable[..., Service]

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
def launch(tmp_path: Path, python: Python) -> Iterator[Launch]:
    """Start a piece of Python; whatever happens it is ended after the test."""
    started = []

    def launch(code: str, **options: Any) -> Service:
        options.setdefault("ready", "up")
        started.append(start("child", python(code), folder=tmp_path, **options))
        return started[-1]

    yield launch
    for service in started:
        service.stop(0.0)


def test_a_child_is_ready_when_it_prints_its_line_and_the_rest_of_the_line_can_be_read(launch: Launch) -> None:
    service = launch("import time; print('noise\\nup at 127.0.0.1:99', flush=True); time.sleep(60)")
    assert ready_line(service, "up at ") == "127.0.0.1:99"
    assert service.alive()


def test_a_child_is_ready_when_it_answers(launch: Launch, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    launch(f"import time; open({str(sign)!r}, 'w').close(); time.sleep(60)", ready=sign.exists)
    assert sign.exists()


def test_a_child_that_ends_before_it_is_ready_shows_its_last_lines(launch: Launch) -> None:
    with pytest.raises(StartFailed, match="child ended before it was ready") as failure:
        launch("print('the reason', flush=True); raise SystemExit(3)")
    assert failure.value.log_tail == "the reason"


def test_a_child_that_is_not_ready_in_time_is_ended(launch: Launch) -> None:
    before = descendants()
    with pytest.raises(StartFailed, match=r"did not answer within 0\.2 s"):
        launch(SLEEP, ready=lambda: False, timeout_s=0.2)
    assert descendants() == before


def test_a_child_whose_question_fails_is_ended(launch: Launch) -> None:
    before = descendants()

    def ask() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(SLEEP, ready=ask)
    assert descendants() == before


def test_a_server_of_somebody_else_does_not_pass_for_a_child_that_has_ended(launch: Launch) -> None:
    before = descendants()
    with pytest.raises(StartFailed, match="ended before"):
        launch("raise SystemExit(0)", ready=lambda: descendants() == before)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="ghost cannot be run: /no/such/program"):
        start("ghost", ["/no/such/program"], folder=tmp_path, ready="up")


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, python: Python) -> None:
    (tmp_path / "child.log").mkdir()
    with pytest.raises(ConfigurationError, match=r"child\.log, cannot be written"):
        start("child", python(SLEEP), folder=tmp_path, ready="up")


def test_a_child_of_another_thread_is_refused_because_it_would_die_with_that_thread(
    tmp_path: Path, python: Python
) -> None:
    caught = []

    def run() -> None:
        try:
            start("child", python(SLEEP), folder=tmp_path, ready="up")
        except ConfigurationError as error:
            caught.append(str(error))

    thread = threading.Thread(target=run, name="side")
    thread.start()
    thread.join()
    assert "'side'" in caught[0]
    assert "main thread" in caught[0]


def test_stop_tells_the_exit_status_and_may_be_repeated(launch: Launch) -> None:
    service = launch(
        "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(7)); "
        "print('up', flush=True); time.sleep(60)"
    )
    assert service.stop() == 7
    assert service.stop() == 7
    assert not service.alive()


def test_a_stopped_child_is_continued_and_ends_by_itself(launch: Launch) -> None:
    service = launch(SLEEP)
    os.kill(service.pid, signal.SIGSTOP)
    wait_until(lambda: stopped(service.pid), what="the child's stop")
    assert service.stop(timeout_s=20.0) == -signal.SIGTERM


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(launch: Launch) -> None:
    assert launch(DEAF).stop(timeout_s=0.2) == -signal.SIGKILL


def test_what_a_child_started_in_its_group_ends_with_it(launch: Launch) -> None:
    service = launch(
        f"import subprocess, sys; grandchild = subprocess.Popen([sys.executable, '-c', {DEAF!r}], "
        "stdout=subprocess.PIPE); grandchild.stdout.readline(); print('up', grandchild.pid, flush=True); "
        "grandchild.wait()"
    )
    grandchild = int(ready_line(service, "up "))
    assert running(grandchild)
    service.stop()
    assert not running(grandchild)


def test_what_outlived_a_crashed_child_ends_at_stop(launch: Launch) -> None:
    service = launch(
        f"import subprocess, sys; grandchild = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); "
        "print('up', grandchild.pid, flush=True); grandchild.wait()"
    )
    grandchild = int(ready_line(service, "up "))
    os.kill(service.pid, signal.SIGKILL)
    wait_until(lambda: not service.alive())
    assert running(grandchild)
    assert service.stop() == -signal.SIGKILL
    assert not running(grandchild)


def test_ctrl_c_at_the_terminal_does_not_reach_a_child(launch: Launch) -> None:
    service = launch(SLEEP)
    assert os.getsid(service.pid) == service.pid != os.getsid(0)
    assert os.getpgid(service.pid) != os.getpgid(0)


def test_a_second_life_is_not_ready_by_the_line_of_the_first(launch: Launch, tmp_path: Path) -> None:
    first = launch(SLEEP)
    first.stop()
    with pytest.raises(StartFailed, match="did not print 'up' within"):
        launch("import time; time.sleep(60)", timeout_s=0.3)
    assert (tmp_path / "child.log").read_text() == "up\n"


def test_a_parent_that_blocks_sigterm_has_children_that_do_not(launch: Launch) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        service = launch(SLEEP)
        assert service.stop(timeout_s=20.0) == -signal.SIGTERM
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_the_tail_is_bounded_however_much_was_written(launch: Launch) -> None:
    service = launch("import time; print('x' * 1_000_000 + '\\nlast\\nup', flush=True); time.sleep(60)", timeout_s=20.0)
    assert service.tail(2) == "last\nup"
    assert len(service.tail(100)) <= 64 * 1024


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_ctrl_c_that_comes_while_a_child_is_forked_still_ends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, python: Python, number: signal.Signals
) -> None:
    forked = []
    popen = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = popen(*arguments, **options)
        forked.append(process.pid)
        signal.raise_signal(number)
        return process

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            start("child", python(SLEEP), folder=tmp_path, ready="up")
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    assert forked
    assert not running(forked[0])
