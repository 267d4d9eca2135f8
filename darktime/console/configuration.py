"""darktime.toml: which keys there are, and how they become defaults of the commands. Unknown keys are errors."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

# Table by table, the keys people may write; each is the flag of the command of that name.
KEYS: dict[str, frozenset[str]] = {
    "split": frozenset(
        {
            "production",
            "dark",
            "listen",
            "key",
            "experiment",
            "percent",
            "max_percent",
            "dark_state",
            "path",
            "ttl",
            "nginx",
            "redis",
        }
    ),
    "blast": frozenset({"allow", "max_rate", "slo"}),
    "demo": frozenset({"visitors", "percent"}),
}

TEMPLATE = """\
# Settings of darktime. Flags and DARKTIME_... variables come before what stands here.

[split]
production = "http://127.0.0.1:8000"   # where your users' requests go today
dark = "http://127.0.0.1:8001"         # the new code: it gets copies, its replies go nowhere
listen = "127.0.0.1:8080"              # nginx takes production's requests here
key = "cookie:uid"                     # what makes a user: the same user is always in or always out
experiment = "first"                   # the salt: another name draws other users
max_percent = 10                       # fixed in the nginx configuration; no ramp goes beyond it
dark_state = "isolated"                # isolated | readonly | shared: what the dark instance may change

[blast]
allow = []                             # hosts beyond this machine that may be saturated
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
    ctx.default_map = read(path)
    return path


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
        for key in values:
            if key not in KEYS[table]:
                raise click.UsageError(f"{path}: unknown key {key} in [{table}]{nearest(key, KEYS[table])}")
    return tables


def nearest(word: str, known: dict[str, Any] | frozenset[str]) -> str:
    """A suggestion for a word that is not known."""
    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
