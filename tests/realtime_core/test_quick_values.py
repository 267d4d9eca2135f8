"""Values that are quickly made are like frozen ones, but for the guard."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from realtime_core.quick_values import quickly_made


@dataclass(frozen=True, slots=True)
class Slow:
    first: int
    second: str = field(default="b", kw_only=True)
    third: list[int] = field(default_factory=list, kw_only=True)


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    first: int
    second: str = field(default="b", kw_only=True)
    third: list[int] = field(default_factory=list, kw_only=True)


@pytest.mark.parametrize("kind", [Slow, Quick])
def test_fields_defaults_and_equality_are_those_of_the_dataclass(kind: type[Quick]) -> None:
    one = kind(1)
    assert (one.first, one.second, one.third) == (1, "b", [])
    assert one == kind(1, second="b", third=[])
    assert one.third is not kind(1).third
    assert replace(one, second="c") == kind(1, second="c") != one
    assert repr(one) == f"{kind.__name__}(first=1, second='b', third=[])"
    with pytest.raises(TypeError):
        kind(1, "c")  # type: ignore[misc]
