"""No option is ignored in silence: it is honoured beside the others, or refused with both names and the remedy."""

from dataclasses import replace

import pytest

from darktime.blast.combinations import EXCLUSIVE, KINDS, NUMBERS, numbers_of, refuse_ignored, refuse_of_another_kind
from darktime.blast.settings import BlastSettings, admitted
from darktime.errors import ExitCode, UsageError
from tests.darktime.blast.runs import blast

HERE = BlastSettings(instance="127.0.0.1:9")
WORDS = {
    "rate": ("--rate", "20"),
    "duration": ("--duration", "5"),
    "streams": ("--streams", "200"),
    "channels": ("--channels", "20"),
    "connections": ("--connections", "100"),
    "seed": ("--seed", "0"),
    "max_rate": ("--max-rate", "100"),
    "path": ("--path", "/"),
    "channel": ("--channel", "news"),
    "scenario": ("--scenario", "steady"),
    "header": ("--header", "A:1"),
}


def words(name):
    return WORDS.get(name, (f"--{name}",))


@pytest.mark.parametrize("one", EXCLUSIVE, ids=lambda one: f"{one.first}-{one.second}")
def test_of_two_options_that_exclude_each_other_both_are_named_with_the_remedy(one):
    with pytest.raises(UsageError) as refused:
        refuse_ignored({one.first, one.second})
    assert f"--{one.first} with --{one.second.replace('_', '-')}: " in str(refused.value)
    assert "leave one of the two out" in str(refused.value)
    assert refused.value.exit_code == ExitCode.USAGE
    refuse_ignored({one.first})
    refuse_ignored({one.second})


@pytest.mark.parametrize(
    "pair",
    [
        ("scenario", "search"),
        ("rate", "search"),
        ("rate", "beyond"),
        ("rate", "closed"),
        ("scenario", "header"),
        ("scenario", "follow"),
        ("scenario", "fresh"),
        ("scenario", "closed"),
        ("path", "streams"),
        ("closed", "max_rate"),
    ],
    ids="-".join,
)
def test_the_run_refuses_them_before_it_connects(pair):
    first, second = pair
    run = blast("127.0.0.1:9", *words(first), *words(second))
    assert run.code == ExitCode.USAGE
    assert f"--{first} with --{second.replace('_', '-')}: " in run.said
    assert run.result is None


def test_a_number_without_a_scenario_is_refused():
    with pytest.raises(UsageError, match="--number without --scenario"):
        admitted(replace(HERE, numbers={"rate": "5"}))


def test_a_default_that_is_written_out_is_named_too(instance):
    server = instance("null")
    for name in ("streams", "channels", "channel"):
        run = blast(server.address, "--rate", "10", "--duration", "1", *words(name))
        assert run.code == ExitCode.USAGE
        assert f"--{name} with {server.address}: it is about push endpoints, and this is plain HTTP" in run.said
    assert server.counters()["requests"] < 10, "what it was asked to see what it is, and no load"


@pytest.mark.parametrize("name", ["connections", "fresh", "follow", "header"])
def test_what_is_about_plain_http_is_refused_at_a_push_endpoint(name):
    refuse_of_another_kind({name}, "127.0.0.1:9", push=False)
    with pytest.raises(UsageError, match=f"--{name} with 127.0.0.1:9: it is about plain HTTP, and this is a push"):
        refuse_of_another_kind({name}, "127.0.0.1:9", push=True)


def test_of_a_scenario_a_rate_and_a_duration_are_its_own_numbers(instance):
    server = instance("null")
    run = blast(server.address, "--scenario", "steady", "--rate", "20", "--duration", "1", "--slo", "p99<5s")
    assert run.code == 0, run.said
    assert server.counters()["requests"] == 20 == run.found["totals"]["requests"]


def test_options_become_the_numbers_of_their_names():
    asked = replace(HERE, scenario="comment_burst", rate_per_s=3.0, seed=0, streams=40, named=frozenset({"streams"}))
    run = admitted(asked)[0]
    assert run.numbers == {"rate": "3", "seed": "0", "streams": "40"}
    assert (run.rate_per_s, run.seed) == (None, None)
    assert admitted(run)[0] == run, "asked twice it is the same run"


def test_of_a_scenario_without_such_a_number_an_option_is_refused_with_those_that_it_has():
    with pytest.raises(UsageError) as refused:
        admitted(replace(HERE, scenario="pope", rate_per_s=20.0))
    assert "--rate with --scenario pope: it has no number 'rate'" in str(refused.value)
    assert "scale, speed" in str(refused.value)
    assert "leave --rate out" in str(refused.value)


def test_a_number_is_said_once():
    with pytest.raises(UsageError, match="--rate with --number rate=5: both are one number; say it once"):
        numbers_of("steady", {"rate": "5"}, {"rate": 20.0}, {"rate"})


def test_every_option_that_says_what_kind_of_run_it_is_excludes_another():
    assert {name for one in EXCLUSIVE for name in one[:2]} >= KINDS
    assert not {name for one in EXCLUSIVE if one.first == "scenario" for name in one[:2]} & set(NUMBERS)
