"""Writes the generated dashboards: ``python -m dashboards.build``. Needs the development group ``dashboards``."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "generated"


def built() -> dict[str, str]:
    """File name and text of every dashboard; the same text every time."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: PLC0415 - only who builds has the SDK

    from dashboards.overview import overview  # noqa: PLC0415

    boards = {"overview.json": overview()}
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {name: encoder.encode(_numbered(json.loads(encoder.encode(board)))) + "\n" for name, board in boards.items()}


def write(folder: Path = FOLDER) -> list[Path]:
    """Write every dashboard into ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in built().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _numbered(board: dict[str, object]) -> dict[str, object]:
    """Panels numbered in their order: Grafana gives numbers of its own to panels without, and then shows a change."""
    panels = board["panels"]
    assert isinstance(panels, list)
    return {**board, "panels": [{**panel, "id": number} for number, panel in enumerate(panels, start=1)]}


if __name__ == "__main__":
    write()
