"""The messages between the head of a run and its workers, by name. They are carried by Locust's own connection."""

from __future__ import annotations

# worker to head
HELLO = "darktime.hello"  # {}
STANDING = "darktime.standing"  # {}: everything is open
REFUSED = "darktime.refused"  # {"error": text, "exit_code": int}
OFFERED = "darktime.offered"  # {"number": int, "offered": Offered.to_dict()}
SECOND = "darktime.second"  # {"second": Second.to_dict()}

# head to worker
GREETED = "darktime.greeted"  # {}
TASK = "darktime.task"  # {"task": Task.to_dict(), "index": int, "workers": int}
PLAN = "darktime.plan"  # {"number": int, "plan": Plan.to_dict(), "start_at": s UTC, "began_s": s, "patient": bool}
STOP = "darktime.stop"  # {}
