"""Starts the embedded default on one machine (Valkey, push servers, nginx) and leaves nothing behind.

Real services are named by URL instead.
"""

from realtime_core.stack.external import ExternalValkey, external_valkey
from realtime_core.stack.nginx import Nginx, find_nginx
from realtime_core.stack.ports import port_holder, require_free
from realtime_core.stack.service import Service, ready_line, start
from realtime_core.stack.stack import Push, Stack, Stoppable
from realtime_core.stack.valkey import Valkey, valkey_binary

__all__ = [
    "ExternalValkey",
    "Nginx",
    "Push",
    "Service",
    "Stack",
    "Stoppable",
    "Valkey",
    "external_valkey",
    "find_nginx",
    "port_holder",
    "ready_line",
    "require_free",
    "start",
    "valkey_binary",
]
