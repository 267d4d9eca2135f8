"""What can be known before anything starts: a missing engine, a refusing Redis, a taken port. One line, and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.settings import reserve_open_files
from darktime.split.instances import address, check_instances
from realtime_core.stack import external_valkey, find_nginx, require_free

if TYPE_CHECKING:
    from darktime.demo.settings import DemoSettings

FILES_A_VISITOR = 4  # in nginx: the visitor's two connections, and those to the servers behind


def preflight(settings: DemoSettings) -> None:
    """Look at everything that the run will need. Raises UsageError or ConfigurationError; nothing has been started."""
    reserve_open_files(settings.visitors * FILES_A_VISITOR)
    find_nginx(settings.nginx)
    if settings.redis:
        external_valkey(settings.redis)
    if settings.listen:
        require_free(*address(settings.listen), "nginx")
    if settings.production and settings.dark:
        check_instances(settings.production, settings.dark)
