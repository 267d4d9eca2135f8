"""Every option of blast, from darktime.toml, the environment and the command line, in this order of precedence."""

import os
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import click
import pytest

from darktime.blast.combinations import PARTS
from darktime.console import blast
from darktime.console.configuration import FLAG, KEYS, TEMPLATE, read
from darktime.console.main import DARKESTTIME, DARKTIME, run

# These belong to one call, and would be wrong in the next.
NOT_IN_THE_FILE = {"out", "as_json", "master", "worker"}
# What a worker's own process is told; test_hosts has it.
OF_A_WORKER = {"master_host", "master_port"}
INSTANCE = ["--instance", "127.0.0.1:9"]
# Key: what stands in the file, in the environment, on the command line, and what of each the run is told.
WORDS = {
    "instance": ("'127.0.0.1:1'", "127.0.0.1:2", "127.0.0.1:3"),
    "max_rate": ("10.0", "20.0", "30.0"),
    "slo": ("'p99<1ms'", "p99<2ms", "p99<3ms"),
    "rate": ("10.0", "20.0", "30.0"),
    "duration": ("10.0", "20.0", "30.0"),
    "processes": ("1", "2", "3"),
    "connections": ("1", "2", "3"),
    "source": ("['127.0.0.2']", "127.0.0.3", "127.0.0.4"),
    "connects_per_s": ("1.0", "2.0", "3.0"),
    "timeout": ("1.0", "2.0", "3.0"),
    "path": ("'/1'", "/2", "/3"),
    "streams": ("1", "2", "3"),
    "channels": ("1", "2", "3"),
    "channel": ("'a'", "b", "c"),
    "scenario": ("'steady'", "pope", "replay"),
    "seed": ("1", "2", "3"),
    "metrics": ("'/1'", "/2", "/3"),
    "inconclusive": ("'pass'", "fail", "pass"),
    "allow": ("['a']", "b", "c"),
    "header": ("['A:1']", "B:2", "C:3"),
    "cacert": ("'a.pem'", "b.pem", "c.pem"),
    "expect_workers": ("1", "2", "3"),
    "expect_workers_max_wait": ("1.0", "2.0", "3.0"),
    "master_bind_host": ("'a'", "b", "c"),
    "master_bind_port": ("1", "2", "3"),
    "web_host": ("'a'", "b", "c"),
    "web_port": ("1", "2", "3"),
    "autoquit": ("1.0", "2.0", "3.0"),
    "number": ("['a=1']", "b=2", "c=3"),
}
SWITCHES = ("search", "beyond", "closed", "fresh", "follow", "canary", "insecure", "web")


@pytest.fixture
def told(tmp_path, monkeypatch):
    """``told(FILE, ENVIRONMENT, WORDS)``: what the run's process is started with."""
    argvs = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(blast, "run_blast", lambda argv: argvs.append(argv) or 0)

    def start(file="", environment=None, words=()):
        (tmp_path / "darktime.toml").write_text(file)
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        assert run(DARKESTTIME, ["blast", *words]) == 0
        return argvs[-1]

    return start


def values(argv, flag):
    return [after for word, after in pairwise(argv) if word == flag]


@pytest.mark.parametrize("key", WORDS)
def test_a_flag_comes_before_the_environment_and_that_before_the_file(told, key):
    flag, variable = f"--{key.replace('_', '-')}", f"DARKTIME_BLAST_{key.upper()}"
    written, set_, given = WORDS[key]
    fixed = [] if key == "instance" else [*INSTANCE, *(f"--{part}" for part in PARTS.get(key, ())[:1])]
    file = f"[blast]\n{key} = {written}\n"
    plain = tomllib.loads(f"v = {written}")["v"]
    assert values(told(file, words=fixed), flag) == [
        str(one) for one in (plain if isinstance(plain, list) else [plain])
    ]
    assert values(told(file, {variable: set_}, fixed), flag) == [set_]
    assert values(told(file, {variable: set_}, [*fixed, flag, given]), flag) == [given]
    if key not in ("instance", "duration"):
        assert not values(told(words=fixed, environment={variable: ""}), flag)


@pytest.mark.parametrize("key", SWITCHES)
def test_a_switch_of_the_file_is_on_and_the_environment_may_put_it_off(told, key):
    assert f"--{key}" not in told(words=INSTANCE)
    assert f"--{key}" in told(f"[blast]\n{key} = true\n", words=INSTANCE)
    assert f"--{key}" not in told(f"[blast]\n{key} = true\n", {f"DARKTIME_BLAST_{key.upper()}": "0"}, INSTANCE)


def test_a_canary_may_be_put_off_in_the_file(told):
    assert "--no-canary" in told("[blast]\ncanary = false\n", words=INSTANCE)
    assert "--canary" in told("[blast]\ncanary = false\n", words=[*INSTANCE, "--canary"])


