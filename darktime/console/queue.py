"""``darktime queue``: looks into a job queue, and moves its jobs by hand."""

from __future__ import annotations

import functools
import json
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from darktime.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from realtime_core.hooks.lost_puts import LostPuts
    from realtime_core.queue import Queue

CONNECT_S = 3.0
ANSWER_S = 10.0
LOOK_EVERY_S = 0.2
SCHEMA_VERSION = 1


@click.group("queue")
def command() -> None:
    """Look into a job queue of realtime_core, and move its jobs by hand.

    Everything is safe while workers run. Exit code 3: an audit that is not clean, ids that were not there, or a queue that
    was not drained in time.
    """


def queue_command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command on one queue: its function gets ``queue``, and returns what --json says and what people read."""

    def decorate(function: Callable[..., tuple[dict[str, Any], Sequence[str], bool]]) -> click.Command:
        @functools.wraps(function)
        def run(*, redis: str, queue: str, as_json: bool, **settings: Any) -> int:
            from realtime_core.redis_url import check_one_node

            if settings.get("ledger") is None:
                check_one_node(redis, queue=queue, ledger=settings.get("ledger_name"), called="--ledger-name")
            with _connected(redis, queue) as found_there:
                found, lines, good = function(queue=found_there, **settings)
            if as_json:
                head = {"kind": "queue", "schema_version": SCHEMA_VERSION, "queue": queue, "command": name}
                click.echo(json.dumps(head | found))
            else:
                click.echo("\n".join(lines))
            return int(ExitCode.OK if good else ExitCode.FAILED)

        for option in (
            click.option("--json", "as_json", is_flag=True, help="For machines."),
            click.option("--queue", metavar="NAME", required=True, help="The queue's name."),
            click.option(
                "--redis",
                metavar="URL",
                required=True,
                help="The Redis or Valkey that holds it; redis+sentinel://HOST,HOST2/SERVICE asks sentinels, "
                "redis+cluster://HOST,HOST2 a cluster's nodes.",
            ),
        ):
            run = option(run)
        return command.command(name)(run)

    return decorate


@queue_command("counts")
def counts(*, queue: Queue) -> tuple[dict[str, Any], Sequence[str], bool]:
    """How many jobs are in each state, and what ever happened."""
    from darktime.report.queue_words import counts_lines

    found = asdict(queue.counts())
    return {"counts": found}, counts_lines(found), True


@queue_command("audit")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100_000, help="Look at so many jobs at the most.")
@click.option(
    "--ledger-name", metavar="NAME", help="Name puts that were acknowledged and are gone too, by this ledger."
)
@click.option("--ledger", metavar="URL", help="The Redis or Valkey that holds the ledger, where it is another one.")
def audit(
    *, queue: Queue, limit: int, ledger_name: str | None, ledger: str | None
) -> tuple[dict[str, Any], Sequence[str], bool]:
    """Whether every job is in exactly one place and the counters say so. The server answers nobody else while it looks.

    A server that lost its last writes, as in a failover, does not know what it lost: producers' accounts in the ledger do.
    """
    from darktime.report.queue_words import audit_lines, lost_lines

    if ledger is not None and ledger_name is None:
        raise UsageError(f"--ledger {ledger}: name the ledger in it with --ledger-name NAME")
    result = queue.audit(limit)
    found = asdict(result) | {"clean": result.clean, "balanced": result.counts.balanced}
    if ledger_name is None:
        return {"audit": found}, audit_lines(found), result.clean
    lost = asdict(_lost(queue, ledger_name, ledger))
    return (
        {"audit": found, "lost_puts": lost},
        [*audit_lines(found), *lost_lines(lost)],
        result.clean and not lost["ids"],
    )


def _lost(queue: Queue, name: str, url: str | None) -> LostPuts:
    from realtime_core.hooks.lost_puts import lost_puts
    from realtime_core.redis_url import connect

    if url is None:
        return lost_puts(queue, queue.redis, name)
    with connect(url, answer_s=ANSWER_S, connect_s=CONNECT_S, name=name, called="--ledger") as redis:
        return lost_puts(queue, redis, name)


@queue_command("peek")
@click.option(
    "--state", type=click.Choice(["available", "delayed", "claimed"]), default="available", help="Which jobs."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="How many.")
def peek(*, queue: Queue, state: str, limit: int) -> tuple[dict[str, Any], Sequence[str], bool]:
    """The next jobs, without touching them."""
    from darktime.report.queue_words import peek_lines

    jobs = [asdict(job) for job in queue.peek(state, limit)]
    return {"jobs": jobs}, peek_lines(jobs), True


@queue_command("stalled")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="How many.")
def stalled(*, queue: Queue, limit: int) -> tuple[dict[str, Any], Sequence[str], bool]:
    """Jobs that were set aside, with their reasons."""
    from darktime.report.queue_words import stalled_lines

    jobs = [asdict(job) for job in queue.stalled(limit)]
    return {"stalled": jobs}, stalled_lines(jobs), True


@queue_command("retry")
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--all", "everything", is_flag=True, help="All that are stalled, 10,000 at the most.")
def retry(*, queue: Queue, ids: Sequence[str], everything: bool) -> tuple[dict[str, Any], Sequence[str], bool]:
    """Give stalled jobs one more attempt each."""
    if everything == bool(ids):
        raise UsageError("name the ids of stalled jobs, or --all")
    wanted = [job.id for job in queue.stalled(10_000)] if everything else list(ids)
    return _moved("retried", wanted, queue.retry(wanted))


@queue_command("retract")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
def retract(*, queue: Queue, ids: Sequence[str]) -> tuple[dict[str, Any], Sequence[str], bool]:
    """Take jobs out for good, in whatever state they are."""
    return _moved("retracted", ids, queue.retract(ids))


@queue_command("drain")
@click.option("--timeout", type=click.FloatRange(0, 86_400), default=60.0, help="Wait so many seconds at the most.")
def drain(*, queue: Queue, timeout: float) -> tuple[dict[str, Any], Sequence[str], bool]:
    """Wait until the workers have nothing left to do: nothing is available, delayed or claimed. Stalled jobs stay."""
    until = time.monotonic() + timeout
    while True:
        found = queue.counts()
        left = found.available + found.delayed + found.claimed
        if not left or time.monotonic() >= until:
            break
        time.sleep(min(LOOK_EVERY_S, max(0.0, until - time.monotonic())))
    said = f"{left} jobs left" if left else "nothing left to do"
    return {"left": left, "stalled_jobs": found.stalled}, [f"{said}, {found.stalled} stalled"], not left


def _moved(done: str, wanted: Sequence[str], moved: Sequence[str]) -> tuple[dict[str, Any], Sequence[str], bool]:
    from darktime.report.figures import visible

    missing = sorted(set(wanted) - set(moved))
    lines = [f"{done} {len(moved)}"] + [f"not there: {visible(id_)}" for id_ in missing]
    return {done: list(moved), "not_there": missing}, lines, not missing


@contextmanager
def _connected(url: str, name: str) -> Iterator[Queue]:
    from redis.exceptions import RedisError

    from realtime_core.queue import Queue
    from realtime_core.redacted import without_password
    from realtime_core.redis_url import connect

    with connect(url, answer_s=ANSWER_S, connect_s=CONNECT_S, name=name) as redis:
        try:
            yield Queue(redis, name)
        except RedisError as error:
            raise UsageError(f"--redis {without_password(url)}: {error}") from error
