"""The live screen of a run: a table of steps and figures on a terminal, plain lines anywhere else. Writes to stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from darktime.demo.show import Figures

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

REFRESHES_PER_S = 4
PLAIN_EVERY_S = 10.0


class Screen:
    """Shows a demo run; a context manager. Off a terminal: one line a step, and one of figures every ten seconds."""

    def __init__(self, title: str) -> None:
        self.figures = Figures()
        self._title = title
        self._console = Console(stderr=True, highlight=False)
        self._steps: list[tuple[str, float, float | None]] = []
        self._notes: list[str] = []
        self._began = time.monotonic()
        self._last_plain = self._began
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Take the terminal, when there is one."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=REFRESHES_PER_S, get_renderable=self._render)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back, with the last state left standing."""
        if self._steps and kind is None:
            self._finish_step()
        if self._live:
            self._live.stop()

    def step(self, text: str) -> None:
        """A new step begins."""
        if self._steps:
            self._finish_step()
        self._steps.append((text, time.monotonic(), None))
        self._say(f"{time.monotonic() - self._began:5.1f} s  {text}")

    def note(self, text: str) -> None:
        """A line under the present step."""
        self._notes.append(text)
        self._say(f"         {text}")

    def refresh(self) -> None:
        """The figures have changed; the terminal draws itself, elsewhere a line every ten seconds."""
        if self._live or time.monotonic() - self._last_plain < PLAIN_EVERY_S:
            return
        self._last_plain = time.monotonic()
        one = self.figures
        self._say(
            f"         {one.streams} streams, {one.comments} comments, {one.delivered} deliveries, "
            f"{one.copies} copies, {one.errors} errors"
        )

    def _say(self, text: str) -> None:
        if not self._live:
            click.echo(text, err=True)

    def _finish_step(self) -> None:
        text, began, _ = self._steps[-1]
        self._steps[-1] = (text, began, time.monotonic())

    def _render(self) -> Group:
        steps = Table.grid(padding=(0, 1))
        for text, began, ended in self._steps:
            mark = Text("✓", "green") if ended else Text("●", "cyan")
            steps.add_row(mark, Text(text), Text(f"{(ended or time.monotonic()) - began:.1f} s", "dim"))
        parts: list[Table | Text] = [Text(self._title, "bold"), steps]
        parts += [Text(f"  {note}", "yellow") for note in self._notes[-6:]]
        if self.figures.visitors:
            parts.append(self._table())
        return Group(*parts)

    def _table(self) -> Table:
        one = self.figures
        table = Table.grid(padding=(0, 2))
        p99 = "" if one.p99_ms is None else f"{one.p99_ms:.0f} ms"
        rows = [
            (
                "visitors",
                f"{one.visitors:,}",
                "production streams",
                f"{one.streams:,}",
                "dark streams",
                f"{one.held:,}",
            ),
            (
                "comments",
                f"{one.comments:,}",
                "delivered",
                f"{one.delivered:,}",
                "delivered dark",
                f"{one.delivered_dark:,}",
            ),
            ("requests", f"{one.requests:,}", "failed", f"{one.errors:,}", "copies", f"{one.copies:,}"),
            ("save to browser p99", p99, "sampled users", f"{one.sampled:,}", "compared", f"{one.compared:,}"),
        ]
        for column in range(6):
            table.add_column(justify="left" if column % 2 == 0 else "right", style="dim" if column % 2 == 0 else "bold")
        for row in rows:
            table.add_row(*row)
        return table
