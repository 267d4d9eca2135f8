"""Who is alive while a split runs: which process has ended, once each, and what that costs."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from darktime.split.pulse import silence, turned_at
from darktime.split.workers import RELAY, is_relay

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Protocol

    class Process(Protocol):
        """What is asked of a process."""

        def alive(self) -> bool:
            """Whether it runs."""

        def tail(self, lines: int = ...) -> str:
            """Its last lines."""


FRONT: Final = "nginx"
_OF_A_RELAY: Final = (
    "the copies of its users go to nginx's sink from then on, and nobody compares them; the other relays go on; production is "
    "not touched"
)
COSTS: Final = {
    RELAY: "copies go to nginx's sink from then on, and nobody compares them; production is not touched",
    "agent": "nobody renews the lease, so mirroring ends when it runs out; production is not touched",
}


_OF_A_HANG: Final = (
    "what it took since then is compared by nobody, the rest goes to nginx's sink; production is not touched"
)


# A machine that was held up as a whole goes on with all at once: a relay may write its state before it is said to hang.
_SURE_S: Final = 1.0
# A second SIGTERM may find an interpreter that has done all and takes itself down, with no handler any more.
_TOLD_TO_END: Final = (0, -signal.SIGTERM)


class Vigil:
    """Looks at a running split's processes. ``incidents`` says, in sentences, which of them died, or which relay hangs.

    ``states``: the relays' state files, by their names; of a relay that has none only its process is looked at.
    """

    def __init__(self, processes: Mapping[str, Process], states: Mapping[str, Path] | None = None) -> None:
        self._processes = dict(processes)
        self._states = dict(states or {})
        self._hung: set[str] = set()
        self._doubted: dict[str, float] = {}  # since when
        self.incidents: list[str] = []
        self._seen_at: dict[str, float] = {}
        self._lost: set[str] = set()

    def look(self, now: float | None = None) -> list[str]:
        """The incidents that are new since the last look. ``now``: by the monotonic clock."""
        new, now = [], time.monotonic() if now is None else now
        for name in [name for name, process in self._processes.items() if not process.alive()]:
            process = self._processes.pop(name)
            self._lost.add(name)
            known = COSTS.get(name) or (_OF_A_RELAY if is_relay(name) else None)
            what = known or f"nobody takes production's requests any more. Its last lines:\n{process.tail()}"
            new.append(f"{name} died: {what}")
        for name in self._beating():
            hangs = silence(name, read_state(self._states[name]), now)
            if not hangs:
                self._doubted.pop(name, None)
            elif now - self._doubted.setdefault(name, now) >= _SURE_S:
                self._hung.add(name)
                new.append(f"{hangs}; {_OF_A_HANG}")
        self.incidents += new
        self._seen_at |= dict.fromkeys(new, time.time())
        return new

    def note(self, incident: str) -> str:
        """An incident that somebody else has found; the sentence."""
        self.incidents.append(incident)
        self._seen_at[incident] = time.time()
        return incident

    def heard_since(self, moment: float) -> bool:
        """Whether the loop of each relay has turned after that moment (monotonic); those that are dead or hang do not count."""
        turned = [turned_at(read_state(self._states[name])) for name in self._beating()]
        return all(at is None or at > moment for at in turned)

    def _beating(self) -> list[str]:
        return [name for name in self._states if name in self._processes and name not in self._hung]

    def ended(self, statuses: Mapping[str, int]) -> list[str]:
        """Incidents of relays that did not end as they were told to, once they have ended. ``statuses``: how, by name."""
        new = [
            f"{name} did not end by itself when it was told to (status {status}): what it still had is in no books"
            for name, status in statuses.items()
            if status not in _TOLD_TO_END and name not in self._lost | self._hung
        ]
        self.incidents += new
        return new

    def record(self) -> list[dict[str, Any]]:
        """As the results hold them: ``what``, and ``at``, seconds UTC; null of what was only found at the end."""
        return [{"at": self._seen_at.get(what), "what": what} for what in self.incidents]

    def lost(self, name: str) -> bool:
        """Whether that process has been found dead."""
        return name in self._lost

    @property
    def lost_relay(self) -> bool:
        """Whether the relay, or one of several, has been found dead."""
        return any(map(is_relay, self._lost))

    def release(self, name: str) -> None:
        """Look at this one no more: it may end now."""
        self._processes.pop(name, None)


def read_state(path: Path) -> dict[str, Any]:
    """The relay's state; empty until it has written one."""
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state
