"""Servers with programmable faults, as processes of the test's own."""

from __future__ import annotations

import shutil
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from realtime_core.stack import ready_line
from tests.darktime.blast.instances import Instance

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.stack import Stack

ROOT = Path(__file__).parents[3]


@pytest.fixture
def instance(stack: Stack) -> Callable[..., Instance]:
    """``instance("fifo", service="constant:2", metrics=True)``: started with ``--service constant:2 --metrics``.

    ``before`` are words that stand before its command.
    """
    numbers = count()

    def start(name: str, *, before: tuple[str, ...] = (), **options: object) -> Instance:
        if options.get("tls") and shutil.which("openssl") is None:
            pytest.skip("needs the openssl program")
        words = [*before, sys.executable, "-m", "tests.darktime.blast.servers", name]
        for option, value in options.items():
            flag = "--" + option.replace("_", "-")
            words += [flag] if value is True else [flag, str(value)]
        service = stack.start(f"{name}{next(numbers)}", words, ready="control on ", cwd=ROOT)
        certificate = Path(ready_line(service, "certificate at ")) if options.get("tls") else None
        return Instance(
            service=service,
            address=ready_line(service, "listening on "),
            control=ready_line(service, "control on "),
            certificate=certificate,
        )

    return start
