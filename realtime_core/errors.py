"""The core's one error tree. Every message names the value, the limit and the remedy.

* RealtimeError            exit 1
  + ConfigurationError     exit 2   what was asked for cannot be done as asked
    - OlderFormat                   a queue holds jobs that this version does not read
    - StartFailed                   a child process did not become ready; carries the tail of its log
  + QueueError             exit 1
    - QueueFull                     back-pressure: the bounded queue refused a put; nothing was written
    - NotReplicated                 a put was not confirmed by as many replicas as it asked for
    - SettledAlone                  realtime_core.queue's: jobs were settled, and what was to happen with that was not done
"""

from __future__ import annotations

from typing import ClassVar


class RealtimeError(Exception):
    """Base of everything the core raises on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(RealtimeError):
    """A setting, limit or missing engine; the message says what to change."""

    exit_code: ClassVar[int] = 2


class OlderFormat(ConfigurationError):  # noqa: N818 - a finding about a queue
    """A queue holds jobs that an older version put; asked again it would say the same."""


class StartFailed(ConfigurationError):  # noqa: N818 - a sentence, not a category
    """A child process ended, or did not answer in time. ``log_tail`` holds the last lines it wrote."""

    def __init__(self, message: str, *, log_tail: str = "") -> None:
        super().__init__(message if not log_tail else f"{message}\n--- its last lines ---\n{log_tail}")
        self.log_tail = log_tail


class QueueError(RealtimeError):
    """Something the queue refused."""


class QueueFull(QueueError):  # noqa: N818
    """The queue holds as many jobs as it may; nothing of the refused put was written."""


class NotReplicated(QueueError):  # noqa: N818
    """Fewer replicas than asked for have a put; the message says whether anything was written."""
