"""What a worker may do for a head: it trusts the head's allowance as far as it was given, and not where it cannot. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.machine import Machine
    from darktime.blast.plan import Plan
    from darktime.blast.task import Task


def permit(task: Task, head: Machine, here: Machine, only: Sequence[str] = ()) -> None:
    """Whether this worker may load what ``task`` names; ``only`` are the hosts it was started for, none: any.

    The head has checked its own user's allowance, which travels with the task. What the head cannot know is checked
    here: loopback is another machine on each, and a worker may have been started for some hosts alone. Raises
    UsageError.
    """
    host, ip = str(task.address["host"]), str(task.address["ip"])
    if ipaddress.ip_address(ip.partition("%")[0]).is_loopback:
        if not here.shares_loopback(head):
            raise UsageError(
                f"{host} is loopback, which is another machine on {here.name} than on the master: "
                f"name the instance by an address that every worker reaches"
            )
        return
    if task.allowed_host != host:
        raise UsageError(f"{host} came without its master's allowance: start the master with --allow {host}")
    if only and host not in only:
        raise UsageError(f"{host} is not what this worker was started for ({', '.join(only)}): add --allow {host}")


def permit_plan(plan: Plan, task: Task) -> None:
    """Whether a plan keeps to the limit that travelled with the task. Raises UsageError."""
    if not plan.closed and plan.peak_rate_per_s() > task.max_rate_per_s * (1 + 1e-9):
        raise UsageError(
            f"the plan {plan.stage!r} goes to {plan.peak_rate_per_s():g}/s, beyond the master's own limit of "
            f"{task.max_rate_per_s:g}/s: raise --max-rate"
        )
