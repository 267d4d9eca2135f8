"""``darktime pipeline``: a check shows what each stage makes of samples, and what cannot run is refused before it runs."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from darktime.console.main import DARKTIME, run
from darktime.errors import ExitCode
from tests.support.schemas import require_schema

ROOT = Path(__file__).parents[3]
ODD = "tests.realtime_core.pipeline.odd"


def body(**changes):
    fields = {"v": 1, "job": "j", "channels": ["thread:1"], "kind": "post_save", "model": "m", "key": 1, "at": 1.5}
    return json.dumps(fields | {"data": {"text": "hi\u202e", "email": "a@b"}} | changes)


@pytest.fixture
def samples(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "samples"
    file.write_text("\n".join([body(), body(kind="post_delete"), ""]))
    return file


def test_a_check_shows_each_stage_of_each_sample_and_publishes_nothing(samples, capsys):
    words = [
        "JSONParser+Filter+Anonymize+HTTPPublisher",
        "--set",
        "only=kind:post_save",
        "--set",
        "anonymize=data.email:drop",
    ]
    assert run(DARKTIME, ["pipeline", "check", *words, "--jobs", str(samples)]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "composed of Composed → JSONParser → Filter → Anonymize → HTTPPublisher" in said
    assert "line 1: published" in said
    assert "line 2: filtered" in said
    assert '"data":{"text":"hi\\u202e"}' in said, "without what is private, and nothing that turns a line round"
    assert "\u202e" not in said
    assert "1 published, 1 filtered" in said


def test_a_check_as_json_fits_its_schema_and_ends_with_3_where_a_sample_fails(samples, capsys):
    with samples.open("a") as file:
        file.write('{"v":2}\n' + body(job="j4"))
    assert run(DARKTIME, ["pipeline", "check", f"{ODD}:Renamed", "--jobs", str(samples), "--json"]) == ExitCode.FAILED
    found = json.loads(capsys.readouterr().out)
    require_schema(found)
    assert found["fates"] == {"published": 0, "filtered": 0, "unparsable": 1, "error": 3}
    assert "KeyError: 'price'" in found["jobs"][0]["why"]
    assert "new code breaks here" in found["jobs"][3]["why"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([f"{ODD}:Deadly", "--jobs", "samples"], ExitCode.FAILED, "ended the process with 9"),
        ([f"{ODD}:Endless", "--jobs", "samples", "--within", "1.5"], ExitCode.FAILED, "did not end within 1.5 s"),
        (["no.such:Class"], ExitCode.USAGE, "no.such"),
        (["JSONParser", "--set", "typo=1"], ExitCode.USAGE, "typo"),
        (["JSONParser", "--jobs", "absent"], ExitCode.USAGE, "absent"),
    ],
    ids=["dies", "hangs", "module", "setting", "file"],
)
def test_a_check_of_what_cannot_work_says_so_by_its_exit_code(samples, capfd, words, code, told):
    assert run(DARKTIME, ["pipeline", "check", *words]) == code
    assert told in capfd.readouterr().err


def test_a_check_without_samples_imports_and_composes(samples, capsys):
    assert run(DARKTIME, ["pipeline", "check"]) == ExitCode.OK
    assert "JSONParser → Anonymize → HTTPPublisher" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ack", "delivered"], "--canary"),
        (["--report", "r.json"], "--beside"),
        (["--beside", "JSONParser", "--report", "no/such/r.json"], "no such folder"),
        (["--metrics", "65535", "--workers", "2"], "65,535"),
        (["--box", "push"], "NAME=VALUE"),
        (["--workers", "0"], "--workers"),
    ],
    ids=range(6),
)
def test_a_run_that_cannot_be_is_refused_before_a_worker_starts(samples, capsys, words, told):
    asked = ["pipeline", "run", "JSONParser", "--redis", "redis://127.0.0.1:1/0", "--queue", "q", *words]
    assert run(DARKTIME, asked) == ExitCode.USAGE
    assert told in capsys.readouterr().err


def test_what_a_worker_refuses_ends_the_run_with_2_and_is_not_tried_again(samples, capfd):
    asked = ["pipeline", "run", "JSONParser+HTTPPublisher", "--redis", "redis://127.0.0.1:1/0", "--queue", "q"]
    assert run(DARKTIME, asked) == ExitCode.USAGE
    assert capfd.readouterr().err.count("has nowhere to publish to") == 1


def test_every_option_of_a_pipeline_can_stand_in_the_settings_file():
    from darktime.console.configuration import FLAG, KEYS, TEXTS
    from darktime.console.pipeline import command

    options = {one.name: one for one in command.commands["run"].params}
    assert options.keys() | {"mixins"} == KEYS["pipeline"].keys()
    for name, kind in KEYS["pipeline"].items():
        if name != "mixins":
            assert isinstance(options[name], click.Argument) or options[name].multiple == (kind == TEXTS), name
            assert kind != FLAG


def test_a_flag_comes_before_the_environment_and_that_before_the_settings_file(samples, capsys, monkeypatch):
    Path("darktime.toml").write_text(
        '[pipeline]\nmixins = ["JSONParser", "Anonymize"]\nsetting = ["anonymize=data.email:drop"]\n'
    )

    def event(*words):
        code = run(DARKTIME, ["pipeline", "check", *words, "--jobs", str(samples), "--limit", "1", "--json"])
        assert code == ExitCode.OK
        found = json.loads(capsys.readouterr().out)
        return found["pipeline"], "email" in found["jobs"][0]["events"][0]

    assert event() == ("JSONParser+Anonymize", False)
    monkeypatch.setenv("DARKTIME_PIPELINE_CHECK_SETTING", "anonymize=data.text:drop")
    assert event() == ("JSONParser+Anonymize", True)
    monkeypatch.setenv("DARKTIME_PIPELINE_CHECK_PIPELINE", "JSONParser+Filter+Anonymize")
    assert event("--set", "anonymize=data.email:drop") == ("JSONParser+Filter+Anonymize", False)
    Path("darktime.toml").write_text('[pipeline]\nmixins = ["JSONParser"]\npipeline = "JSONParser"\n')
    assert run(DARKTIME, ["pipeline", "check"]) == ExitCode.USAGE


def test_help_and_the_supervisor_import_no_gevent_and_a_worker_patches_before_it_imports():
    script = (
        "import sys; from darktime.console.main import DARKTIME, run; run(DARKTIME, ['pipeline', 'run', '--help'])\n"
    )
    script += "import realtime_core.pipeline.supervisor, realtime_core.pipeline.reports, realtime_core.pipeline.pairs\n"
    script += "print('gevent' in sys.modules, 'redis' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    assert done.stderr.strip() == "False False"
    assert "--beside" in done.stdout
    for module in ("realtime_core.pipeline", "realtime_core.pipeline.shadow", "realtime_core.pipeline.checking"):
        argv = [sys.executable, "-W", "error", "-m", module, "--help"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr
