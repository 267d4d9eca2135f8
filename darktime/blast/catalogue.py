"""The scenarios there are, by name or by file, and their loading. Names are listed without loading one."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darktime.blast.scenario import Scenario, numbers_beside
from darktime.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType


def folder() -> Path:
    """Where the scenarios that come with the package are."""
    found = importlib.util.find_spec("scenarios")
    assert found is not None, "scenarios/ is a part of the distribution"
    assert found.submodule_search_locations
    return Path(next(iter(found.submodule_search_locations)))


def names() -> list[str]:
    """The names that ``--scenario`` takes."""
    return sorted(path.stem for path in folder().glob("*.py") if not path.stem.startswith("_"))


def file_of(name: str) -> Path:
    """The file of a scenario: a name of ours, or somebody's own .py file. Raises UsageError."""
    path = Path(name)
    if path.suffix == ".py":
        if not path.is_file():
            raise UsageError(f"--scenario {name}: no such file")
        return path
    if name not in names():
        raise UsageError(f"--scenario {name}: unknown; there are {', '.join(names())}, or name a .py file")
    return folder() / f"{name}.py"


def digest(name: str) -> str:
    """What tells a scenario and the files beside it (numbers, traces) apart from another one's. Raises UsageError."""
    path = file_of(name)
    seen = hashlib.sha256()
    for file in sorted(path.parent.glob(f"{path.stem}.*")):
        if file.is_file():
            seen.update(f"{file.name} {file.stat().st_size}\n".encode())
            seen.update(file.read_bytes())
    return seen.hexdigest()


def load(name: str, given: dict[str, Any]) -> Scenario:
    """The scenario of that name with its numbers, those of ``given`` in their place. Raises UsageError."""
    path = file_of(name)
    module = _module(path)
    found = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Scenario) and thing.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise UsageError(f"--scenario {name}: {path} defines {len(found)} scenarios; it must be one")
    scenario: Scenario = found[0](numbers_beside(str(path), given))
    return scenario


def _module(path: Path) -> ModuleType:
    name = f"darktime_scenario_{path.stem}"
    if name in sys.modules and sys.modules[name].__file__ == str(path):
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module
