"""darktime.toml: which keys there are, and how they become defaults of the commands. Unknown keys are errors."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from darktime.console.duration import TAKEN, seconds_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

TEXT, NUMBER, WHOLE, FLAG, TEXTS = "text", "a number", "a whole number", "true or false", "a list of texts"
ONE_OR_TEXTS = "a text, or a list of texts"
TIME = TAKEN
# Table by table, the keys people may write, and of what kind; each is the flag of the command of that name.
KEYS: dict[str, dict[str, str]] = {
    "split": {
        "production": ONE_OR_TEXTS,
        "production_cacert": TEXT,
        "production_name": TEXT,
        "production_insecure": FLAG,
        "dark": ONE_OR_TEXTS,
        "dark_cacert": TEXT,
        "dark_insecure": FLAG,
        "dark_connections": WHOLE,
        "listen": TEXT,
        "certificate": TEXT,
        "certificate_key": TEXT,
        "http2": FLAG,
        "key": TEXT,
        "experiment": TEXT,
        "percent": NUMBER,
        "max_percent": NUMBER,
        "dark_state": TEXT,
        "path": TEXTS,
        "exclude": TEXTS,
        "only": TEXTS,
        "only_users": TEXT,
        "never": TEXT,
        "ramp": TEXT,
        "hold": TIME,
        "endpoints": TEXT,
        "transform": TEXT,
        "methods": TEXT,
        "max_body": WHOLE,
        "copy_bodies": FLAG,
        "allow_header": TEXTS,
        "allow_cookie": TEXTS,
        "allow_query": TEXTS,
        "ttl": TIME,
        "stream_life": TIME,
        "relay_workers": WHOLE,
        "pairs_mb": WHOLE,
        "probe": TEXT,
        "nginx": TEXT,
        "redis": TEXT,
        "secondary": TEXT,
        "compare": TEXT,
        "compare_share": NUMBER,
        "compare_bytes": WHOLE,
        "compare_per_s": NUMBER,
        "calibrate": TIME,
        "html_whitespace": FLAG,
    },
    "queue": {"redis": TEXT, "queue": TEXT},
    "pipeline": {
        "pipeline": TEXT,
        "mixins": TEXTS,
        "setting": TEXTS,
        "redis": TEXT,
        "queue": TEXT,
        "box": TEXTS,
        "best_effort": TEXTS,
        "workers": WHOLE,
        "hands": WHOLE,
        "batch": WHOLE,
        "lease": NUMBER,
        "attempts": WHOLE,
        "backoff": NUMBER,
        "progress_timeout": NUMBER,
        "drain": NUMBER,
        "ack": TEXT,
        "canary": TEXT,
        "canary_wait": NUMBER,
        "beside": TEXT,
        "beside_set": TEXTS,
        "report": TEXT,
        "ledger_name": TEXT,
        "ledger_keep": NUMBER,
        "metrics": WHOLE,
    },
    "relay": {
        "listen": TEXT,
        "dark": ONE_OR_TEXTS,
        "dark_cacert": TEXT,
        "dark_insecure": FLAG,
        "dark_connections": WHOLE,
        "key": TEXT,
        "experiment": TEXT,
        "percent": NUMBER,
        "max_percent": NUMBER,
        "dark_state": TEXT,
        "path": TEXTS,
        "exclude": TEXTS,
        "only": TEXTS,
        "only_users": TEXT,
        "never": TEXT,
        "methods": TEXT,
        "max_body": WHOLE,
        "allow_header": TEXTS,
        "allow_cookie": TEXTS,
        "allow_query": TEXTS,
        "transform": TEXT,
        "stream_life": TIME,
        "ttl": TIME,
        "state_dir": TEXT,
        "redis": TEXT,
        "metrics": WHOLE,
    },
    "blast": {
        "instance": TEXT,
        "allow": TEXTS,
        "max_rate": NUMBER,
        "slo": TEXT,
        "rate": NUMBER,
        "duration": NUMBER,
        "search": FLAG,
        "budget": NUMBER,
        "beyond": FLAG,
        "closed": FLAG,
        "users": WHOLE,
        "processes": WHOLE,
        "connections": WHOLE,
        "source": TEXTS,
        "connects_per_s": NUMBER,
        "timeout": NUMBER,
        "path": TEXT,
        "header": TEXTS,
        "cacert": TEXT,
        "insecure": FLAG,
        "fresh": FLAG,
        "follow": FLAG,
        "streams": WHOLE,
        "channels": WHOLE,
        "channel": TEXT,
        "scenario": TEXT,
        "number": TEXTS,
        "seed": WHOLE,
        "canary": FLAG,
        "metrics": TEXT,
        "inconclusive": TEXT,
        "junit": TEXT,
        "expect_workers": WHOLE,
        "expect_workers_max_wait": NUMBER,
        "master_bind_host": TEXT,
        "master_bind_port": WHOLE,
        "master_host": TEXT,
        "master_port": WHOLE,
        "web": FLAG,
        "web_host": TEXT,
        "web_port": WHOLE,
        "autoquit": NUMBER,
    },
    "verdict": {
        "latency_ratio": NUMBER,
        "latency_slack_ms": NUMBER,
        "error_margin": NUMBER,
        "difference_margin": NUMBER,
        "confidence": NUMBER,
        "min_pairs": WHOLE,
        "min_users": WHOLE,
        "min_pairs_an_endpoint": WHOLE,
        "min_users_an_endpoint": WHOLE,
        "coverage": NUMBER,
        "small_endpoint": NUMBER,
        "likeness": NUMBER,
        "inconclusive": TEXT,
    },
    "compare": {
        "pairs": WHOLE,
        "rate": NUMBER,
        "duration": NUMBER,
        "path": TEXT,
        "scenario": TEXT,
        "number": TEXTS,
        "ignore": TEXTS,
        "unordered": TEXTS,
    },
    "demo": {"visitors": WHOLE, "percent": NUMBER},
}
# What holds for whoever loads an instance, and so for the legs of a comparison too.
# What is compared of answers stands in [compare], whoever compares; these are flags of split.
OF_ANSWERS = ("ignore", "unordered")
SHARED = ("allow", "max_rate", "slo", "processes", "connections", "timeout", "header", "cacert", "insecure")
# Each command of a queue takes both.
OF_QUEUES = ("counts", "peek", "audit", "stalled", "retry", "retract", "drain")
# What a replay takes of it: whose instance may be loaded, and how it is known.
WHOM = ("allow", "max_rate", "cacert", "insecure")
# A recording is a split without a dark instance: all else that is said of the split holds for it.
OF_THE_DARK = ("dark", "dark_state")

TEMPLATE = """\
# Settings of darktime. Flags and DARKTIME_... variables come before what stands here.

