"""The state folder that nginx looks into at each candidate request: ``level/bNNN``, ``lease/SLOT``, ``kill``.

A percentage is a set of level files: a ramp adds or removes the last ones; it is nested, exact, and needs no reload.
A lease is a file a time slot: when nobody renews it, a slot comes that has none, and mirroring has ended with no
process of ours alive.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError
from darktime.split.sampling import buckets_for

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ONLY: Final = "only"
NEVER: Final = "never"
# What stands in a kill file that was not made by hand.
BY_AGENT: Final = "by the agent, for the experiment in Redis\n"
BY_COMMAND: Final = "by darktime kill\n"
_LEVEL: Final = re.compile(r"b[0-9]{3}")


def level_name(bucket: int) -> str:
    """The name of a bucket's level file, and of the bucket in nginx."""
    return f"b{bucket:03d}"


def watched_name(bucket: int) -> str:
    """The name in nginx of a bucket that can never be in, and is only watched."""
    return f"c{bucket:03d}"


def slot_of(now: float, slot_s: int = 100) -> int:
    """The slot in which a moment (seconds UTC) lies."""
    return int(now) // slot_s


def set_percent(folder: Path, percent: float, max_percent: float) -> None:
    """Mirror exactly the first ``percent`` of users from now on. Raises UsageError above the maximum."""
    wanted = buckets_for(percent)
    if wanted > buckets_for(max_percent):
        raise UsageError(
            f"{percent:g} percent: the configuration allows {max_percent:g} percent at most, start a new split"
        )
    levels = folder / "level"
    levels.mkdir(mode=0o700, parents=True, exist_ok=True)
    present = {path.name for path in levels.iterdir() if _LEVEL.fullmatch(path.name)}
    names = {level_name(bucket) for bucket in range(wanted)}
    # Up from the lowest, down from the highest: at every instant the set is that of some percentage between the two.
    for name in sorted(names - present):
        (levels / name).touch(mode=0o600)
    for name in sorted(present - names, reverse=True):
        (levels / name).unlink(missing_ok=True)


def percent_of(folder: Path) -> float:
    """The percentage that the level files stand for, whatever lease and kill file say."""
    try:
        return sum(1 for path in (folder / "level").iterdir() if _LEVEL.fullmatch(path.name)) / 10
    except FileNotFoundError:
        return 0.0


def renew(folder: Path, now: float, slot_s: int = 100) -> None:
    """Lease this slot and the next, and remove the files of those before: mirroring goes on for at most two slots."""
    leases = folder / "lease"
    leases.mkdir(mode=0o700, parents=True, exist_ok=True)
    slot = slot_of(now, slot_s)
    for number in (slot, slot + 1):
        (leases / str(number)).touch(mode=0o600)
    for path in leases.iterdir():
        if path.name.isdecimal() and not slot - 1 <= int(path.name) <= slot + 1:
            path.unlink(missing_ok=True)


def leased(folder: Path, now: float, slot_s: int = 100) -> bool:
    """Whether there is a lease for this moment."""
    return (folder / "lease" / str(slot_of(now, slot_s))).is_file()


def release(folder: Path) -> None:
    """Give all leases back: mirroring ends with the next request."""
    for path in (folder / "lease").glob("[0-9]*"):
        path.unlink(missing_ok=True)


def set_list(folder: Path, name: str, users: Iterable[str]) -> None:
    """Make these the listed users, ``only`` or ``never``: a file each. nginx's workers may look for one, and list nothing."""
    there = folder / name
    there.mkdir(parents=True, exist_ok=True)
    there.chmod(0o711)
    wanted, present = set(users), {path.name for path in there.iterdir()}
    for user in sorted(wanted - present):
        (there / user).touch(mode=0o644)
    for user in present - wanted:
        (there / user).unlink(missing_ok=True)


def no_list(folder: Path, name: str) -> None:
    """Take a list away, if there is one."""
    if (folder / name).is_dir():
        set_list(folder, name, ())
        (folder / name).rmdir()


def listed(folder: Path, name: str, user: str) -> bool | None:
    """Whether the user is on that list; None where there is no such list."""
    there = folder / name
    return (there / user).is_file() if there.is_dir() else None


def kill(folder: Path, *, by: str = "") -> None:
    """End all mirroring with the next request, whoever renews what, until ``resume``. Who did it stays in the file."""
    with suppress(FileExistsError):
        file = os.open(folder / "kill", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with suppress(OSError):  # of a full disk, which a file without content ends mirroring on all the same
                os.write(file, by.encode("utf-8", "replace"))
        finally:
            os.close(file)


def killed(folder: Path) -> bool:
    """Whether the kill file is there."""
    return (folder / "kill").is_file()


def killed_by(folder: Path) -> str | None:
    """Who made the kill file, as it says itself; None where there is none."""
    try:
        return (folder / "kill").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "" if killed(folder) else None


def lets_in(folder: Path, bucket: int) -> bool:
    """Whether a bucket is in and nobody has killed the split, as nginx asks it; the lease apart."""
    root = str(folder)
    return os.path.exists(f"{root}/level/{level_name(bucket)}") and not os.path.exists(f"{root}/kill")  # noqa: PTH110 - each copy


def lists_let_in(folder: Path, user: str, *, only: bool, never: bool) -> bool:
    """Whether the lists that there are let a user in, as nginx asks it: on the one, and not on the other."""
    root = str(folder)
    if only and not os.path.isfile(f"{root}/{ONLY}/{user}"):  # noqa: PTH113 - each copy
        return False
    return not (never and os.path.isfile(f"{root}/{NEVER}/{user}"))  # noqa: PTH113


def resume(folder: Path, *, by: str | None = None) -> None:
    """Take the kill file away; with ``by`` only one that was made so."""
    file = folder / "kill"
    if by is None or (file.is_file() and file.read_text(encoding="utf-8", errors="replace") == by):
        file.unlink(missing_ok=True)
