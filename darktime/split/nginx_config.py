"""nginx's configuration for one split, whole, for stock nginx without root. Pure: settings in, files out.

The gate has two stages. A variable test first, in the rewrite phase: who is no candidate (no valid key, not within the
maximum, not copyable) costs no file test and never comes near the mirror. Candidates go to a named location that asks
for the level file, the kill file and the lease; only then is there a ``mirror``. What is mirrored goes to the relay,
never to the dark instance; when the relay does not answer, to nginx's own sink.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from darktime.split.levels import level_name
from darktime.split.log_format import LOG_FORMAT, SINK_FORMAT
from darktime.split.marks import mark
from darktime.split.settings import safe_path

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.settings import Route, SplitSettings

MIRROR: Final = "/__darktime_mirror"
PROBE: Final = "/__darktime_probe/"
# Production's own streams may be silent for long, and its uploads may be long: only production ends them.
_PATIENCE_S: Final = 86_400


def render(settings: SplitSettings, folder: Path) -> dict[str, str]:
    """The configuration as {file name: text}; it belongs into ``folder``, which must be private. Raises UsageError."""
    root = safe_path(folder, "folder")
    servers = [_mirror_upstream(settings), _sink_server(settings), _front_server(settings, root)]
    return {"nginx.conf": _whole(settings, root, [*_maps(settings), *_upstreams(settings.routes), *servers])}


def render_naive(settings: SplitSettings, folder: Path, dark: str) -> dict[str, str]:
    """What people do without us: every request of a mirrored route straight to the dark instance (HOST:PORT).

    For measuring the harm, never for production.
    """
    root = safe_path(folder, "folder")
    locations = []
    for index, route, match in _matches(settings.routes):
        mirror = f"    mirror {MIRROR};\n" if route.mirrored else ""
        locations.append(f"  location {match} {{\n{mirror}    proxy_pass http://darktime_route_{index};\n  }}\n")
    server = (
        f"server {{\n{_front(settings)}"
        + "".join(locations)
        + f"  location = {MIRROR} {{\n    internal;\n    proxy_pass http://naive_dark$request_uri;\n  }}\n}}\n"
    )
    dark_upstream = f"upstream naive_dark {{\n  server {dark};\n}}\n"
    maps = [_HOST_MAP, _CONNECTION_MAP]
    return {"nginx.conf": _whole(settings, root, [*maps, *_upstreams(settings.routes), dark_upstream, server])}


def probe_path(secret: str) -> str:
    """A path that nobody can guess: this nginx answers it by itself, and no other server does."""
    return PROBE + mark(secret, "probe path")


def probe_answer(secret: str) -> str:
    """What this nginx answers there."""
    return mark(secret, "probe answer")


def _whole(settings: SplitSettings, root: str, blocks: list[str]) -> str:
    user = f"user {settings.run_as};\n" if settings.run_as else ""
    temporary = "".join(
        f"  {kind}_temp_path {root}/temporary/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    inner = "".join("  " + line if line.strip() else line for block in blocks for line in block.splitlines(True))
    return (
        f"daemon off;\n{user}pid {root}/nginx.pid;\nerror_log {root}/error.log warn;\n"
        f"worker_processes {settings.worker_processes};\n"
        f"worker_rlimit_nofile {settings.worker_connections + 512};\n"
        f"events {{\n  worker_connections {settings.worker_connections};\n}}\n"
        "http {\n  access_log off;\n  open_file_cache off;\n  tcp_nopush off;\n  server_tokens off;\n"
        f"{temporary}{inner}}}\n"
    )


_HOST_MAP: Final = 'map $http_host $darktime_host {\n  "" $host;\n  default $http_host;\n}\n'
_CONNECTION_MAP: Final = 'map $http_upgrade $darktime_connection {\n  "" "";\n  default upgrade;\n}\n'


def _maps(settings: SplitSettings) -> list[str]:
    key = settings.user_key.variable
    # An Upgrade cannot be copied; what carries X-Darktime is a copy itself: copying it would be a loop.
    plain = "".join(f'  "{method}::" 1;\n' for method in settings.methods)
    allowed = "".join(f"  {line};\n" for line in _path_lines(settings))
    parts = "".join(f"  0.1% {level_name(bucket)};\n" for bucket in range(settings.buckets))
    lapse = {1: "", 10: r"\d", 100: r"\d\d", 1000: r"\d\d\d"}[settings.slot_s]
    return [
        _HOST_MAP,
        _CONNECTION_MAP,
        f'map {key} $darktime_user {{\n  default "";\n  "~^[A-Za-z0-9_.:-]{{1,128}}\\z" {key};\n}}\n',
        f'map "$request_method:$http_upgrade:$http_x_darktime" $darktime_plain {{\n  default "";\n{plain}}}\n',
        f'map "$uri?$args" $darktime_path {{\n{allowed}}}\n',
        # Only a salted key that is not empty is hashed: the hash of nothing is 0, and 0 is always in.
        _map('"$darktime_plain$darktime_path:$darktime_user"', "key", f'"~^11:." "{settings.salt}:$darktime_user"'),
        f'split_clients $darktime_key $darktime_part {{\n{parts}  * "";\n}}\n',
        'map $darktime_key $darktime_bucket {\n  "" "";\n  default $darktime_part;\n}\n',
        _map("$msec", "slot", f'"~^(?<darktime_cut>\\d+){lapse}\\.\\d+\\z" $darktime_cut', default="none"),
        # A map's value is kept for the request: copy and log line tell the same moment.
        "map $msec $darktime_at {\n  default $msec;\n}\n",
        *_cookie_maps(settings),
        f"log_format darktime escape=json '{LOG_FORMAT.replace('SECRET', settings.secret)}';\n",
        f"log_format darktime_sink escape=json '{SINK_FORMAT.replace('SECRET', settings.secret)}';\n",
    ]


def _map(source: str, name: str, line: str, default: str = '""') -> str:
    return f"map {source} $darktime_{name} {{\n  default {default};\n  {line};\n}}\n"


def _path_lines(settings: SplitSettings) -> list[str]:
    excluded = "|".join(re.escape(word) for word in settings.excluded)
    lines = [f'"~*(?:{excluded})" ""'] if excluded else []
    if settings.only_paths:
        lines += [f'"~^(?:{"|".join(re.escape(path) for path in settings.only_paths)})" 1', 'default ""']
    else:
        lines.append("default 1")
    return lines


def _cookie_maps(settings: SplitSettings) -> list[str]:
    maps = [
        f'map $cookie_{name} $darktime_cookie_{index} {{\n  "" "";\n  default "{name}=$cookie_{name}; ";\n}}\n'
        for index, name in enumerate(settings.allow_cookies)
    ]
    # Says that a credential may be missing from the copy: a header of the kind, or a cookie beyond the allowlist.
    keep = {name.lower() for name in settings.allow_cookies}
    if settings.user_key.kind == "cookie":
        keep.add(settings.user_key.name.lower())
    others = f"(?!(?:{'|'.join(sorted(keep))})=)" if keep else ""
    authorization = "" if _allows(settings, "authorization") else "$http_authorization"
    maps.append(
        f'map "{authorization}|$http_cookie" $darktime_stripped {{\n  default "";\n  "~^[^|]" 1;\n'
        f'  "~*^[^|]*\\|(?:.*;)?\\s*{others}[^=;\\s]+=" 1;\n}}\n'
    )
    return maps


def _allows(settings: SplitSettings, header: str) -> bool:
    return header in {name.lower() for name in settings.allow_headers}


def _upstreams(routes: tuple[Route, ...]) -> list[str]:
    return [
        f"upstream darktime_route_{index} {{\n"
        + "".join(f"  server {upstream} max_fails=0;\n" for upstream in route.upstreams)
        # Shorter than any server's own: a connection that the server is about to close must not get a request.
        + "  keepalive 256;\n  keepalive_timeout 1s;\n  keepalive_requests 100000;\n}\n"
        for index, route in enumerate(routes)
    ]


def _mirror_upstream(settings: SplitSettings) -> str:
    # max_fails is ignored where there is only one server: the backup makes it a breaker; the zone joins all workers.
    return (
        "upstream darktime_relay {\n  zone darktime_relay 64k;\n"
        f"  server unix:{settings.relay_socket} max_conns=256 max_fails=5 fail_timeout=2s;\n"
        f"  server unix:{settings.sink_socket} backup;\n  keepalive 32;\n}}\n"
    )


def _sink_server(settings: SplitSettings) -> str:
    return (
        f"server {{\n  listen unix:{settings.sink_socket};\n"
        f"  access_log {_syslog(settings)} darktime_sink;\n  return 204;\n}}\n"
    )


def _syslog(settings: SplitSettings) -> str:
    return f"syslog:server=127.0.0.1:{settings.log_port},tag=darktime,nohostname"


def _front(settings: SplitSettings) -> str:
    """What makes the front transparent: sizes, times, buffering and headers stay production's own affair."""
    hidden = "".join(
        f"  proxy_pass_header {name};\n"
        for name in (
            "Server", "Date", "X-Pad", "X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Buffering",
            "X-Accel-Charset",
        )
    )  # fmt: skip
    ours = "".join(
        f'  proxy_set_header X-Darktime{suffix} "";\n'
        for suffix in ("", "-Id", "-Version", "-User", "-At", "-Stripped")
    )
    return (
        f"  listen {settings.listen};\n  server_name _;\n  recursive_error_pages on;\n  underscores_in_headers on;\n"
        "  keepalive_requests 100000;\n  client_max_body_size 0;\n  large_client_header_buffers 4 64k;\n"
        "  proxy_http_version 1.1;\n  proxy_buffering off;\n  proxy_request_buffering off;\n"
        "  proxy_buffer_size 16k;\n  proxy_buffers 4 16k;\n"
        f"  proxy_read_timeout {_PATIENCE_S}s;\n  proxy_send_timeout {_PATIENCE_S}s;\n  proxy_connect_timeout 10s;\n"
        "  proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering\n"
        "    X-Accel-Charset;\n"
        f"{hidden}"
        "  proxy_set_header Host $darktime_host;\n  proxy_set_header Connection $darktime_connection;\n"
        "  proxy_set_header Upgrade $http_upgrade;\n  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
        f"{ours}"
    )


