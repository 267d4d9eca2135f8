"""The includes for an nginx that is already there: for its http block, for each server, for each location. Pure.

In a location of somebody else only a mirror is added: it runs after the access phase, so that nobody is let in by it. The
gate stands in the internal location that the mirror asks, a test of a variable first, of files only for candidates. What
our ``access_log`` and ``mirror`` would replace there is restated, so that the user's own go on line for line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from darktime.split.nginx_blocks import (
    MIRROR,
    gate_tests,
    lease_test,
    maps,
    mirror_locations,
    probe_location,
    relay_upstream,
    sink_server,
)
from darktime.split.settings import safe_path
from darktime.split.worker_blocks import included_lines, included_maps, told_mark

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.in_force import Lines, Place
    from darktime.split.settings import CopySettings

VERSION: Final = 1
HTTP: Final = "darktime.http.conf"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:=@+,*-]+")
# What the mirror's location would inherit and a copy may not have: each would change it, or send it elsewhere.
_NEUTRAL: Final = """\
    error_page 599 =204 /;
    recursive_error_pages off;
    access_log off;
    limit_rate 0;
    proxy_bind off;
    proxy_cache off;
    proxy_store off;
    proxy_method $request_method;
    proxy_intercept_errors off;
    proxy_ignore_client_abort off;
    proxy_max_temp_file_size 0;
    proxy_http_version 1.1;
"""


def http_include(settings: CopySettings) -> str:
    """For the http block: who is in, where copies go, what the log lines look like."""
    head = f"# darktime {VERSION}: for the http block. At most {settings.max_percent:g} % of users.\n"
    return head + "\n".join([*maps(settings), included_maps(settings), relay_upstream(settings), sink_server(settings)])


def server_include(settings: CopySettings, folder: Path, place: Place) -> str:
    """For the server of a location: the internal location with the gate, and the log line of every request that was copied.

    It stands here, since a request may end in another location than it was copied in: at an error page, by X-Accel-Redirect.
    """
    gate = "    if ($darktime_copied) {\n      return 204;\n    }\n"  # an internal redirect asks once more
    # No body, whatever the server sets; where bodies are copied no server may set one.
    bare = '    proxy_set_body "";\n'
    root = safe_path(folder, "folder")
    gate += "    if ($darktime_here = -) {\n      return 204;\n    }\n" + lease_test(root, 204)
    gate += f"    set $darktime_told {told_mark(settings)};\n" + gate_tests(settings, root, 204)
    lines = [
        f"# darktime {VERSION}: for server {' '.join(place.server_names) or '_'}. To end all mirroring: touch {folder}/kill",
        *(["uninitialized_variable_warn off;"] if "uninitialized_variable_warn" not in place.server_has else []),
        *_log_lines(settings, place.server_logs),
        *mirror_locations(
            settings, gate=f"{gate}    set $darktime_copied {told_mark(settings)};\n{bare}", reset=_NEUTRAL
        ),
        probe_location(settings.secret),
    ]
    return "\n".join(lines) + "\n"


def location_include(settings: CopySettings, place: Place) -> str:
    """For one location, as its first line: the mirror, and what it replaces."""
    lines = [
        f"# darktime {VERSION}: for location {place.location}",
        # Asked here, so that it means the request and not the mirror's own path; and that it was here is known by it.
        "set $darktime_here -$darktime_bucket$darktime_other;",
        *(f"mirror {_words(args)};" for args in place.mirrors),
        f"mirror {MIRROR};",
    ]
    if not place.mirrors and not place.has & {"mirror", "mirror_request_body"}:
        lines.append(f"mirror_request_body {'on' if settings.body_methods else 'off'};")
    if place.logs is not None:
        lines += _log_lines(settings, place.logs)
    return "\n".join(lines) + "\n"


def _log_lines(settings: CopySettings, theirs: Lines) -> list[str]:
    restated = [f"access_log {_words(args)};" for args in theirs]
    return [*restated, *included_lines(settings)]


def _words(args: tuple[str, ...]) -> str:
    """Arguments as nginx reads them again."""
    return " ".join(one if _PLAIN.fullmatch(one) else '"' + re.sub(r'(["\\])', r"\\\1", one) + '"' for one in args)
