"""An Envoy that mirrors every request of a front to a relay."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from realtime_core.stack import Service, Stack

_TYPE = "type.googleapis.com/envoy.extensions.filters."


def start_envoy(
    stack: Stack,
    folder: Path,
    binary: Path,
    *,
    port: int,
    production: str,
    relay: str,
    percent: float = 100.0,
    name: str = "envoy",
) -> Service:
    """Start it on 127.0.0.1:``port``; production and relay are HOST:PORT. ``percent`` of the requests are mirrored."""
    share = {"default_value": {"numerator": round(percent * 100), "denominator": "TEN_THOUSAND"}}
    policy = {"cluster": "relay", "disable_shadow_host_suffix_append": True, "runtime_fraction": share}
    mirrors = [policy] if percent else []
    route = {"match": {"prefix": "/"}, "route": {"cluster": "production", "request_mirror_policies": mirrors}}
    manager = {
        "@type": f"{_TYPE}network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}http.router.v3.Router"}}
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    listener = {"name": "front", "address": _address(f"127.0.0.1:{port}"), "filter_chains": [chain]}
    clusters = [_cluster("production", production), _cluster("relay", relay)]
    config = folder / f"{name}.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}}))
    words = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warn")
    return stack.start(
        name,
        [str(binary), "-c", str(config), *words],
        ready=lambda: _answers(port),
        listens=("127.0.0.1", port),
    )


def _answers(port: int) -> bool:
    from darktime.split.running import answers

    return answers("127.0.0.1", port)


def _cluster(name: str, at: str) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(at)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _address(at: str) -> dict[str, Any]:
    host, _, port = at.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
