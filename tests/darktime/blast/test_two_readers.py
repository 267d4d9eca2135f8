"""The exact reader reads a sample of the streams along: a fast reader that goes wrong ends the whole run, as it is run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.quiet

ROOT = Path(__file__).parents[3]
# Run before the run itself, in its process: a fast reader that overlooks now and then what it was given to read.
OVERLOOKS = """
from darktime.blast.event_text import EventText

feed, seen = EventText.feed, [0]

def overlooking(self, raw):
    whole = feed(self, raw)
    seen[0] += bool(whole)
    return b"" if whole and seen[0] % 7 == 0 else whole

EventText.feed = overlooking
"""
# One that finds an event twice: nothing is lost by it.
DOUBLES = """
from darktime.blast.marks import Marks

read, seen = Marks.read, [0]

def doubling(self, text, comments):
    seen[0] += bool(text)
    return read(self, text + text if seen[0] % 7 == 0 else text, comments)

Marks.read = doubling
"""
MISCOUNTS = """
from darktime.blast.token_reader import TokenReader

count = TokenReader._count
TokenReader._count = lambda self, text: 2 * count(self, text)
"""


def run(fault, address, *words):
    code = f"{fault}\nfrom darktime.blast.__main__ import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--instance", address, *words],
        capture_output=True,
        text=True,
        timeout=28,
        check=False,
        cwd=ROOT,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


PUSH = ("--rate", "50", "--duration", "2", "--streams", "20", "--channels", "4", "--slo", "p99<9s,errors<99%,lost<99%")


@pytest.mark.parametrize(
    "fault", [pytest.param(OVERLOOKS, marks=pytest.mark.long, id="overlooks"), pytest.param(DOUBLES, id="doubles")]
)
def test_a_fast_reader_of_subscribers_that_goes_wrong_fails_the_run(instance, fault):
    code, result = run(fault, instance("sse").address, *PUSH)
    assert code == 4, result["sentence"]
    assert "its two readers differ on " in result["sentence"]
    assert result["capacity"]["highest_pass_per_s"] is None


def test_a_fast_reader_of_streams_that_end_that_goes_wrong_fails_the_run(instance):
    server = instance("token-stream", events=10, first_ms=20, between_ms=10)
    words = ("--scenario", "token_stream", "--number", "rate=20", "--number", "duration=2")
    code, result = run(MISCOUNTS, server.address, *words, "--slo", "p99<9s,errors<99%")
    assert code == 4, result["sentence"]
    assert "its two readers differ on " in result["sentence"]


def test_readers_that_agree_fail_nothing(instance):
    code, result = run("", instance("sse").address, *PUSH)
    assert code == 0, result["sentence"]