def _front_server(settings: SplitSettings, root: str) -> str:
    locations = []
    for index, route, match in _matches(settings.routes):
        gate = f"    error_page 418 = @darktime_candidate_{index};\n"
        gate += "    if ($darktime_bucket) {\n      return 418;\n    }\n"
        passed = f"    proxy_pass http://darktime_route_{index};\n"
        locations.append(f"  location {match} {{\n{gate if route.mirrored else ''}{passed}  }}\n")
    for index, route in enumerate(settings.routes):
        if route.mirrored:
            locations += _candidate_locations(settings, root, index)
    # Whoever asks the dark instance for this and gets the answer has been led back to production's front.
    probe = f"  location = {probe_path(settings.secret)} {{\n    return 200 {probe_answer(settings.secret)};\n  }}\n"
    return f"server {{\n{_front(settings)}{''.join(locations)}{probe}{_mirror_location(settings)}}}\n"


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
    tests = (f"!-f {root}/level/$darktime_bucket", f"-f {root}/kill", f"!-f {root}/lease/$darktime_slot")
    gate = "".join(f"    if ({test}) {{\n      return 418;\n    }}\n" for test in tests)
    candidate = (
        f"  location @darktime_candidate_{index} {{\n    error_page 418 = @darktime_plain_{index};\n{gate}"
        f"    mirror {MIRROR};\n    mirror_request_body off;\n"
        f"    access_log {_syslog(settings)} darktime;\n    proxy_pass http://darktime_route_{index};\n  }}\n"
    )
    plain = f"  location @darktime_plain_{index} {{\n    proxy_pass http://darktime_route_{index};\n  }}\n"
    return [candidate, plain]


