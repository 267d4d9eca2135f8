"""What a split of the demo's own site ends in: the same code twice, a changed field, a slower view, errors.

The real command and nginx, sites in processes of their own, visitors with cookies on kept connections. A page
that is slower, errors, and repeats of all of them take more traffic: test_acceptance_long.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from realtime_core.stack import Stack
from tests.darktime.demo.splits import API, VOLATILE, Traffic, split, start_site
from tests.support.schemas import require_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from realtime_core.stack import Valkey

pytestmark = pytest.mark.timeout(120)  # of a machine that is busy otherwise; it takes some seconds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, valkey: Valkey) -> Iterator[Callable[[str], str]]:
    """The address of one more instance of the site, with a fault or without; it lives as long as this module."""
    with Stack(tmp_path_factory.mktemp("sites") / "stack") as stack:
        started: dict[str, str] = {}

        def start(name: str, fault: str = "") -> str:
            if name not in started:
                started[name] = start_site(stack, name, valkey.url, fault=fault)
            return started[name]

        yield start


def test_the_same_code_twice_is_no_no_go_and_has_no_unmasked_difference(
    tmp_path: Path, site: Callable[..., str]
) -> None:
    production, dark, secondary = site("production"), site("same"), site("secondary")
    ended = split(tmp_path, production, dark, secondary, Traffic(pairs=200, per_s=80), "--compare-share", "0.5")
    require_schema(ended.results)
    assert ended.outcome in {"GO", "WAIT"}, ended.reasons
    assert ended.fields(masked=True) == VOLATILE
    assert not ended.fields(masked=False)
    assert not ended.failed


def test_a_changed_field_is_no_go_and_the_verdict_names_it(tmp_path: Path, site: Callable[..., str]) -> None:
    production, dark, secondary = site("production"), site("changed", "field"), site("secondary")
    ended = split(tmp_path, production, dark, secondary, Traffic(pairs=200, per_s=80), "--compare-share", "0.5")
    assert ended.outcome == "NO-GO"
    (said,) = [reason for reason in ended.reasons if "count differs (changed)" in reason]
    assert said.startswith(f"{API}: count differs (changed) in ")
    assert ended.fields(masked=False) == {"count"}
    assert ended.fields(masked=True) == VOLATILE
    assert not ended.failed
