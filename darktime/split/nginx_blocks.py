"""The blocks of nginx's configuration that every split has, in a whole one or in an include: who is in, and how a copy goes.

Pure; for stock nginx. A bucket's number is cut from the salted key; whether it is in is asked of files, at each request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from darktime.split.conditions import only_maps
from darktime.split.copied_paths import exclusions
from darktime.split.credentials import cookies_left, headers_left, parameters_left
from darktime.split.levels import NEVER, ONLY, level_name, watched_name
from darktime.split.log_format import LOG_FORMAT, OTHER_FORMAT, SINK_FORMAT
from darktime.split.marks import mark
from darktime.split.sampling import control_buckets
from darktime.split.worker_blocks import (
    kept_connections,
    log_target,
    most_connections,
    relay_of_request,
    upstream_of,
    worker_maps,
)
from darktime.split.workers import workers_of

if TYPE_CHECKING:
    from darktime.split.settings import CopySettings
    from darktime.split.workers import Worker

MIRROR: Final = "/__darktime_mirror"
MIRROR_BODY: Final = "/__darktime_mirror_body"
PROBE: Final = "/__darktime_probe/"
# Of all requests, whether copied or not: so many are told of, to know how many of them carry a key.
CENSUS_PERCENT: Final = 2
HOST_MAP: Final = 'map $http_host $darktime_host {\n  "" $host;\n  default $http_host;\n}\n'


def maps(settings: CopySettings) -> list[str]:
    """Who is a candidate, and in which bucket; the log lines' formats."""
    key = settings.user_key.variable
    # An Upgrade cannot be copied; what carries X-Darktime is a copy itself: copying it would be a loop.
    plain = "".join(f'  "{method}::" 1;\n' for method in settings.copied_methods)
    allowed = "".join(f"  {line};\n" for line in _path_lines(settings))
    only = only_maps(settings.only)
    onlys = "".join(f"$darktime_only_{at}" for at in range(len(only)))
    control = control_buckets(settings.buckets)
    names = [level_name(bucket) for bucket in range(settings.buckets)]
    names += [watched_name(bucket) for bucket in range(settings.buckets, control.stop)]
    parts = "".join(f"  0.1% {name};\n" for name in names)
    lapse = {1: "", 10: r"\d", 100: r"\d\d", 1000: r"\d\d\d"}[settings.slot_s]
    return [
        HOST_MAP,
        f'map {key} $darktime_user {{\n  default "";\n  "~^[A-Za-z0-9_.:-]{{1,128}}\\z" {key};\n}}\n',
        f'map "$request_method:$http_upgrade:$http_x_darktime" $darktime_plain {{\n  default "";\n{plain}}}\n',
        f'map "$uri?$args $request_uri" $darktime_path {{\n{allowed}}}\n',
        # The draw comes first: it costs least, and most are not in it. It counts for a valid key only.
        f'split_clients "{settings.salt}:{key}" $darktime_part {{\n{parts}  * "";\n}}\n',
        *(_map(variable, f"only_{at}", f'"~{pattern}" 1') for at, (variable, pattern) in enumerate(only)),
        _map(
            f'"$darktime_plain$darktime_path{onlys}:$darktime_user"',
            "valid",
            f'"~^11{"1" * len(only)}:." $darktime_part',
        ),
        'map $darktime_part $darktime_drawn {\n  "" "";\n  default $darktime_valid;\n}\n',
        _map("$darktime_drawn", "bucket", '"~^b" $darktime_drawn'),
        *_watching_maps(settings, control),
        *worker_maps(settings),
        _map("$msec", "slot", f'"~^(?<darktime_cut>\\d+){lapse}\\.\\d+\\z" $darktime_cut', default="none"),
        # A map's value is kept for the request: copy and log line tell the same moment.
        "map $msec $darktime_at {\n  default $msec;\n}\n",
        *_cookie_maps(settings),
        *_body_maps(settings),
        f"log_format darktime escape=json '{LOG_FORMAT.replace('SECRET', settings.secret)}';\n",
        f"log_format darktime_other escape=json '{OTHER_FORMAT.replace('SECRET', settings.secret)}';\n",
        f"log_format darktime_sink escape=json '{SINK_FORMAT.replace('SECRET', settings.secret)}';\n",
    ]


def _map(source: str, name: str, line: str, default: str = '""') -> str:
    return f"map {source} $darktime_{name} {{\n  default {default};\n  {line};\n}}\n"


