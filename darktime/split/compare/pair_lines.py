"""Pairs decoded from the lines of their file; what recurs in them (users, endpoints, content types) is kept once. Pure.

A run may have a million pairs and more: this way one takes some 500 bytes, and not 1,200.
"""

from __future__ import annotations

from typing import Any

import orjson

from darktime.split.compare.pair import Pair


class PairLines:
    """Decodes the lines of one file."""

    def __init__(self) -> None:
        self._strings: dict[str, str] = {}
        self._compared: dict[tuple[str, ...], tuple[str, ...]] = {}

    def pair(self, line: str | bytes) -> Pair:
        """The pair of a line. Raises ValueError, KeyError or TypeError for one that holds none."""
        record: dict[str, Any] = orjson.loads(line)
        for part, name in (
            (record, "endpoint"), (record, "user"), (record["production"], "content_type"), (record["dark"], "content_type"),
        ):  # fmt: skip
            part[name] = self._strings.setdefault(part[name], part[name])
        if "compared" in record:
            compared = tuple(record["compared"])
            record["compared"] = self._compared.setdefault(compared, compared)
        return Pair.from_record(record)
