"""``make bench``: measures, prints the ratios, writes docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from darktime.errors import DarktimeError
from tests.bench import splitter

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
HEAD = """\
# Benchmarks

Written by `make bench`. Everything that is compared runs in one run on one machine, in turns; ratios count, absolutes do not.

"""


def main() -> int:
    """Measure; 0, or 2 for what is missing."""
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            lines = splitter.measure(Path(folder)).lines()
    except DarktimeError as error:
        print(f"bench: {error}", file=sys.stderr)
        return int(error.exit_code)
    machine = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    PAGE.write_text(HEAD + f"{machine}, Python {platform.python_version()}:\n\n" + "\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
