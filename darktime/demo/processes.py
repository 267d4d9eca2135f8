"""Which processes of a run are alive: a file for whoever wants to look at one (or to kill it, and see)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from realtime_core.stack import Service


class Processes:
    """Keeps ``processes.json``: name -> process id."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pids: dict[str, int] = {}

    def add(self, name: str, service: Service) -> None:
        """This one has been started."""
        self._pids[name] = service.pid
        self._write()

    def clear(self) -> None:
        """All of them have been stopped."""
        self._pids.clear()
        self._write()

    def _write(self) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self._pids))
        draft.replace(self._path)
