"""``make bench``: measures, prints the ratios, writes docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from darktime.errors import DarktimeError
from tests.bench import blast, core, queue, relay, splitter, streams

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
SECTION = re.compile(r"^## (\w+)\n\n(.*?)(?=\n## |\Z)", re.DOTALL | re.MULTILINE)
HEAD = """\
# Benchmarks

Written by `make bench`. Everything that is compared runs in one run on one machine, in turns; ratios count, absolutes do not.

"""


def main(only: list[str]) -> int:
    """Measure all parts, or those that are named; 0, or 2 for what is missing. What is not measured keeps its lines."""
    parts = {
        "splitter": splitter.measure,
        "blast": blast.measure,
        "queue": queue.measure,
        "core": core.measure,
        "relay": relay.measure,
        "streams": lambda _: streams.measure().lines(),
    }
    unknown = [name for name in only if name not in parts]
    if unknown:
        print(f"bench: {', '.join(unknown)}: unknown; there are {', '.join(parts)}", file=sys.stderr)
        return 2
    machine = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    found: dict[str, str] = dict(SECTION.findall(PAGE.read_text(encoding="utf-8"))) if PAGE.exists() else {}
    try:
        for name in only or parts:
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                lines = parts[name](Path(folder))
            print("\n".join(lines), flush=True)
            found[name] = f"{machine}, Python {platform.python_version()}:\n\n" + "\n".join(lines) + "\n"
    except DarktimeError as error:
        print(f"bench: {error}", file=sys.stderr)
        return int(error.exit_code)
    PAGE.write_text(HEAD + "\n".join(f"## {name}\n\n{text}" for name, text in sorted(found.items())), encoding="utf-8")
    return 0


if __name__ == "__main__":
    # With options of its own a part measures and prints, and leaves the page as it is.
    if sys.argv[1:2] == ["core"] and len(sys.argv) > 2:
        sys.exit(core.main(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