def test_a_bare_run_takes_a_minute_and_a_search_without_the_hurry_six(told):
    assert values(told(words=INSTANCE), "--duration") == ["60.0"]
    assert values(told(words=[*INSTANCE, "--search"]), "--duration") == ["360.0"]
    for words in (["--rate", "5"], ["--closed"], ["--users", "5"], ["--scenario", "steady"]):
        assert not values(told(words=[*INSTANCE, *words]), "--duration"), "these have a time of their own"


def test_a_budget_is_the_time_of_a_search_alone(told):
    assert values(told("[blast]\nbudget = 25.0\n", words=INSTANCE), "--duration") == ["25.0"]
    assert values(told("[blast]\nbudget = 25.0\n", words=[*INSTANCE, "--budget", "9"]), "--duration") == ["9.0"]
    assert not values(told("[blast]\nbudget = 25.0\n", words=[*INSTANCE, "--rate", "5"]), "--duration")


def test_a_search_that_is_asked_for_here_is_not_held_to_a_rate_of_the_file(told):
    argv = told("[blast]\nrate = 500.0\n", words=[*INSTANCE, "--search"])
    assert "--search" in argv
    assert not values(argv, "--rate")
    assert values(told("[blast]\nsearch = true\nscenario = 'pope'\n", words=[*INSTANCE, "--rate", "5"]), "--rate") == [
        "5.0"
    ]
    assert "--search" not in told("[blast]\nsearch = true\n", words=[*INSTANCE, "--rate", "5"])


def test_users_are_the_closed_model_on_a_connection_each_and_the_nearest_wish_wins(told):
    argv = told("[blast]\nrate = 500.0\nconnections = 7\n", words=[*INSTANCE, "--users", "50"])
    assert "--closed" in argv
    assert values(argv, "--connections") == ["50"]
    assert not values(argv, "--rate") + values(argv, "--users")
    assert values(told("[blast]\nusers = 3\n", words=INSTANCE), "--connections") == ["3"]
    assert "--closed" not in told("[blast]\nusers = 3\n", words=[*INSTANCE, "--rate", "5"])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--users", "50", "--rate", "5"], "--users 50 with --rate: users ask when they are answered"),
        (["--users", "50", "--search"], "--users 50 with --search"),
        (["--users", "50", "--connections", "9"], "--users 50 with --connections"),
        (["--users", "50", "--scenario", "steady"], "--users 50 with --scenario"),
        (["--users", "50", "--seed", "7"], "--users 50 with --seed: nothing is planned"),
        (["--users", "50", "--budget", "9"], "--users 50 with --budget"),
        (["--users", "0"], "--users 0: at least 1"),
    ],
)
def test_users_beside_what_they_exclude_are_refused(tmp_path, monkeypatch, capsys, words, named):
    monkeypatch.chdir(tmp_path)
    assert run(DARKESTTIME, ["blast", *INSTANCE, *words]) == 2
    assert named in capsys.readouterr().err


def test_a_rate_of_the_file_stays_beside_a_scenario_that_is_named_here(told):
    argv = told("[blast]\nrate = 20.0\n", words=[*INSTANCE, "--scenario", "steady"])
    assert (values(argv, "--rate"), values(argv, "--scenario")) == (["20.0"], ["steady"])


def test_what_gives_way_of_the_file_is_said(told, capsys):
    told("[blast]\nrate = 20.0\nbeyond = true\n", words=[*INSTANCE, "--closed"])
    assert "of darktime.toml is put aside, for what this call says: beyond, rate" in capsys.readouterr().err


def test_a_word_about_how_does_not_put_aside_what_the_file_says_is_done(told):
    argv = told("[blast]\nscenario = 'steady'\n", words=[*INSTANCE, "--header", "A:1"])
    assert values(argv, "--scenario") == ["steady"], "the run itself refuses the two"


def test_the_limit_of_the_file_is_never_put_aside(told):
    assert values(told("[blast]\nmax_rate = 20.0\n", words=[*INSTANCE, "--closed"]), "--max-rate") == ["20.0"]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("", ["--budget", "9", "--rate", "5"]),
        ("", ["--budget", "9", "--duration", "5"]),
        ("[blast]\nbudget = 9.0\nrate = 5.0\n", []),
        ("[blast]\nbudget = 9.0\nscenario = 'steady'\n", []),
    ],
)
def test_a_budget_beside_what_has_none_is_refused(tmp_path, monkeypatch, capsys, file, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "darktime.toml").write_text(file)
    assert run(DARKESTTIME, ["blast", *INSTANCE, *words]) == 2
    said = capsys.readouterr().err
    assert "with --budget: " in said
    assert "leave one of the two out" in said


