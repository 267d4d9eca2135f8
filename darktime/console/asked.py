"""What a split is asked for on the command line and in its file, as its parts take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from darktime.console.recording import upstream
from darktime.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.commands import CompareOptions
    from darktime.split.schedule import Schedule
    from darktime.split.settings import CopySettings


def state_remedy(table: str) -> str:
    """What is said where nobody has said ``dark_state``; ``table``: of ``darktime.toml``."""
    return (
        f"only you know what the dark instance may change: say --dark-state, or dark_state in [{table}] of darktime.toml:\n"
        '"isolated" (its own database), "readonly" (it writes nothing), "shared" (production\'s database: with --path only)'
    )


def key_remedy(table: str, kinds: str = "cookie:NAME, header:NAME, query:NAME or ip") -> str:
    """What is said where nobody has said ``key``; ``kinds``: what it may be."""
    return (
        f"only you know what makes a user: say --key, or key in [{table}] of darktime.toml: {kinds}\n"
        "('darktime plan --log access.log --percent 5' says which of them would serve)"
    )


_MOST_PAIRS_MB = 16_384  # some 50 million pairs: judging them takes as many GB of memory, and minutes
# What the includes have fixed: the option, and the setting that it is.
FIXED = {
    "dark_state": "dark_state", "key": "key", "experiment": "salt", "path": "only_paths", "only": "only",
    "exclude": "excluded", "methods": "methods", "allow_header": "allow_headers", "allow_cookie": "allow_cookies",
    "allow_query": "allow_query", "max_body": "max_body",
}  # fmt: skip


def percent_of(asked: dict[str, Any]) -> tuple[float, Schedule | None]:
    """With how many percent it begins, and how it goes on. Raises UsageError."""
    from darktime.split.schedule import read_schedule

    if given("ramp") and not given("percent"):
        asked["percent"] = None  # of the settings file
    elif given("percent") and not given("ramp"):
        asked["ramp"] = None
    if (asked["percent"] is None) == (asked["ramp"] is None):
        raise UsageError(
            "say --percent 5, or a plan: --ramp 1,5,25,50 --hold 600; one of them ('darktime split --help' says more)"
        )
    if asked["ramp"] is None:
        return asked["percent"], None
    schedule = read_schedule(asked["ramp"], asked["hold"])
    asked["max_percent"] = asked["max_percent"] or schedule.percents[-1]
    return schedule.percents[0], schedule


def given(option: str) -> bool:
    """Whether it was said on the command line, and not in the settings file or not at all."""
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE


def endpoints_of(asked: dict[str, Any]) -> Path | None:
    """The file with the application's own templates, which has been read before."""
    path: Path | None = asked.get("endpoints")
    return None if path is None else path.resolve()


def pairs_bytes_of(asked: dict[str, Any]) -> int | None:
    """How much the file of pairs may take; None where nothing is compared. Raises UsageError."""
    from darktime.split.pairs_room import MB

    pairs_mb: int | None = asked.get("pairs_mb")
    if pairs_mb is None:
        return None
    if not 1 <= pairs_mb <= _MOST_PAIRS_MB:
        raise UsageError(
            f"--pairs-mb {pairs_mb}: 1 to {_MOST_PAIRS_MB:,}, please; an hour of 500 copies a second takes 600"
        )
    return pairs_mb * MB


