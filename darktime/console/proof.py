"""That a copy really arrives: looked for when a split begins, and after each ramp from nobody to somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.console.include import prove
from darktime.console.watching import say
from darktime.errors import UsageError

if TYPE_CHECKING:
    from darktime.split.running import RunningSplit


class Proof:
    """Of one split. An nginx of our own proves it by itself, without production; ``url``: where one request goes all the way."""

    def __init__(self, running: RunningSplit, url: str | None) -> None:
        self._running = running
        self._url = url
        self._times = 0

    def __call__(self) -> None:
        """Look for one now, unless nobody is mirrored any more. Raises UsageError where none arrives."""
        try:
            self._prove_ourselves()
            if self._url and self._mirrors:
                prove(self._running, self._url, say, self._times)
        except UsageError:
            if self._mirrors:  # else somebody has ended it meanwhile
                raise
        self._times += 1

    @property
    def _mirrors(self) -> bool:
        from darktime.split import levels

        folder = self._running.folder
        return bool(levels.percent_of(folder)) and not levels.killed(folder)

    def _prove_ourselves(self) -> None:
        from darktime.split.probe import SELF_WITHIN_S, self_probed
        from darktime.split.settings import SplitSettings

        settings = self._running.settings
        if not isinstance(settings, SplitSettings) or not self._mirrors:
            return
        silent = self_probed(settings, self._running.relay_states)
        if silent:
            raise UsageError(
                f"no copy of a request of our own has arrived at {', '.join(silent)} within {SELF_WITHIN_S:g} s, so nothing would "
                "be mirrored: has this machine time to spare, and room for what is written?"
            )
        say("a copy of a request of our own has arrived; neither production nor the dark side was asked")
