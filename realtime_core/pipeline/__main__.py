"""``python -m realtime_core.pipeline MODULE:CLASS``: one worker, until SIGTERM or Ctrl-C."""

# First of all: what is imported below must find sockets, locks and clocks that gevent knows.
from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402 - see above
import gc  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import secrets  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from contextlib import closing, contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import gevent  # noqa: E402
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server  # noqa: E402

from realtime_core.errors import ConfigurationError, RealtimeError  # noqa: E402
from realtime_core.ledger import Ledger, prepare  # noqa: E402
from realtime_core.pipeline.acknowledge import LEVELS  # noqa: E402
from realtime_core.pipeline.beside import Beside  # noqa: E402
from realtime_core.pipeline.loading import boxes, pipeline_class  # noqa: E402
from realtime_core.pipeline.metrics import PipelineMetrics  # noqa: E402
from realtime_core.pipeline.orphan import end_with_supervisor  # noqa: E402
from realtime_core.pipeline.pairs import pairs  # noqa: E402
from realtime_core.pipeline.runner import Runner  # noqa: E402
from realtime_core.pipeline.supervisor import GRACE_S, REDIS_VARIABLE, pulse_through  # noqa: E402
from realtime_core.publish import Canary, Fleet  # noqa: E402
from realtime_core.publish.fleet import HOLD_S  # noqa: E402
from realtime_core.queue import Queue, Renewal  # noqa: E402
from realtime_core.redis_url import check_one_node, connect  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

REDIS_TIMEOUT_S = 5.0
REDIS_CONNECT_S = 2.0
REQUIRED_TIMEOUT_S = 2.0
BEST_EFFORT_TIMEOUT_S = 0.5
CANARY_CONNECT_S = 1.0
CLOSE_S = 0.5
PULSE_S = 0.5
INTERRUPTED = 130


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run a worker; the exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    try:
        check_one_node(arguments.redis, queue=arguments.queue, ledger=arguments.ledger_name, called="--ledger-name")
        if arguments.pulse is not None:
            end_with_supervisor(arguments.pulse, arguments.drain + GRACE_S)
        with (
            connect(
                arguments.redis, answer_s=REDIS_TIMEOUT_S, connect_s=REDIS_CONNECT_S, name=arguments.queue
            ) as redis,
            _worker(arguments, redis, registry) as runner,
            _metrics(arguments.metrics, registry),
            _pulse(arguments.pulse, runner),
        ):
            for number in (signal.SIGTERM, signal.SIGINT):
                gevent.signal_handler(number, _told_to_end, runner)
            prepare()  # now, and not while the first batches wait for it
            gc.freeze()  # what is there stays: no collection in the middle of the work looks through it again
            print(f"working on queue {arguments.queue}", flush=True)
            runner.run()
    except RealtimeError as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _told_to_end(runner: Runner) -> None:
    if runner.draining:  # the second time: at once, what is in hand comes back when its leases end
        os._exit(INTERRUPTED)
    runner.drain()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m realtime_core.pipeline", description=__doc__, allow_abbrev=False)
    parser.add_argument("pipeline", metavar="MODULE:CLASS", help="realtime_core.pipeline:JSONAnonHTTPPipeline or yours")
    redis = os.environ.get(REDIS_VARIABLE)  # where nobody reads a password in a list of processes
    parser.add_argument(
        "--redis", required=not redis, default=redis, metavar="URL", help="Redis or Valkey that holds queue and ledger"
    )
    parser.add_argument("--queue", required=True, metavar="NAME", help="the queue's name")
    parser.add_argument("--box", action="append", default=[], metavar="NAME=URL", help="a job waits for this box")
    parser.add_argument("--best-effort", action="append", default=[], metavar="NAME=URL", help="nobody waits for this")
    parser.add_argument("--ledger-name", metavar="NAME", help="without it nothing is accounted for")
    parser.add_argument("--ledger-keep", type=float, default=86_400.0, metavar="S", help="how long accounts are kept")
    parser.add_argument("--owner", metavar="NAME", help="what the ledger calls this life of this process")
    parser.add_argument("--metrics", type=int, metavar="PORT", help="serve Prometheus on loopback; 0 takes a free port")
    parser.add_argument("--batch", type=int, default=256, metavar="N", help="most jobs of one claim (%(default)s)")
    parser.add_argument("--lease", type=float, default=30.0, metavar="S", help="how long a claim lasts (%(default)s)")
    parser.add_argument(
        "--progress-timeout", type=float, metavar="S", help="a batch without progress for so long is taken back (never)"
    )
    parser.add_argument("--hands", type=int, default=8, metavar="N", help="most batches at a time (%(default)s)")
    parser.add_argument("--attempts", type=int, default=5, metavar="N", help="claims a job may have (%(default)s)")
    parser.add_argument(
        "--backoff", type=float, default=1.0, metavar="S", help="first wait after a failure (%(default)s)"
    )
    parser.add_argument("--ack", choices=LEVELS, default="published", help="when a job leaves the queue (%(default)s)")
    parser.add_argument(
        "--canary", metavar="URL", help="where subscribers listen, as http://HOST/ev/; for --ack delivered"
    )
    parser.add_argument("--canary-wait", type=float, default=2.0, metavar="S", help="for an event there (%(default)s)")
    parser.add_argument(
        "--beside", metavar="MODULE:CLASS", help="compare every job with what this pipeline makes of it"
    )
    parser.add_argument("--beside-set", action="append", default=[], metavar="KEY=VALUE", help="a setting of that one")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where the comparison's JSON goes")
    parser.add_argument("--pulse", type=int, metavar="FD", help=argparse.SUPPRESS)
    parser.add_argument("--drain", type=float, default=3.0, metavar="S", help="to end what is in hand (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the pipeline")
    return parser


