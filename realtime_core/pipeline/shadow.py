"""``python -m realtime_core.pipeline.shadow``: the other of two pipelines. It answers jobs with differences, publishes nothing."""

# First of all: what a pipeline imports must find sockets, locks and clocks that gevent knows.
from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402 - see above
import ctypes  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

import orjson  # noqa: E402

from realtime_core.errors import RealtimeError  # noqa: E402
from realtime_core.pipeline.difference import Tally, differences  # noqa: E402
from realtime_core.pipeline.dry import PUBLISHED, claim_of, dry, through, told  # noqa: E402
from realtime_core.pipeline.loading import pipeline_class  # noqa: E402
from realtime_core.pipeline.pairs import pairs  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.pipeline.pipeline import Pipeline

PR_SET_PDEATHSIG = 1
NICE = 10  # where both want a core, the first pipeline gets it


def main(argv: "Sequence[str] | None" = None) -> int:
    """Answer every line until the input ends; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m realtime_core.pipeline.shadow", description=__doc__)
    parser.add_argument("pipeline", metavar="MODULE:CLASS")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args(argv)
    # Ctrl-C goes to the whole group: the worker ends this one, when it has what it waits for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    _die_with(os.getppid())
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a mixin prints is no answer
    try:
        pipeline = dry(pipeline_class(arguments.pipeline), pairs("--set", arguments.set))
    except RealtimeError as error:
        sys.stderr.write(f"beside: {error}\n")
        return error.exit_code
    for line in sys.stdin.buffer:
        tally = Tally()
        for job in orjson.loads(line):
            compare(pipeline, job, tally)
        answers.write(orjson.dumps(tally.as_json()) + b"\n")
        answers.flush()
    return 0


def _die_with(parent: int) -> None:
    """End with the worker though a stage here never comes back to see the end of its input."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def compare(pipeline: "Pipeline", job: "list[Any]", tally: Tally) -> None:
    """One job through this pipeline, beside what the first made of it."""
    id_, key, body, first_fate, first = job
    fate, message, why = through(pipeline, claim_of(id_, body.encode("latin-1"), key=key))
    if fate != first_fate:
        tally.job(id_, [("(fate)", first_fate, f"{fate}: {why}" if why else fate)])
    elif fate == PUBLISHED and message is not None:
        tally.job(id_, differences(first, orjson.loads(orjson.dumps(told(message)))))
    else:
        tally.job(id_, [])


if __name__ == "__main__":
    sys.exit(main())
