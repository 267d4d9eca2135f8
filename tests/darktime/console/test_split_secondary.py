"""``darktime split --secondary``: a wrong price is named at the end, noise is not, and nobody is asked who must not be."""

import http.client
import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from darktime.console import main
from darktime.errors import ExitCode
from darktime.report import text_summary
from realtime_core.free_ports import free_port
from tests.darktime.split.pages import Page, Pages
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

DARKTIME = Path(sys.executable).parent / "darktime"
TOML = """\
[split]
production = "http://{production}"
dark = "http://{dark}"
secondary = "http://{secondary}"
listen = "127.0.0.1:{port}"
key = "cookie:uid"
dark_state = "isolated"
max_percent = 100
compare = "length"
compare_share = 1.0
compare_per_s = 1000

[compare]
ignore = ["* build", "/nowhere at"]
unordered = ["/product/{{id}} tags[]"]
"""


def product(price, *, build, tags=("a", "b")):
    def make(path):
        body = {"path": path, "request_id": str(uuid.uuid4()), "price": price, "build": build, "tags": list(tags)}
        return Page(json.dumps(body).encode())

    return make


@pytest.fixture
def shops():
    made = [Pages(product(9.5, build=1)), Pages(product(9.4, build=2, tags=("b", "a"))), Pages(product(9.5, build=1))]
    yield made
    for one in made:
        one.stop()


@pytest.fixture
def folder(tmp_path, shops):
    production, dark, secondary = (one.address for one in shops)
    port = free_port()
    (tmp_path / "darktime.toml").write_text(
        TOML.format(production=production, dark=dark, secondary=secondary, port=port)
    )
    return tmp_path, port


def split(folder, *words):
    command = [DARKTIME, "split", "--percent", "100", "--out", "run", "--json", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def refused(folder, monkeypatch, capsys):
    """Why a split is refused; it never begins, so it needs no process."""
    monkeypatch.chdir(folder[0])

    def say(*words):
        assert main.run(main.DARKTIME, ["split", "--percent", "100", *words]) == ExitCode.USAGE
        return capsys.readouterr().err

    return say


def test_a_wrong_price_is_named_in_results_and_report_and_what_is_ignored_is_not(folder, shops):
    folder, port = folder
    with split(folder) as running:
        try:
            wait_until((folder / "run" / "split.json").exists, timeout_s=20)
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            for number in range(60):
                link.request("GET", f"/product/{number}", headers={"Cookie": f"uid=user-{number % 19}"})
                assert link.getresponse().read()
            link.close()
            state = folder / "run" / "relay.json"
            wait_until(lambda: json.loads(state.read_text())["comparison"]["compared"] == 60, timeout_s=10)
        finally:
            running.terminate()
        out, said = running.communicate(timeout=20)
    results = json.loads(out)
    require_schema(results)
    assert [(one["path"], one["raw"], one["total"]) for one in results["fields"] if one["reported"]] == [
        ("price", 60, 60)
    ], said
    assert [one["path"] for one in results["fields"] if one["masked"]] == ["request_id"]
    assert len(results["fields"]) == 2
    assert results["comparison"]["rules"] == {"* build": 180, "/nowhere at": 0}
    # Production was asked by its users alone.
    asked = [sum(times for path, times in one.asked.items() if "/product/" in path) for one in shops]
    assert asked == [60, 60, 120]
    assert not any("x-darktime" in head for head in shops[0].heads)
    pairs = [json.loads(line) for line in (folder / "run" / "pairs.jsonl").read_text().splitlines()]
    assert {tuple(pair["compared"]) for pair in pairs} == {("status", "type", "length")}
    assert all(pair["production"]["length"] == pair["dark"]["length"] for pair in pairs)
    page = (folder / "run" / "report.html").read_text()
    assert "Reported fields" in page
    assert "Masked fields" in page
    assert "1 field differs more often than by noise; 60 requests" in "\n".join(text_summary(results))


@pytest.mark.parametrize("whose", ["production", "dark"])
def test_a_secondary_that_is_production_or_the_dark_instance_is_refused(refused, shops, whose):
    other = shops[0 if whose == "production" else 1]
    said = refused("--secondary", f"http://{other.address}")
    assert f"and {whose}" in said
    assert "the same server" in said
    assert not shops[0].asked


def test_a_secondary_where_nobody_listens_is_refused(refused):
    assert "nobody listens there" in refused("--secondary", f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--compare", "body", "--secondary", ""], "--secondary http://HOST:PORT"),
        (["--compare", "colour"], "'colour'"),
        (["--ignore", "posts.at"], "rule 'posts.at'"),
        (["--unordered", "* a..b"], "rule '* a..b'"),
        (["--compare-share", "2"], "compare share 2"),
        (["--compare-bytes", "1"], "compare bytes 1"),
        (["--secondary", "https://x:1"], "secondary https://x:1"),
        (["--calibrate", "5", "--secondary", ""], "calibrate 5: at first copies go to"),
        (["--calibrate", "5", "--duration", "5"], "calibrate 5: the split ends before"),
        (["--calibrate", "nan"], "calibrate nan"),
        (["--calibrate", "-1"], "calibrate -1"),
    ],
    ids=range(11),
)
def test_what_cannot_be_compared_is_said_before_anything_runs(refused, words, why):
    assert why in refused(*words)