@contextmanager
def _worker(arguments: argparse.Namespace, redis: "Redis", registry: CollectorRegistry) -> "Iterator[Runner]":
    kind = pipeline_class(arguments.pipeline)
    settings = pairs("--set", arguments.set)
    progress_s = arguments.progress_timeout
    # The canary's connecting, and a box that is away, may take three of these: that is no hang.
    part_s = float("inf") if progress_s is None else progress_s / 4
    fleet_of = [
        *boxes(pairs("--box", arguments.box), required=True, timeout_s=min(REQUIRED_TIMEOUT_S, part_s)),
        *boxes(pairs("--best-effort", arguments.best_effort), required=False, timeout_s=BEST_EFFORT_TIMEOUT_S),
    ]
    queue = Queue(
        redis,
        arguments.queue,
        lease_s=arguments.lease,
        max_attempts=arguments.attempts,
        backoff_s=arguments.backoff,
    )
    ledger = None
    unique = f"{os.getpid()}-{secrets.token_hex(2)}"
    if arguments.ledger_name:
        owner = arguments.owner or f"pipeline:{arguments.queue}#{unique}"
        ledger = Ledger(redis, arguments.ledger_name, owner, keep_s=arguments.ledger_keep)
    # Events that wait for a box must not outlive the lease of their jobs.
    hold_s = min(HOLD_S, arguments.lease / 3, part_s)
    fleet = Fleet(fleet_of, hold_s=hold_s, registry=registry) if fleet_of else None
    canary = None
    if arguments.canary:
        # It may hold as many connections as most shells allow descriptors.
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        canary = Canary(
            arguments.canary, wait_s=min(arguments.canary_wait, part_s), connect_s=min(CANARY_CONNECT_S, part_s)
        )
    pipeline_class(arguments.beside or arguments.pipeline)  # refused here, not in the other process
    beside: Beside | None = None

    def close() -> None:
        if fleet is not None:
            fleet.close(CLOSE_S)
        if canary is not None:
            canary.close()
        if beside is not None:
            beside.close(CLOSE_S)

    try:
        if arguments.beside:
            beside = Beside(
                arguments.pipeline,
                arguments.beside,
                settings=arguments.beside_set,
                report=arguments.report,
                registry=registry,
            )
        with closing(Renewal(queue, progress_timeout_s=progress_s)) as renewal:
            yield Runner(
                lambda: kind(settings=settings, fleet=fleet and fleet.twin(), canary=canary),
                queue,
                ledger,
                worker=f"pipeline-{unique}",
                batch=arguments.batch,
                hands=arguments.hands,
                ack=arguments.ack,
                drain_s=arguments.drain,
                progress_timeout_s=progress_s,
                metrics=PipelineMetrics(registry),
                renewal=renewal,
                beside=beside,
                close=close,
            )
    finally:
        if beside is not None:
            beside.close(0.0)


@contextmanager
def _pulse(descriptor: int | None, runner: Runner) -> "Iterator[None]":
    """Give signs of life to the supervisor, from the loop that does the work; end when it has gone."""
    if descriptor is None:
        yield
        return
    with pulse_through(descriptor) as line:

        def beat() -> None:
            while True:
                try:
                    line.send(b".")
                except BlockingIOError:
                    pass  # it does not read: it will
                except OSError:
                    runner.drain()
                    return
                gevent.sleep(PULSE_S)

        beating = gevent.spawn(beat)
        try:
            yield
        finally:
            beating.kill()


@contextmanager
def _metrics(port: int | None, registry: CollectorRegistry) -> "Iterator[None]":
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise ConfigurationError(f"--metrics {port}: {error.strerror}: choose a free port, or 0 for any") from error
    print(f"metrics on 127.0.0.1:{server.server_port}", flush=True)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(1.0)


if __name__ == "__main__":
    sys.exit(main())
