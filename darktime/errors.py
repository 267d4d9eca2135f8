"""The toolkit's one error tree and its exit codes. Every message names the value, the limit and the remedy.

* DarktimeError       exit 1   unexpected
  + UsageError        exit 2   usage, configuration, limits, a missing engine or extra
  + ThresholdFailed   exit 3   the run was valid and the answer is no
  + RunInvalid        exit 4   the generator was the limit: no figure is given
  + Inconclusive      exit 5   WAIT: not enough data to say
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What both commands end with; documented in the README, one test each."""

    OK = 0
    ERROR = 1
    USAGE = 2
    FAILED = 3
    INVALID = 4
    WAIT = 5
    INTERRUPTED = 130


class DarktimeError(Exception):
    """Base of everything the toolkit raises on purpose."""

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR


class UsageError(DarktimeError):
    """Bad input: the message says which value, which limit, what to do instead."""

    exit_code: ClassVar[ExitCode] = ExitCode.USAGE


class ThresholdFailed(DarktimeError):  # noqa: N818 - a finding, not a fault
    """The run was valid; a threshold was not met."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class RunInvalid(DarktimeError):  # noqa: N818
    """The generator, not the instance, was the limit: there is no figure to give."""

    exit_code: ClassVar[ExitCode] = ExitCode.INVALID


class Inconclusive(DarktimeError):  # noqa: N818
    """The data does not decide; the message says how much more is needed."""

    exit_code: ClassVar[ExitCode] = ExitCode.WAIT
