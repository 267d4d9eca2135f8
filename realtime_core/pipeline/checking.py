"""``python -m realtime_core.pipeline.checking``: sample jobs through a pipeline's stages without publishing; one JSON on stdout.

A process of its own, so that a mixin's look-ups meet the sockets they will meet in a worker, and so that one which hangs or
ends the process does so to nobody else.
"""

# First of all: what a pipeline imports must find sockets, locks and clocks that gevent knows.
from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402 - see above
import os  # noqa: E402
import sys  # noqa: E402
from collections import Counter  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

import orjson  # noqa: E402

from realtime_core.errors import RealtimeError  # noqa: E402
from realtime_core.pipeline.dry import PUBLISHED, claim_of, dry, through, told  # noqa: E402
from realtime_core.pipeline.loading import pipeline_class  # noqa: E402
from realtime_core.pipeline.pairs import pairs  # noqa: E402
from realtime_core.pipeline.pipeline import Pipeline  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TEXT = 500
FATES = (PUBLISHED, "filtered", "unparsable", "error")


def main(argv: "Sequence[str] | None" = None) -> int:
    """Read jobs, a body a line, from stdin; the exit code: 0, or 2 for a pipeline that cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m realtime_core.pipeline.checking", description=__doc__)
    parser.add_argument("pipeline", metavar="MODULE:CLASS")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--limit", type=int, default=100, metavar="N")
    arguments = parser.parse_args(argv)
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a mixin prints is no answer
    try:
        kind = pipeline_class(arguments.pipeline)
        pipeline = dry(kind, pairs("--set", arguments.set))
    except RealtimeError as error:
        answer.write(orjson.dumps({"refused": str(error)}))
        return error.exit_code
    bodies = [line.strip() for line in sys.stdin.buffer if line.strip()]
    jobs = [checked(pipeline, number, body) for number, body in enumerate(bodies[: arguments.limit], 1)]
    fates = Counter(job["fate"] for job in jobs)
    found = {
        "mixins": [base.__name__ for base in kind.__mro__ if issubclass(base, Pipeline) and base is not Pipeline],
        "left_out": max(0, len(bodies) - arguments.limit),
        "fates": {fate: fates[fate] for fate in FATES},
        "jobs": jobs,
    }
    answer.write(orjson.dumps(found))
    answer.flush()
    return 0


def checked(pipeline: Pipeline, number: int, body: bytes) -> "dict[str, Any]":
    """What each stage made of a job; the events are those that would be published, with made-up ids."""
    fate, message, why = through(pipeline, claim_of(f"sample-{number}", body))
    found: dict[str, Any] = {
        "line": number,
        "fate": fate,
        "why": why[:MAX_TEXT],
        "parsed": None,
        "ack": None,
        "events": [],
    }
    if fate == "unparsable":
        return found
    try:
        found["parsed"] = told(pipeline.parse(claim_of(f"sample-{number}", body)))
        if fate == PUBLISHED and message is not None:
            found["ack"] = pipeline.ack(message) or PUBLISHED
            events = message.events([f"sample-{number}"] * len(message.channels))
            found["events"] = [event.line.decode() for event in events]
        orjson.dumps(found)
    except Exception as error:  # noqa: BLE001 - mixins are other people's
        return found | {
            "fate": "error",
            "why": f"{type(error).__name__}: {error}"[:MAX_TEXT],
            "parsed": None,
            "events": [],
        }
    return found


if __name__ == "__main__":
    sys.exit(main())
