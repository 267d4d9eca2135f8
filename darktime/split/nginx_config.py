"""nginx's configuration for one split, whole, for stock nginx without root. Pure: settings in, files out.

The gate has two stages. A variable test first, in the rewrite phase: who is no candidate (no valid key, not within the
maximum, not copyable) costs no file test and never comes near the mirror. Candidates go to a named location that asks
for the level file, the kill file and the lease; only then is there a ``mirror``. A body that is to be copied has a third
location, which reads it whole: everybody else's uploads are streamed. What is mirrored goes to the relay,
never to the dark instance; when the relay does not answer, to nginx's own sink.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from darktime.split.front import is_forwarded_proto, spellings
from darktime.split.nginx_blocks import (
    HOST_MAP,
    MIRROR,
    gate_tests,
    lease_test,
    maps,
    mirror_locations,
    probe_location,
    relay_upstream,
    self_probe_location,
    sink_server,
)
from darktime.split.settings import safe_path
from darktime.split.worker_blocks import log_lines

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.settings import Route, SplitSettings

CONNECTION_MAP: Final = 'map $http_upgrade $darktime_connection {\n  "" "";\n  default upgrade;\n}\n'
# Production's own streams may be silent for long, and its uploads may be long: only production ends them.
_PATIENCE_S: Final = 86_400
_LEAST_IN_MEMORY: Final = 16_384
_MOST_IN_MEMORY: Final = 65_536  # bytes of one body; the rest is in a file


def render(settings: SplitSettings, folder: Path) -> dict[str, str]:
    """The configuration as {file name: text}; it belongs into ``folder``, which must be private. Raises UsageError."""
    root = safe_path(folder, "folder")
    servers = [relay_upstream(settings), sink_server(settings), _front_server(settings, root)]
    return {
        "nginx.conf": _whole(settings, root, [*maps(settings), CONNECTION_MAP, *_upstreams(settings.routes), *servers])
    }


def render_naive(settings: SplitSettings, folder: Path, dark: str) -> dict[str, str]:
    """What people do without us: every request of a mirrored route straight to the dark instance (HOST:PORT).

    For measuring the harm, never for production.
    """
    root = safe_path(folder, "folder")
    locations = []
    for index, route, match in _matches(settings.routes):
        mirror = f"    mirror {MIRROR};\n" if route.mirrored else ""
        locations.append(f"  location {match} {{\n{mirror}{_passed(route, index)}  }}\n")
    server = (
        f"server {{\n{_front(settings)}"
        + "".join(locations)
        + f"  location = {MIRROR} {{\n    internal;\n    proxy_pass http://naive_dark$request_uri;\n  }}\n}}\n"
    )
    dark_upstream = f"upstream naive_dark {{\n  server {dark};\n}}\n"
    blocks = [HOST_MAP, CONNECTION_MAP]
    return {"nginx.conf": _whole(settings, root, [*blocks, *_upstreams(settings.routes), dark_upstream, server])}


def _whole(settings: SplitSettings, root: str, blocks: list[str]) -> str:
    user = f"user {settings.run_as};\n" if settings.run_as else ""
    temporary = "".join(
        f"  {kind}_temp_path {root}/temporary/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    inner = "".join("  " + line if line.strip() else line for block in blocks for line in block.splitlines(True))
    return (
        f"daemon off;\n{user}pid {root}/nginx.pid;\nerror_log {root}/error.log warn;\n"
        f"worker_processes {settings.worker_processes};\npcre_jit on;\n"
        f"worker_rlimit_nofile {settings.worker_connections + 512};\n"
        f"events {{\n  worker_connections {settings.worker_connections};\n}}\n"
        "http {\n  access_log off;\n  open_file_cache off;\n  tcp_nopush off;\n  server_tokens off;\n"
        f"{temporary}{inner}}}\n"
    )


def _upstreams(routes: tuple[Route, ...]) -> list[str]:
    return [
        f"upstream darktime_route_{index} {{\n"
        + "".join(f"  server {upstream}{_fails(route)};\n" for upstream in route.upstreams)
        # Shorter than any server's own: a connection that the server is about to close must not get a request.
        + "  keepalive 256;\n  keepalive_timeout 1s;\n  keepalive_requests 100000;\n}\n"
        for index, route in enumerate(routes)
    ]


def _fails(route: Route) -> str:
    """One server alone is never given up; of several nginx gives one up as it always does, and asks another."""
    return " max_fails=0" if len(route.upstreams) == 1 else ""


def _passed(route: Route, index: int) -> str:
    """What passes a request of a route on to production."""
    if route.tls is None:
        return f"    proxy_pass http://darktime_route_{index};\n"
    return f"    proxy_pass https://darktime_route_{index};\n{route.tls.lines()}"


def _front(settings: SplitSettings) -> str:
    """What makes the front transparent: sizes, times, buffering and headers stay production's own affair."""
    hidden = "".join(
        f"  proxy_pass_header {name};\n"
        for name in (
            "Server", "Date", "X-Pad", "X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Buffering",
            "X-Accel-Charset",
        )
    )  # fmt: skip
    # Whoever sends one of these must not be taken for a copy: the same code may spare copies what it does for people.
    ours = "".join(
        f'  proxy_set_header {name} "";\n'
        for suffix in ("", "-Id", "-Version", "-User", "-At", "-Stripped", "-Body")
        for name in spellings(f"X-Darktime{suffix}")
    )
    return (
        f"{settings.front.listen_lines(settings.listen)}"
        "  server_name _;\n  recursive_error_pages on;\n  underscores_in_headers on;\n"
        "  keepalive_requests 100000;\n  client_max_body_size 0;\n  large_client_header_buffers 4 64k;\n"
        "  proxy_http_version 1.1;\n  proxy_buffering off;\n  proxy_request_buffering off;\n"
        "  proxy_buffer_size 16k;\n  proxy_buffers 4 16k;\n"
        f"  proxy_read_timeout {_PATIENCE_S}s;\n  proxy_send_timeout {_PATIENCE_S}s;\n  proxy_connect_timeout 10s;\n"
        "  proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering\n"
        "    X-Accel-Charset;\n"
        f"{hidden}"
        "  proxy_set_header Host $darktime_host;\n  proxy_set_header Connection $darktime_connection;\n"
        "  proxy_set_header Upgrade $http_upgrade;\n  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
        f"{ours}{settings.front.passed_lines()}"
    )


