"""A server with programmable faults that runs, as a test sees it: where it listens, what it counted, commands."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from realtime_core.stack import Service

LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """``address`` is HOST:PORT; ``certificate`` is there with TLS only."""

    service: Service
    address: str
    control: str
    certificate: Path | None = None

    @property
    def host(self) -> str:
        """Where it listens."""
        return self.address.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rpartition(":")[2])

    @property
    def url(self) -> str:
        """``http://HOST:PORT`` or ``https://HOST:PORT``."""
        return f"{'https' if self.certificate else 'http'}://{self.address}"

    def counters(self) -> dict[str, float]:
        """What the server counted itself; asking does not change it."""
        return self._ask("GET", "/__counters")

    def command(self, name: str, **arguments: object) -> dict[str, Any]:
        """``command("kill", how="reset")``, ``command("reset")``."""
        query = "&".join(f"{key}={value}" for key, value in arguments.items())
        return self._ask("POST", f"/__{name}?{query}")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self.service.stop()

    def _ask(self, method: str, target: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.control, timeout=LIMIT_S)
        try:
            connection.request(method, target)
            answer = connection.getresponse()
            assert answer.status == 200, (target, answer.status)
            told: dict[str, Any] = json.loads(answer.read())
            return told
        finally:
            connection.close()