[split]
production = "http://127.0.0.1:8000"   # where your users' requests go today
dark = "http://127.0.0.1:8001"         # the new code: it gets copies, its replies go nowhere
listen = "127.0.0.1:8080"              # nginx takes production's requests here
# certificate = "site.pem"             # ... by TLS: the certificate and its issuers ...
# certificate_key = "site.key"         # ... and its key
# http2 = false                        # no HTTP/2; with a certificate it is offered
# production_cacert = "ca.pem"         # production at https://: the CA to trust, in place of this machine's
# production_name = "www.example.org"  # ... and the name in its certificate
key = "cookie:uid"                     # what makes a user: the same user is always in or always out
experiment = "first"                   # the salt: another name draws other users
max_percent = 10                       # fixed in the nginx configuration; no ramp goes beyond it
dark_state = "isolated"                # isolated | readonly | shared: what the dark instance may change
# only = ["header:Host=www.example.org"]  # copy only such requests
# never = "never.txt"                  # a file of users who are never in, one a line
# only_users = "staff.txt"             # a file of users: nobody else is in
# ramp = "1,5,25,50"                   # instead of --percent: one after the other, each when the verdict is GO ...
# hold = "10m"                         # ... and held so long at least; a number is seconds
# endpoints = "openapi.yaml"           # the application's own endpoints; JSON, or one template a line, or "django:project.settings"
# transform = "sessions:transform"     # MODULE:FUNCTION of yours that each copy goes through
# secondary = "http://127.0.0.1:8002"  # a second instance of TODAY's code: answers are compared field by field
# stream_life = "10m"                  # no mirrored stream is held longer; as long as the split when left out
# probe = "https://www.example.org/"   # beside your own nginx: one request is sent here, and its copy must arrive
# relay_workers = 2                    # relays that share the users, one core each
# pairs_mb = 600                       # of the file of pairs: a run that has filled it ends, and is judged
# compare = "length"                   # besides status, type and latency
# compare_share = 0.1                  # of the copies, by a hash of the request's id
# compare_bytes = 65536                # kept of each body
# compare_per_s = 50.0                 # comparisons a second
# calibrate = "60s"                    # so long at first copies go to the secondary, to learn how it is measured
# html_whitespace = true               # any white space in HTML is one space

