"""What the mirror costs production: the same nginx with 5 % of the users mirrored, and with no mirror, in turns."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from darktime.errors import UsageError
from darktime.split.folder import PrivateFolder
from darktime.split.running import answers, start_split
from darktime.split.settings import Route, SplitSettings
from realtime_core.stack import Stack, find_nginx, free_port

if TYPE_CHECKING:
    from pathlib import Path

PERCENT = 5.0
PAIRS = 7
SECONDS = 4
CONNECTIONS = 50
# A new user with every request: each is drawn anew.
USERS = """\
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "/", {["Cookie"] = "uid=user-" .. (n % 10000)})
end
"""
SERVED = re.compile(r"Requests/sec:\s+([\d.]+)")
FAILED = re.compile(r"Non-2xx|Socket errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitter:
    """Requests a second of each turn, with the mirror and without, and of how many copies the relay knows."""

    mirrored: list[float]
    plain: list[float]
    copies: int

    @property
    def ratios(self) -> list[float]:
        """Mirrored to plain, turn by turn."""
        return [one / other for one, other in zip(self.mirrored, self.plain, strict=True)]

    def lines(self) -> list[str]:
        """For docs/benchmarks.md."""
        ratios = sorted(self.ratios)
        return [
            (
                f"- splitter, {PERCENT:g} % of 10,000 users mirrored, to the same nginx without a mirror: "
                f"**{statistics.median(ratios):.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f}, {len(ratios)} pairs of {SECONDS} s; "
                f"{self.copies:,} copies reached the relay)"
            )
        ]


def measure(folder: Path) -> Splitter:
    """Both in one run, in turns, so that what else the machine does hits both."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise UsageError("the splitter's bench needs wrk: apt-get install wrk")
    nginx = find_nginx().path
    script = folder / "users.lua"
    script.write_text(USERS)
    with Stack(folder / "stack") as stack:
        production, dark = instance(stack, nginx, "production"), instance(stack, nginx, "dark")

        def split(name: str, *, mirrored: bool) -> Any:
            private = stack.adopt(PrivateFolder()).path
            settings = SplitSettings(
                listen=f"127.0.0.1:{free_port()}",
                # A split mirrors something, somewhere; what is measured here is "/".
                routes=(
                    Route(prefix="/", upstreams=(production,), mirrored=mirrored),
                    Route(prefix="/elsewhere/", upstreams=(production,), mirrored=True),
                ),
                relay_socket=private / "relay.sock",
                sink_socket=private / "sink.sock",
                log_port=free_port(),
                dark_state="isolated",
                key="cookie:uid",
                salt="bench",
                max_percent=PERCENT,
            )
            results = folder / name
            results.mkdir()
            return start_split(
                stack,
                settings,
                folder=private,
                nginx=nginx,
                dark=f"http://{dark}",
                percent=PERCENT,
                ttl_s=3600.0,
                results=results,
            )

        with_mirror, without = split("mirrored", mirrored=True), split("plain", mirrored=False)

        def served(running: Any) -> float:
            url = f"http://{running.settings.listen}/"
            argv = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), url]
            said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=SECONDS + 30).stdout
            found = SERVED.search(said)
            assert found is not None, said
            assert not FAILED.search(said), said
            return float(found[1])

        turns = [(served(with_mirror), served(without)) for _ in range(PAIRS)]
        return Splitter(
            mirrored=[one for one, _ in turns], plain=[other for _, other in turns], copies=_received(with_mirror)
        )


def instance(stack: Stack, nginx: Path, name: str) -> str:
    """An nginx that answers at once; its HOST:PORT."""
    port = free_port()
    folder = stack.folder / f"{name}-nginx"
    folder.mkdir()
    config = folder / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; events {{ worker_connections 4096; }}\n"
        f"http {{ access_log off; {temporary} keepalive_requests 1000000;\n"
        f'server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 "ok\\n"; }} }} }}\n'
    )
    argv = [str(nginx), "-c", str(config), "-p", str(folder), "-e", "stderr"]
    stack.start(name, argv, ready=lambda: answers("127.0.0.1", port), listens=("127.0.0.1", port))
    return f"127.0.0.1:{port}"


def _received(running: Any) -> int:
    try:
        return int(json.loads(running.state.read_text())["received"])
    except (OSError, ValueError, KeyError):
        return 0
