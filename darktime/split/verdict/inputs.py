"""What a verdict asks of the others' values: the ledger's hops, and the fields that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Item(Protocol):
    """An id that does not come to zero."""

    @property
    def id(self) -> str | None: ...  # noqa: D102
    @property
    def key(self) -> int: ...  # noqa: D102


class Hop(Protocol):
    """What is asked of a ledger's hop."""

    @property
    def hop(self) -> str: ...  # noqa: D102
    @property
    def explained(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def missing(self) -> Sequence[Item]: ...  # noqa: D102
    @property
    def extra(self) -> Sequence[Item]: ...  # noqa: D102
    @property
    def undecoded(self) -> int: ...  # noqa: D102


class FieldFinding(Protocol):
    """A field of an endpoint's answers that differs: ``raw`` times of ``total``, ``noise`` times in the same code.

    ``reported``: it differs more often than noise explains. ``kind``: how it differs. ``example``: one pair of values.
    """

    @property
    def endpoint(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def raw(self) -> int: ...  # noqa: D102
    @property
    def noise(self) -> int: ...  # noqa: D102
    @property
    def total(self) -> int: ...  # noqa: D102
    @property
    def reported(self) -> bool: ...  # noqa: D102
    @property
    def example(self) -> str: ...  # noqa: D102