[blast]
allow = []                             # hosts beyond this machine that may be saturated
# max_rate = 2000.0                    # never more a second; mandatory beyond this machine
# slo = "p99<200ms,errors<0.1%"        # what a passing rate keeps to
# instance = "127.0.0.1:8001"          # the ONE instance that gets everything
# budget = 60.0                        # seconds that a search may take
# search = true                        # without the hurry: finer, longer, with confirmation
# beyond = true                        # then look at overload, and whether it recovers
# rate = 500.0                         # hold this rate instead of searching ...
# duration = 30.0                      # ... for so many seconds
# processes = 2                        # generator processes, one core each
# connections = 100                    # at a plain HTTP instance
# timeout = 5.0                        # a request that takes longer has failed
# path = "/"                           # what is asked of a plain HTTP instance
# header = ["Accept-Language: en"]     # of every request at plain HTTP
# cacert = "ca.pem"                    # https: the CA to trust, in place of this machine's
# insecure = true                      # https: go on without verification
# closed = true                        # closed model: the next request waits for the reply before
# source = ["127.0.5.0/28"]             # addresses, or networks, of this machine that connections come from
# connects_per_s = 200.0                # no more connections begin in a second
# users = 50                           # the same with so many users, on a connection each
# fresh = true                         # a new connection for every request
# follow = true                        # redirects on the same host
# streams = 200                        # EventSource subscribers at a push endpoint
# channels = 20                        # channels they are spread over
# channel = "news"                     # everything through this one
# scenario = "steady"                  # by name, or a .py file
# number = ["rate=100"]                # numbers of the scenario
# seed = 7                             # random arrivals instead of even ones
# canary = true                        # an independent prober beside the run
# metrics = "/metrics"                 # the instance's own: a path, a URL, or "off"
# inconclusive = "fail"                # what exit code 5 becomes, for CI
# junit = "blast.xml"                  # JUnit XML for CI
# web = true                           # Locust's page while a run goes on ...
# web_host = "127.0.0.1"               # ... listens here ...
# web_port = 8089                      # ... and at this port ...
# autoquit = 60.0                      # ... and stays so many seconds after it
# expect_workers = 2                   # --master: begins when so many processes have joined ...
# expect_workers_max_wait = 60.0       # ... within so many seconds
# master_bind_host = "10.0.0.1"        # --master: listens here
# master_bind_port = 5557              # --master: and at this port
# master_host = "10.0.0.1"             # --worker: where the master listens
# master_port = 5557                   # --worker: and at which port

[verdict]                              # what a split is judged by, and 'darktime verdict' again
# latency_ratio = 1.1                  # dark's p95 may be so many times production's, of each endpoint ...
# latency_slack_ms = 5.0               # ... and so many milliseconds more
# error_margin = 0.001                 # so large a share of requests may fail more often: 0.1 %
# difference_margin = 0.001            # so large a share of answers may differ
# confidence = 0.95                    # 1 less what all looks together may err with, in GO and NO-GO each
# min_pairs = 200                      # fewer are a WAIT
# min_users = 20                       # fewer are a WAIT
# min_pairs_an_endpoint = 20           # with fewer an endpoint is not judged
# min_users_an_endpoint = 10           # with fewer an endpoint is not judged
# coverage = 0.9                       # share of an endpoint's copies that must have been compared
# small_endpoint = 0.01                # an endpoint with less of the traffic is not asked for
# likeness = 0.05                      # of one user's failures, while few were seen; 1: he fails always or never
# inconclusive = "fail"                # what exit code 5 of 'darktime verdict' becomes, for CI

[compare]                              # --ab; allow, max_rate, slo and the like are those of [blast]
# pairs = 6                            # of legs: A B, B A, A B ...
# rate = 500.0                         # in every leg; without it each searches its capacity
# duration = 5.0                       # seconds of a leg
# path = "/"                           # what is asked of a plain HTTP instance
# scenario = "steady"                  # by name, or a .py file
# number = ["rate=100"]                # numbers of the scenario
# ignore = ["GET /thread/{id} posts[].at", "* request_id"]   # split: fields that are not compared
# unordered = ["* posts[].tags[]"]     # split: lists whose order does not count

[queue]                                # of 'darktime queue'
# redis = "redis://127.0.0.1:6379/0"
# queue = "comments"