def _mirror_location(settings: SplitSettings) -> str:
    limit = f"{settings.mirror_timeout_ms}ms"
    passed = "".join(
        f"    proxy_set_header {name} $http_{name.lower().replace('-', '_')};\n" for name in settings.allow_headers
    )
    cookies = "".join(f"$darktime_cookie_{index}" for index in range(len(settings.allow_cookies)))
    return (
        f"  location = {MIRROR} {{\n    internal;\n    client_max_body_size 0;\n"
        "    proxy_pass http://darktime_relay$request_uri;\n"
        "    proxy_pass_request_headers off;\n    proxy_pass_request_body off;\n    proxy_buffering on;\n"
        f"    proxy_connect_timeout {limit};\n    proxy_send_timeout {limit};\n    proxy_read_timeout {limit};\n"
        "    proxy_next_upstream error timeout;\n    proxy_next_upstream_tries 2;\n"
        f"    proxy_next_upstream_timeout {2 * settings.mirror_timeout_ms}ms;\n"
        '    proxy_set_header Connection "";\n    proxy_set_header Content-Length "";\n'
        "    proxy_set_header Host $darktime_host;\n"
        "    proxy_set_header X-Darktime 1;\n    proxy_set_header X-Darktime-Version 1;\n"
        "    proxy_set_header X-Darktime-Id $request_id;\n    proxy_set_header X-Darktime-At $darktime_at;\n"
        "    proxy_set_header X-Darktime-User $darktime_user;\n"
        "    proxy_set_header X-Darktime-Stripped $darktime_stripped;\n"
        f'{passed}    proxy_set_header Cookie "{cookies}";\n  }}\n'
    )