def _watching_maps(settings: CopySettings, control: range) -> list[str]:
    """Which requests are told of though they are not copied: those of the control group, and some of all."""
    lines = '  "~^c" 1;\n'
    if control.start < settings.buckets:  # the last hundred: b900 to b999
        lines += '  "~^b9" 1;\n'
    key = settings.user_key.variable
    return [
        f'split_clients "$connection-$connection_requests-$pid" $darktime_census {{\n  {CENSUS_PERCENT}% 1;\n  * "";\n}}\n',
        f'map $darktime_drawn $darktime_other {{\n  "" $darktime_census;\n{lines}  default $darktime_census;\n}}\n',
        f'map {key} $darktime_keyless {{\n  "" none;\n  default unusable;\n}}\n',
        'map $darktime_user $darktime_keyed {\n  "" $darktime_keyless;\n  default valid;\n}\n',
    ]


def _path_lines(settings: CopySettings) -> list[str]:
    found = exclusions(settings.excluded, settings.unless_named, settings.only_paths)
    lines = [f'"~*{one.pattern}" ""' for one in found]
    if settings.only_paths:
        lines += [f'"~^(?:{"|".join(re.escape(path) for path in settings.only_paths)})" 1', 'default ""']
    else:
        lines.append("default 1")
    return lines


def _cookie_maps(settings: CopySettings) -> list[str]:
    maps = [
        f'map $cookie_{name} $darktime_cookie_{index} {{\n  "" "";\n  default "{name}=$cookie_{name}; ";\n}}\n'
        for index, name in enumerate(settings.allow_cookies)
    ]
    headers = "".join(f"$http_{name}" for name in headers_left(settings))
    maps += [
        _map("$request_uri", "masked", f'"~*{parameters_left(settings)}" 1'),
        (
            f'map "$darktime_masked{headers}|$http_cookie" $darktime_stripped {{\n  default "";\n  "~^[^|]" 1;\n'
            f'  "~*{cookies_left(settings)}" 1;\n}}\n'
        ),
    ]
    return maps


def _body_maps(settings: CopySettings) -> list[str]:
    """Whether a request's body goes with its copy. Of a chunked one the length is known once nginx has read it, so ask again."""
    if not settings.body_methods:
        return []
    methods = "|".join(settings.body_methods)
    return [
        (
            'map "$request_method:$content_length" $darktime_body {\n  volatile;\n  default "";\n'
            f'  "~^(?:{methods}):0*(?:{_above(settings.max_body)})\\z" too_big;\n  "~^(?:{methods}):0*[1-9]" 1;\n}}\n'
        ),
        f'map "$request_method:$darktime_body" $darktime_reads {{\n  default "";\n  "~^(?:{methods}):(?!too_big)" 1;\n}}\n',
    ]


def _above(limit: int) -> str:
    """A regular expression of the whole numbers above a limit, without leading zeros."""
    digits = str(limit)
    longer = f"[1-9]\\d{{{len(digits)},}}"
    higher = [
        f"{digits[:at]}[{int(digit) + 1}-9]\\d{{{len(digits) - at - 1}}}"
        for at, digit in enumerate(digits)
        if digit != "9"
    ]
    return "|".join([longer, *higher])


def relay_upstream(settings: CopySettings) -> str:
    """Each relay, and the sink behind it for what it does not take."""
    workers = workers_of(settings)
    return "".join(_upstream(one, len(workers)) for one in workers)


def _upstream(worker: Worker, workers: int) -> str:
    name = upstream_of(worker)
    # max_fails is ignored where there is only one server: the backup makes it a breaker; the zone joins all workers.
    # The sink is this nginx itself: when it was held up it is not to be given up, or copies would leave with no reason.
    return (
        f"upstream {name} {{\n  zone {name} 64k;\n"
        f"  server unix:{worker.relay_socket} max_conns={most_connections(workers)} max_fails=5 fail_timeout=2s;\n"
        f"  server unix:{worker.sink_socket} backup max_fails=0;\n  keepalive {kept_connections(workers)};\n}}\n"
    )


def sink_server(settings: CopySettings) -> str:
    """Takes what a relay did not, and tells that relay so."""
    return "".join(
        f"server {{\n  listen unix:{one.sink_socket};\n"
        f"  client_max_body_size 0;\n  access_log {log_target(one)} darktime_sink;\n  return 204;\n}}\n"
        for one in workers_of(settings)
    )


def gate_tests(settings: CopySettings, root: str, code: int) -> str:
    """Ends a request with ``code`` unless its bucket is in, nobody has killed the split, and the lists allow it.

    A user's name may stand in a path: it has no slash, and a folder is no file.
    """
    tests = [f"!-f {root}/level/$darktime_bucket", f"-f {root}/kill"]
    if settings.only_listed:
        tests.append(f"!-f {root}/{ONLY}/$darktime_user")
    if settings.never_listed:
        tests.append(f"-f {root}/{NEVER}/$darktime_user")
    return "".join(f"    if ({test}) {{\n      return {code};\n    }}\n" for test in tests)


