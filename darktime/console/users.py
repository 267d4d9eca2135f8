"""``--users N``: so many users, each of whom asks again when he has his answer; a closed model, on a connection each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.errors import UsageError

if TYPE_CHECKING:
    from typing import Any

# What a run of so many users has no place for, and what to do.
INSTEAD = {
    "rate": "users ask when they are answered, so the instance sets the rate; leave one of them out",
    "search": "a search needs a rate that it can raise; leave one of them out",
    "connections": "each user has a connection of his own; leave --connections out",
    "scenario": "a scenario says itself what is asked; use its numbers (--number connections=N)",
    "beyond": "beyond a capacity is a rate; leave one of them out",
    "seed": "nothing is planned where users ask when they are answered; leave --seed out",
    "budget": "a budget is the time of a search; say --duration",
}


def as_closed(asked: dict[str, Any]) -> None:
    """Make ``--closed`` and ``--connections`` of ``--users``, where it is there. Raises UsageError for what contradicts it."""
    users = asked.pop("users", None)
    if users is None:
        return
    if users < 1:
        raise UsageError(f"--users {users}: at least 1, please")
    for name, why in INSTEAD.items():
        if asked.get(name):
            raise UsageError(f"--users {users} with --{name}: {why}")
    asked["closed"], asked["connections"] = True, users