@pytest.mark.parametrize("second", ["search", "beyond", "closed"])
def test_two_of_the_file_that_exclude_each_other_are_refused(tmp_path, second):
    (tmp_path / "darktime.toml").write_text(f"[blast]\nrate = 20.0\n{second} = true\n")
    command = [Path(sys.executable).parent / "darkesttime", "blast", *INSTANCE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert f"--rate with --{second}: " in done.stderr


def test_a_worker_is_not_held_to_the_instance_in_the_file_of_who_runs_a_master_here(told, monkeypatch):
    joined = []
    monkeypatch.setattr(blast, "work", lambda asked: joined.append(asked) or 0)
    Path("darktime.toml").write_text("[blast]\ninstance = '127.0.0.1:1'\nmaster_host = '10.0.0.1'\n")
    assert run(DARKESTTIME, ["blast", "--worker"]) == 0
    assert joined[0]["master_host"] == "10.0.0.1"
    assert run(DARKESTTIME, ["blast", "--worker", *INSTANCE]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--web-port", "0"], "--web-port without --web: "),
        (["--autoquit", "5", "--master"], "--autoquit without --web: "),
        (["--expect-workers", "2"], "--expect-workers without --master: "),
        (["--master-bind-port", "0", "--web"], "--master-bind-port without --master: "),
        (["--master-port", "5557"], "--master-port without --worker: "),
        (["--expect-workers-max-wait", "5"], "--expect-workers-max-wait without --master or --worker: "),
        (["--worker", "--rate", "20"], "--rate comes from the master: "),
        (["--worker", "--web"], "--web comes from the master: "),
        (["--worker", "--json"], "--json comes from the master: "),
    ],
)
def test_an_option_of_a_part_that_is_not_played_here_is_refused(told, capsys, words, said):
    fixed = [] if "--worker" in words else INSTANCE
    assert run(DARKESTTIME, ["blast", *fixed, *words]) == 2
    assert said in capsys.readouterr().err
    # In the file it may stand: another call of this folder plays that part.
    assert "--web-port" in told("[blast]\nweb_port = 0\n", words=INSTANCE)


def test_every_option_of_blast_can_stand_in_the_file_and_every_key_is_an_option():
    command = DARKESTTIME.get_command(click.Context(DARKESTTIME), "blast")
    options = {option.name for option in command.params} - NOT_IN_THE_FILE
    assert options == set(KEYS["blast"])
    assert options == {*WORDS, *SWITCHES, *OF_A_WORKER, "budget", "junit", "users"}, "each has its case here"
    flags = {option.name for option in command.params if option.is_flag} - NOT_IN_THE_FILE
    assert flags == {key for key, kind in KEYS["blast"].items() if kind == FLAG}


@pytest.mark.parametrize("key", KEYS["blast"])
def test_a_key_that_is_nearly_one_is_an_error_that_names_it(tmp_path, key):
    path = tmp_path / "darktime.toml"
    path.write_text(f"[blast]\n{key}s_ = 1\n")
    with pytest.raises(click.UsageError) as refused:
        read(path)
    assert f"unknown key {key}s_ in [blast]; did you mean" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "takes"),
    [
        ("allow = 'staging'", "a list of texts"),
        ("allow = [1]", "a list of texts"),
        ("rate = 'fast'", "a number"),
        ("rate = true", "a number"),
        ("processes = 1.5", "a whole number"),
        ("search = 'yes'", "true or false"),
        ("search = 1", "true or false"),
        ("slo = 3", "text"),
        ("path = ['/']", "text"),
    ],
)
def test_a_value_of_another_kind_is_an_error_that_says_which_it_takes(tmp_path, monkeypatch, capsys, line, takes):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "darktime.toml").write_text(f"[blast]\n{line}\n")
    assert run(DARKESTTIME, ["blast", *INSTANCE]) == 2
    said = capsys.readouterr().err
    assert f"{line.partition(' ')[0]} in [blast]" in said
    assert f"it takes {takes}" in said


def test_what_init_writes_has_an_example_of_every_key_and_each_can_be_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(DARKTIME, ["init"]) == 0
    assert read(tmp_path / "darktime.toml")["blast"] == {"allow": []}
    (tmp_path / "darktime.toml").write_text(
        "\n".join(line.removeprefix("# ") if " = " in line else line for line in TEMPLATE.splitlines())
    )
    tables = read(tmp_path / "darktime.toml")
    assert set(tables["blast"]) == set(KEYS["blast"])
    assert set(tables["demo"]) == set(KEYS["demo"])


def test_the_file_allows_a_host_that_nothing_else_named(tmp_path):
    """In the real command: the refusal is of the rate now, and no connection was tried."""
    (tmp_path / "darktime.toml").write_text("[blast]\nallow = ['192.0.2.1']\nmax_rate = 10.0\n")
    command = [Path(sys.executable).parent / "darkesttime", "blast", "--instance", "192.0.2.1:80", "--rate", "50"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False, env=os.environ
    )
    assert done.returncode == 2
    assert "the limit is 10/s" in done.stderr