def lists_of(asked: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The listed users, by the list's name. Raises UsageError."""
    from darktime.split.conditions import read_users
    from darktime.split.levels import NEVER, ONLY

    files = ((ONLY, "--only-users", asked["only_users"]), (NEVER, "--never", asked["never"]))
    return {
        name: read_users(path.read_text(encoding="utf-8", errors="surrogateescape"), f"{option} {path}")
        for name, option, path in files
        if path is not None
    }


def as_included(settings: CopySettings, asked: dict[str, Any]) -> None:
    """What the includes say holds. Raises UsageError for an option that says otherwise, and for more than they allow."""
    from darktime.split.workers import workers_of

    said = choices(
        {**asked, "dark_state": asked["dark_state"] or settings.dark_state, "key": asked["key"] or settings.key}
    )
    for option, name in FIXED.items():
        if given(option) and said[name] != getattr(settings, name):
            raise UsageError(
                f"--{option.replace('_', '-')} was fixed when the includes were written: leave it out, or write them again "
                "with --emit"
            )
    workers = len(workers_of(settings))
    if given("relay_workers") and workers_asked(asked) != workers:
        raise UsageError(
            f"--relay-workers {asked['relay_workers']}: the includes were written for {workers}: leave it out, or write them "
            "again with --emit"
        )
    schedule = asked["schedule"]
    most = schedule.percents[-1] if schedule is not None else asked["percent"]
    if max(most, asked["max_percent"] or 0) > settings.max_percent:
        raise UsageError(
            f"the includes allow {settings.max_percent:g} percent at most: write them again with --max-percent"
        )
    asked |= {"experiment": settings.salt, "key": settings.key, "max_percent": settings.max_percent}


def workers_asked(asked: dict[str, Any]) -> int:
    """How many relays share the copies. Raises UsageError."""
    from darktime.split.workers import check_workers

    workers: int = asked.get("relay_workers", 1)
    check_workers(workers)
    return workers


def stream_life(asked: dict[str, Any]) -> float:
    """How long a stream may be held, in seconds; as long as the split where nobody says. Raises UsageError."""
    from darktime.split.relay.settings import MOST_STREAM_LIFE_S

    life: float | None = asked.get("stream_life")
    if life is None:
        return float(asked["ttl"])
    if not 0 < life <= MOST_STREAM_LIFE_S:
        raise UsageError(
            f"--stream-life {life:g}: above 0, at most {MOST_STREAM_LIFE_S:,.0f} seconds; left out, streams are held as long as "
            "--ttl allows"
        )
    return life


def choices(asked: dict[str, Any]) -> dict[str, Any]:
    """Whose requests are copied, and what of them, as the settings take it."""
    from darktime.split.settings import ALLOWED_HEADERS

    return {
        "dark_state": asked["dark_state"],
        "key": asked["key"],
        "salt": asked["experiment"],
        "max_percent": asked["max_percent"] or asked["percent"],
        "only_paths": tuple(asked["path"]),
        "only": tuple(asked.get("only", ())),
        "only_listed": asked.get("only_users") is not None,
        "never_listed": asked.get("never") is not None,
        "excluded": tuple(asked["exclude"]),
        "max_body": asked["max_body"],
        "copy_bodies": asked["copy_bodies"] or not (asked["emit"] or asked.get("no_bodies")),
        "methods": tuple(one.strip().upper() for one in asked["methods"].split(",") if one.strip()),
        "allow_headers": (*ALLOWED_HEADERS, *asked["allow_header"]),
        "allow_cookies": tuple(asked["allow_cookie"]),
        "allow_query": tuple(asked["allow_query"]),
    }


def comparing(asked: dict[str, Any]) -> CompareOptions:
    """What is compared, as the relay takes it. Raises UsageError for what cannot be read, or would compare nothing."""
    from darktime.split.commands import CompareOptions
    from darktime.split.compare.attributes import BODY, read_attributes
    from darktime.split.compare.rules import read_rules
    from darktime.split.instances import address
    from darktime.split.relay.settings import CompareSettings

    attributes = read_attributes(asked["compare"])
    ignore, unordered = read_rules(asked["ignore"]), read_rules(asked["unordered"])
    if BODY in attributes and not asked["secondary"]:
        raise UsageError(
            "compare body: nobody but production's users gets production's bodies; name a second instance of today's code "
            "with --secondary http://HOST:PORT"
        )
    calibrate_s = asked.get("calibrate", 0.0)  # who only records does not calibrate
    if not asked["secondary"]:
        if calibrate_s:
            raise UsageError(
                f"calibrate {calibrate_s:g}: at first copies go to a second instance of today's code; name one with "
                "--secondary http://HOST:PORT"
            )
        return CompareOptions(attributes=attributes)
    secondary = upstream(asked["secondary"], "secondary")
    settings = CompareSettings(
        secondary=address(secondary),
        share=asked["compare_share"],
        body_bytes=asked["compare_bytes"],
        per_s=asked["compare_per_s"],
        ignore=ignore,
        unordered=unordered,
        html_whitespace=asked["html_whitespace"],
        calibrate_s=calibrate_s,
    )
    if calibrate_s >= min(asked["duration"] or asked["ttl"], asked["ttl"]):
        raise UsageError(
            f"calibrate {calibrate_s:g}: the split ends before a copy goes to the dark instance; less than --duration and "
            "--ttl, please"
        )
    return CompareOptions(
        attributes=attributes,
        secondary=f"http://{secondary}",
        share=settings.share,
        body_bytes=settings.body_bytes,
        per_s=settings.per_s,
        ignore=tuple(rule.text for rule in ignore),
        unordered=tuple(rule.text for rule in unordered),
        html_whitespace=settings.html_whitespace,
        calibrate_s=settings.calibrate_s,
    )


NOT_RECORDED = (
    "no requests of {methods} are recorded: a recording of its own keeps no bodies, and what came without its body would be "
    "another request; 'darktime split --record FILE --methods {all}' keeps them, as a dark instance gets them"
)
NOT_INCLUDED = (
    "no copies of {methods}: the includes were written without their bodies; --emit with --copy-bodies has them copied"
)


def about_uploads(settings: CopySettings, asked: dict[str, Any]) -> list[str]:
    """What is said of requests with bodies before anything is copied: that they are left out, or come whole."""
    left_out = [one for one in settings.methods if one not in settings.copied_methods]
    words = {"methods": ", ".join(left_out), "all": ",".join(settings.methods)}
    missing = (NOT_INCLUDED if asked.get("joined") else NOT_RECORDED).format(**words)
    return [*([missing] if left_out else []), *whole_bodies(settings)]


def whole_bodies(settings: CopySettings) -> list[str]:
    """What is said before bodies are copied: nothing of them is masked."""
    if not settings.body_methods:
        return []
    methods, limit = ", ".join(settings.body_methods), settings.max_body
    return [
        f"copies of {methods} carry bodies of up to {limit:,} bytes as they are: what people type, passwords too, goes there"
    ]