def lease_test(root: str, code: int) -> str:
    """Ends a request with ``code`` unless the lease stands: without one nothing is copied, and nothing is told either."""
    return f"    if (!-f {root}/lease/$darktime_slot) {{\n      return {code};\n    }}\n"


def mirror_locations(settings: CopySettings, *, gate: str = "", reset: str = "") -> list[str]:
    """The internal locations that send a copy: without its body, and with it where any method's goes along.

    ``gate``: what the first asks before; it hands on to the second what has a body. ``reset``: what neither may inherit.
    """
    switch = (
        f"    if ($darktime_body = 1) {{\n      rewrite ^ {MIRROR_BODY} last;\n    }}\n"
        if settings.body_methods
        else ""
    )
    found = [f"  location = {MIRROR} {{\n    internal;\n{gate}{switch}{reset}{copy_directives(settings)}  }}\n"]
    if settings.body_methods:
        found.append(
            f"  location = {MIRROR_BODY} {{\n    internal;\n{reset}{copy_directives(settings, body=True)}  }}\n"
        )
    return found


def copy_directives(settings: CopySettings, *, body: bool = False) -> str:
    """What sends a copy, in a location that a mirror asks: to the relay, with what is allowed of the request."""
    limit = f"{settings.mirror_timeout_ms}ms"
    passed = "".join(
        f"    proxy_set_header {name} $http_{name.lower().replace('-', '_')};\n" for name in settings.allow_headers
    )
    cookies = "".join(f"$darktime_cookie_{index}" for index in range(len(settings.allow_cookies)))
    # What is sent again goes to the sink and nowhere else: there is one relay.
    again = "error timeout non_idempotent" if settings.body_methods else "error timeout"
    if body:
        what = (
            "    proxy_pass_request_body on;\n    proxy_request_buffering on;\n"
            "    proxy_set_header Content-Type $content_type;\n"
            "    proxy_set_header Content-Encoding $http_content_encoding;\n"
        )
    else:
        what = '    proxy_pass_request_body off;\n    proxy_set_header Content-Length "";\n'
        if settings.body_methods:
            what += "    proxy_set_header X-Darktime-Body $darktime_body;\n"
    return (
        f"    client_max_body_size 0;\n    proxy_pass http://{relay_of_request(settings)}$request_uri;\n"
        f"    proxy_pass_request_headers off;\n{what}    proxy_buffering on;\n"
        f"    proxy_connect_timeout {limit};\n    proxy_send_timeout {limit};\n    proxy_read_timeout {limit};\n"
        f"    proxy_next_upstream {again};\n    proxy_next_upstream_tries 2;\n"
        # However late nginx itself comes to it: the sink must hear of what the relay did not take. Two tries are the bound.
        "    proxy_next_upstream_timeout 0;\n"
        '    proxy_set_header Connection "";\n'
        "    proxy_set_header Host $darktime_host;\n"
        "    proxy_set_header X-Darktime 1;\n    proxy_set_header X-Darktime-Version 1;\n"
        "    proxy_set_header X-Darktime-Id $request_id;\n    proxy_set_header X-Darktime-At $darktime_at;\n"
        "    proxy_set_header X-Darktime-User $darktime_user;\n"
        "    proxy_set_header X-Darktime-Stripped $darktime_stripped;\n"
        f'{passed}    proxy_set_header Cookie "{cookies}";\n'
    )


def probe_path(secret: str) -> str:
    """A path that nobody can guess: this nginx answers it by itself, and no other server does."""
    return PROBE + mark(secret, "probe path")


def probe_answer(secret: str) -> str:
    """What this nginx answers there."""
    return mark(secret, "probe answer")


def self_probe_path(secret: str) -> str:
    """A path that nobody can guess: this nginx answers it by itself, and mirrors it as it mirrors a user who is in."""
    return PROBE + mark(secret, "self-probe path")


def self_probe_location(settings: CopySettings, root: str) -> str:
    """For an nginx of our own: whether a copy of a request would arrive, asked without production and without the dark side.

    Its copy goes to the relay as every other does, by the same files; the relay counts it and sends it nowhere. What answers
    must come after the mirror's phase, which ``return`` and ``try_files`` do not: it is the level file, which is empty.
    """
    level = f"{root}/level/{level_name(0)}"
    tests = (f"!-f {level}", f"-f {root}/kill")
    gate = "".join(f"    if ({test}) {{\n      return 404;\n    }}\n" for test in tests) + lease_test(root, 404)
    return (
        f"  location = {self_probe_path(settings.secret)} {{\n{gate}    mirror {MIRROR};\n    mirror_request_body off;\n"
        f"    alias {level};\n  }}\n"
    )


def probe_location(secret: str) -> str:
    """Whoever asks the dark instance for this and gets the answer has been led back to production's front."""
    return f"  location = {probe_path(secret)} {{\n    return 200 {probe_answer(secret)};\n  }}\n"