def _front_server(settings: SplitSettings, root: str) -> str:
    locations = []
    for index, route, match in _matches(settings.routes):
        gate = f"    error_page 418 = @darktime_candidate_{index};\n"
        gate += "    if ($darktime_bucket) {\n      return 418;\n    }\n"
        passed = _passed(route, index)
        if route.mirrored:
            gate += _told_gate(index)
        locations.append(f"  location {match} {{\n{gate if route.mirrored else ''}{passed}  }}\n")
    for index, route in enumerate(settings.routes):
        if route.mirrored:
            locations += _candidate_locations(settings, root, index)
    mirrors = "".join(_mirror_locations(settings))
    probes = probe_location(settings.secret) + self_probe_location(settings, root)
    return f"server {{\n{_front(settings)}{''.join(locations)}{probes}{mirrors}}}\n"


def _matches(routes: tuple[Route, ...]) -> list[tuple[int, Route, str]]:
    """Each location: number of the route, the route, how it is matched.

    For a prefix ``/ev/`` nginx would answer ``/ev`` with a redirect of its own: that path goes where it went before.
    """
    found = [(index, route, route.prefix) for index, route in enumerate(routes)]
    taken = {route.prefix for route in routes}
    for route in routes:
        bare = route.prefix.rstrip("/")
        if bare and bare != route.prefix and bare not in taken:
            taken.add(bare)
            index, owner = max(
                ((i, other) for i, other in enumerate(routes) if bare.startswith(other.prefix)),
                key=lambda pair: len(pair[1].prefix),
            )
            found.append((index, owner, f"= {bare}"))
    return found


def _candidate_locations(settings: SplitSettings, root: str, index: int) -> list[str]:
    tests = gate_tests(settings, root, 418) + lease_test(root, 418)
    if settings.body_methods:
        tests += (
            f"    error_page 419 = @darktime_reader_{index};\n    if ($darktime_reads) {{\n      return 419;\n    }}\n"
        )
    passed = _passed(settings.routes[index], index)
    copied = f"    mirror {MIRROR};\n{log_lines(settings)}"
    found = [
        (
            f"  location @darktime_candidate_{index} {{\n    error_page 418 = @darktime_plain_{index};\n{tests}"
            f"{copied}    mirror_request_body off;\n{passed}  }}\n"
        ),
        f"  location @darktime_plain_{index} {{\n{_told_gate(index)}{passed}  }}\n",
        (
            f"  location @darktime_told_{index} {{\n    error_page 418 = @darktime_quiet_{index};\n{lease_test(root, 418)}"
            f"{log_lines(settings, '_other')}{passed}  }}\n"
        ),
        f"  location @darktime_quiet_{index} {{\n{passed}  }}\n",
    ]
    if settings.body_methods:
        # A body that is copied is read whole first; nobody else's is.
        size = f"    client_body_buffer_size {min(max(settings.max_body, _LEAST_IN_MEMORY), _MOST_IN_MEMORY)};\n"
        found.append(
            f"  location @darktime_reader_{index} {{\n{size}{copied}    mirror_request_body on;\n{passed}  }}\n"
        )
    return found


def _mirror_locations(settings: SplitSettings) -> list[str]:
    """A copy says as production's request does that its client came by TLS, or the new code might redirect it there."""
    told = settings.front.passed_lines("    ")
    if told:  # and nothing else of it
        kept = tuple(name for name in settings.allow_headers if not is_forwarded_proto(name))
        settings = replace(settings, allow_headers=kept)
    return mirror_locations(settings, reset=told)


def _told_gate(index: int) -> str:
    """Who is told of though it is not copied goes on where the lease is asked for."""
    return f"    error_page 419 = @darktime_told_{index};\n    if ($darktime_other) {{\n      return 419;\n    }}\n"
