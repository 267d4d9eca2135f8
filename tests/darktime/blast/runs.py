"""A blast as it is run: a process of the test's own, its exit code and its result."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darktime.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """``result`` is None when none was written; ``said`` is what stood on stderr."""

    code: int
    result: dict[str, Any] | None
    said: str

    @property
    def found(self) -> dict[str, Any]:
        """The result, which must be there."""
        assert self.result is not None, self.said
        return self.result

    @property
    def interval(self) -> tuple[float, float]:
        """The highest rate that was held and the lowest that was not; both must be known."""
        capacity = self.found["capacity"]
        low, high = capacity["highest_pass_per_s"], capacity["lowest_fail_per_s"]
        assert low is not None, self.found["sentence"]
        assert high is not None, self.found["sentence"]
        return low, high


class Running:
    """A blast under way; ``pid`` is that of its head."""

    def __init__(self, process: subprocess.Popen[str], file: Path) -> None:
        self.process = process
        self.pid = process.pid
        self._file = file

    def workers(self) -> list[int]:
        """The processes below the head."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        children = [int(word) for word in text.split()]
        return [pid for pid in children if b"darktime.blast.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def end(self, limit_s: float) -> Ended:
        """Wait for it."""
        _, said = self.process.communicate(timeout=limit_s)
        text = self._file.read_text(encoding="utf-8") if self._file.exists() else ""
        return Ended(code=self.process.returncode, result=json.loads(text) if text else None, said=said)


@contextmanager
def running(
    instance: str,
    *words: str,
    before: Callable[[], None] | None = None,
    prefix: tuple[str, ...] = (),
) -> Iterator[Running]:
    """Start one; ``before`` runs in its process first, ``prefix`` stands before its command. Killed at the end."""
    with tempfile.TemporaryDirectory(prefix="blast-") as folder:
        file = Path(folder) / "result.json"
        argv = [*prefix, sys.executable, "-m", "darktime.blast", "--instance", instance, "--json", str(file), *words]
        process = subprocess.Popen(
            argv,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,  # noqa: PLW1509 - it sets a limit and takes no lock
        )
        try:
            yield Running(process, file)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def blast(instance: str, *words: str, limit_s: float = 40.0, **options: Any) -> Ended:
    """Run one to its end."""
    with running(instance, *words, **options) as run:
        return run.end(limit_s)


def undisturbed(instance: str, *words: str, tries: int = 3, limit_s: float = 40.0) -> Ended:
    """Run one again while it says that this machine was too busy to judge by (exit code 4), at most ``tries`` times."""
    run = blast(instance, *words, limit_s=limit_s)
    while run.code == ExitCode.INVALID and tries > 1:
        tries -= 1
        run = blast(instance, *words, limit_s=limit_s)
    return run


@contextmanager
def burning(core: int, count: int) -> Iterator[None]:
    """So many processes that do nothing but use one core."""
    argv = ["taskset", "-c", str(core), sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(argv) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
