"""How a running split is shown: what is mirrored first, what went wrong in words, nothing wider than the terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from darktime.report.summaries.status import tell
from tests.support.schemas import require_schema

SIDE = {"p50_ms": 2.0, "p95_ms": 12.0, "p99_ms": 40.0, "pairs": 1999}


def status(**given):
    told = {
        "schema_version": 1, "kind": "status", "experiment": "new-feed", "percent": 5.0, "max_percent": 25.0,
        "killed": False, "leased": True, "hosts": ["one:17"], "relay_alive": True,
        "traffic": {"requests": 123_456, "keyed_share": 0.62, "copied": 4000, "control": 8000}, "users": 512,
        "copies": {
            "offered": 4321, "received": 4320, "compared": 4200, "reasons": {"dark_timeout": 118, "upgrade": 1},
            "waiting": 1, "in_flight": 1,
        },
        "streams": 0, "breaker": None, "latency": {"production": SIDE, "dark": {**SIDE, "p95_ms": 80.0}},
        "verdict": {"outcome": "WAIT", "reasons": ["too few"], "needs": "about 900 more pairs of /thread/{id}"},
    }  # fmt: skip
    return {**told, **given}


HOP = {
    "hop": "mirror>relay", "sent": 4321, "received": 4320, "explained": 1, "missing": 0, "extra": 0, "undecoded": 0,
    "residual": 0, "balanced": True,
}  # fmt: skip
MIRROR = "LEDGER     mirror>relay · 4,321 sent · 4,320 received · 1 explained · "
RELAY = {"received": 1, "compared": 1, "waiting": 0, "streams": 0}


def test_a_split_that_stands_well_is_told_in_a_dozen_lines():
    told = status()
    require_schema(told)
    assert tell(told) == [
        "SPLIT      new-feed · mirrors 5 % of users, at most 25 %",
        "TRAFFIC    about 123,456 requests · 62% carry the key · 512 users sampled",
        "COPIES     4,321 offered · 4,320 received · 4,200 compared · 2 on their way",
        "                118 dark_timeout",
        "                  1 upgrade",
        "LATENCY    production p50 2.00 ms   p95 12.0 ms   p99 40.0 ms   of the last 1,999 pairs",
        "           dark       p50 2.00 ms   p95 80.0 ms   p99 40.0 ms   of the last 1,999 pairs",
        "SO FAR     WAIT: about 900 more pairs of /thread/{id}",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"killed": True}, "KILLED: nothing is mirrored until"),
        ({"leased": False}, "NO LEASE: nothing is mirrored"),
        ({"hosts": None}, "the Redis of the experiment does not answer"),
        ({"hosts": ["one:1", "two:2"]}, "HOSTS      one:1, two:2"),
        ({"traffic": None}, "none was seen yet"),
        ({"relay_alive": False}, "it may be dead"),
        (
            {"relay_alive": False, "relays": [RELAY | {"name": f"relay-{one}", "alive": one == 1} for one in (1, 2)]},
            "relay-2 of 2: dead, or silent",
        ),
        ({"breaker": "dark_refused"}, "BREAKER    open: dark_refused"),
        ({"streams": 77}, "77 held"),
        ({"users_at_least": True}, "at least 512 users sampled"),
        ({"verdict": None}, "nothing was compared yet"),
        (
            {"ledger": {"settled_s": 15, "held": 0, "hops": [HOP, {**HOP, "hop": "relay>compared"}]}},
            MIRROR + "balanced",
        ),
        (
            {"ledger": {"settled_s": 15, "held": 0, "hops": [{**HOP, "missing": 3, "extra": 1, "residual": 4}]}},
            MIRROR + "3 missing, 1 extra",
        ),
        (
            {"ledger": {"settled_s": 15, "held": 7, "hops": [{**HOP, "missing": 7, "residual": 7}]}},
            "7 streams or long replies are held",
        ),
        (
            {"ledger": {"settled_s": 15, "held": 0, "hops": [{**HOP, "balanced": False}]}},
            MIRROR + "a reason is unknown",
        ),
        ({"ledger": None}, "COPIES"),
        (
            {"pairs_file": {"written_bytes": 61_000_000, "limit_bytes": 600_000_000, "lasts_s": 3_300}},
            "PAIRS      61.0 MB of 600.0 MB · lasts 55m00s more at this rate, then the run ends",
        ),
        ({"pairs_file": {"written_bytes": 0, "limit_bytes": 600_000_000, "lasts_s": None}}, "0 B of 600.0 MB"),
        ({"verdict": {"outcome": "NO-GO", "reasons": ["/a: 9 errors"], "needs": None}}, "NO-GO: /a: 9 errors"),
    ],
)
def test_what_is_not_as_it_should_be_is_said(given, said):
    require_schema(status(**given))
    assert any(said in line for line in tell(status(**given)))


@given(st.text(max_size=200), st.integers(20, 120))
def test_whatever_others_wrote_it_stays_within_the_terminal_and_commands_it_nothing(text, width):
    verdict = {"outcome": "NO-GO", "reasons": [text], "needs": None}
    lines = tell(status(experiment=text, hosts=[text, text], verdict=verdict, breaker=text), width)
    assert all(cell_len(line) <= width for line in lines)
    assert all(char.isprintable() for line in lines for char in line)