[pipeline]                             # of 'darktime pipeline'
# pipeline = "site.pipelines:Comments" # a class; or its mixins, in their order:
# mixins = ["JSONParser", "Filter", "Anonymize", "HTTPPublisher"]
# setting = ["anonymize=data.email:drop", "only=kind:post_save"]   # of the mixins
# redis = "redis://127.0.0.1:6379/0"   # holds queue and ledger
# queue = "comments"
# box = ["production=http://127.0.0.1:9080"]        # jobs wait for these
# best_effort = ["dark=http://127.0.0.1:9081"]      # and for these never
# workers = 2                          # processes
# hands = 8                            # batches at a time of each
# batch = 256                          # jobs of a batch
# lease = 30.0                         # seconds that a claim lasts
# attempts = 5                         # claims that a job may have
# backoff = 1.0                        # seconds before the second of them
# progress_timeout = 20.0              # what shows no progress for so long begins anew
# drain = 3.0                          # seconds to end what is in hand
# ack = "published"                    # or none, or delivered
# canary = "http://127.0.0.1:9080/ev/" # where subscribers listen, for delivered
# canary_wait = 2.0                    # seconds until it must have seen an event
# beside = "site.new:Comments"         # compare every job with what this one makes of it
# beside_set = ["anonymize=data.email:drop"]
# report = "beside.json"               # what came of it
# ledger_name = "comments"             # account for every job and event
# metrics = 9400                       # Prometheus port of the first worker

[demo]
# visitors = 120
# percent = 10.0
"""


def load_defaults(ctx: click.Context, param: click.Parameter, path: Path) -> Path:
    """Read the settings file, when there is one, into the commands' defaults."""
    try:
        there = path.exists()
    except OSError as error:  # a folder above it may not be looked into
        raise click.UsageError(
            f"{path}: {error.strerror}; run in a folder that you may read, or name another file with --config"
        ) from error
    if not there:
        if ctx.get_parameter_source(param.name or "config") != click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"{path}: no such settings file; 'darktime init' writes one")
        return path
    tables = {table: as_asked(table, values) for table, values in read(path).items()}
    shared = {key: value for key, value in tables.get("blast", {}).items() if key in SHARED}
    compare = tables.get("compare", {})
    answers = {key: value for key, value in compare.items() if key in OF_ANSWERS}
    ctx.default_map = {
        **tables,
        "compare": {**shared, **{key: value for key, value in compare.items() if key not in OF_ANSWERS}},
        "split": {**tables.get("split", {}), **answers},
        "record": {key: value for key, value in tables.get("split", {}).items() if key not in OF_THE_DARK},
        "queue": dict.fromkeys(OF_QUEUES, tables.get("queue", {})),
        "pipeline": of_pipelines(tables.get("pipeline", {})),
        "replay": {key: value for key, value in shared.items() if key in WHOM},
    }
    return path


def of_pipelines(table: dict[str, Any]) -> dict[str, Any]:
    """What each command of a pipeline takes of the table; mixins are a pipeline too."""
    found = {key: value for key, value in table.items() if key != "mixins"}
    if "mixins" in table:
        if "pipeline" in table:
            raise click.UsageError("[pipeline] has pipeline and mixins: one of them says what runs")
        found["pipeline"] = "+".join(table["mixins"])
    return {"run": found, "check": {key: found[key] for key in ("pipeline", "setting") if key in found}}


def read(path: Path) -> dict[str, Any]:
    """The tables of a settings file. Raises click.UsageError naming the file, the key and the nearest known one."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: not readable as TOML: {error}") from error
    except OSError as error:
        raise click.UsageError(
            f"{path}: {error.strerror or error}; make it readable, or name another file with --config"
        ) from error
    for table, values in tables.items():
        if table not in KEYS:
            raise click.UsageError(f"{path}: unknown table [{table}]{nearest(table, KEYS)}")
        if not isinstance(values, dict):
            raise click.UsageError(f"{path}: {table} must be a table: write [{table}] and its keys below")
        for key, value in values.items():
            if key not in KEYS[table]:
                raise click.UsageError(f"{path}: unknown key {key} in [{table}]{nearest(key, KEYS[table])}")
            if not fits(value, KEYS[table][key]):
                raise click.UsageError(f"{path}: {key} in [{table}] is {value!r}: it takes {KEYS[table][key]}")
    return tables


def as_asked(table: str, values: dict[str, Any]) -> dict[str, Any]:
    """Values as click takes them: of an option that may be repeated, a list."""
    return {
        key: [value] if KEYS[table][key] == ONE_OR_TEXTS and isinstance(value, str) else value
        for key, value in values.items()
    }


def fits(value: object, kind: str) -> bool:
    """Whether a value of the file is of a kind. A lone text is no list: click would take it letter by letter."""
    if kind == TEXTS:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if kind == TIME:
        return not isinstance(value, bool) and isinstance(value, str | int | float) and seconds_of(value) is not None
    if kind == ONE_OR_TEXTS:
        return isinstance(value, str) or fits(value, TEXTS)
    if isinstance(value, bool) or kind == FLAG:
        return kind == FLAG and isinstance(value, bool)
    return isinstance(value, {TEXT: str, WHOLE: int, NUMBER: int | float}[kind])


def nearest(word: str, known: Collection[str]) -> str:
    """A suggestion for a word that is not known."""
    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
