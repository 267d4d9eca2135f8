"""The live screen of a blast on stderr: redrawn on a terminal, one plain line every ten seconds anywhere else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from darktime.report import live

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

REDRAW_EVERY_S = 0.25
PLAIN_EVERY_S = 10.0


class LiveScreen:
    """Shows snapshots as they come; a context manager. ``show`` may be called as often as one likes.

    It starts no thread: a process that Locust has patched may draw, and a stalled run shows as a screen that stands.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._clock = clock
        self._live: Live | None = None
        self._due = clock() + (0 if self._console.is_terminal else PLAIN_EVERY_S)
        self._last: Mapping[str, Any] | None = None

    def __enter__(self) -> Self:
        """Take the terminal, when there is one."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back, with the last snapshot left standing."""
        if self._live:
            if self._last is not None:
                self._draw(self._live, self._last)
            self._live.stop()

    def show(self, snapshot: Mapping[str, Any]) -> None:
        """Draw it, unless the one before is younger than a quarter of a second (off a terminal: ten seconds)."""
        self._last = snapshot
        now = self._clock()
        if now < self._due:
            return
        self._due = now + (REDRAW_EVERY_S if self._live else PLAIN_EVERY_S)
        if self._live:
            self._draw(self._live, snapshot)
        else:
            self._console.print(Text(live.plain(snapshot)), soft_wrap=True)

    def _draw(self, screen: Live, snapshot: Mapping[str, Any]) -> None:
        lines = live.render(snapshot, self._console.width)
        text = Text("\n".join(lines), no_wrap=True, overflow="crop")
        text.stylize("bold", 0, len(lines[0]))
        text.highlight_regex(r"✗ [^\n]*?(?=   |$|\n)", "bold red")
        text.highlight_regex(r"(?m)^(?:rate|latency|requests|streams|generator)\b", "dim")
        screen.update(text, refresh=True)
