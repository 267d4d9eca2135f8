"""The README's command blocks: each is run as written, or is marked with the reason why not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+?) -->\n)?```sh\n(?P<commands>.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
APPLICATION = """
import functools, json, redis
redis.Redis = functools.partial(redis.Redis, unix_socket_path="URL".removeprefix("unix://"))
import django
from django.conf import settings
sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
settings.configure(DATABASES={"default": sqlite}, DEFAULT_AUTO_FIELD="django.db.models.AutoField")
django.setup()
from django.db import connection, models
class Comment(models.Model):
    thread_id, author_id, text = models.IntegerField(), models.IntegerField(), models.TextField()
    class Meta:
        app_label = "comments"
with connection.schema_editor() as editor:
    editor.create_model(Comment)
BLOCK
Comment.objects.create(thread_id=7, author_id=3, text="hello")
with redis.Redis() as client:
    (claim,) = Queue(client, "comments").claim("worker", 10)
print(*sorted(json.loads(claim.body)["channels"]))
"""
# make demo and make test would start themselves again from inside the tests: the check runs both.
RUN_ELSEWHERE = {"make demo", "make test"}


def blocks():
    return [(match["reason"], match["commands"].strip().splitlines()) for match in BLOCK.finditer(README.read_text())]


def commands_to_run():
    return [line for reason, lines in blocks() if not reason for line in lines if line not in RUN_ELSEWHERE]


def test_every_block_that_is_not_run_names_a_reason_and_the_test_that_runs_it():
    for reason, _ in blocks():
        if reason:
            path = re.search(r"tests/\S+\.py", reason)
            assert path, reason
            assert (ROOT / path[0]).exists(), path[0]


def test_the_check_runs_the_two_commands_that_set_everything_up():
    check = (ROOT / ".ci" / "run").read_text()
    assert "make test" in check
    assert "make demo" in check
    assert 'darktime" demo' in check
    makefile = (ROOT / "Makefile").read_text()
    for command in RUN_ELSEWHERE:
        assert f"\n{command.removeprefix('make ')}:" in makefile


def test_make_demo_ends_in_the_demo():
    # Under `make test` this make is an inner one: it would say so, and take the outer one's flags.
    alone = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    command = ["make", "--no-print-directory", "-n", "demo"]
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.splitlines()[-1] == ".venv/bin/darktime demo"


def test_the_python_block_runs_as_written_and_a_save_puts_a_job(tmp_path, stack):
    """Only what it stands in is added: a Django with a Comment, and the address of a Redis."""
    (block,) = PYTHON.findall(README.read_text())
    valkey = stack.valkey()
    script = tmp_path / "application.py"
    script.write_text(APPLICATION.replace("BLOCK", block).replace("URL", valkey.url))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["thread:7", "user:3"]


@pytest.mark.parametrize("command", commands_to_run())
def test_a_command_of_the_readme_runs_as_written(command, tmp_path):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=25, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_table_lists_every_command():
    from darktime.console.main import DARKESTTIME, DARKTIME

    text = README.read_text()
    for name in DARKTIME.list_commands(None):
        assert f"`darktime {name}" in text, name
    for name in DARKESTTIME.list_commands(None):
        assert f"`darkesttime {name}" in text, name
