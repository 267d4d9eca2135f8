"""The messages between the head of a run and its workers, by name. They are carried by Locust's own connection."""

from __future__ import annotations

# Raised whenever a message changes: both sides must speak the same.
PROTOCOL = 4

# worker to head
JOIN = "darktime.join"  # {"version": text, "protocol": int, "machine": Machine.to_dict()}
PONG = "darktime.pong"  # {"sent_s": as it came, "there_s": the worker's monotonic clock}
HELLO = "darktime.hello"  # {}
STANDING = "darktime.standing"  # {"ceiling_per_s": number or None}: everything is open
REFUSED = "darktime.refused"  # {"error": text, "exit_code": int}
PUBLISHED = "darktime.published"  # {"number": int, "index": int, "account": {"last": …, "refused": …}}
OFFERED = "darktime.offered"  # {"number": int, "offered": Offered.to_dict()}
SECOND = "darktime.second"  # {"second": Second.to_dict()}

# worker to the master of a plain Locust run
ENDED = "darktime.ended"  # {}: its users have stopped, and all that they counted was reported

# head to worker
ADMITTED = "darktime.admitted"  # {"number": int, "workers": int}
TURNED_AWAY = "darktime.turned_away"  # {"error": text}
PING = "darktime.ping"  # {"sent_s": the head's monotonic clock}
CLOCK = "darktime.clock"  # {"clock": Clock.to_dict()}
GREETED = "darktime.greeted"  # {}
TASK = (
    "darktime.task"  # {"task": Task.to_dict(), "index": int, "workers": int, "machine": the head's Machine.to_dict()}
)
# {"number": int, "plan": Plan.to_dict(), "start_at": the head's monotonic s, "began_s": s, "patient": bool}
PLAN = "darktime.plan"
# {"number": int, "accounts": [account of each worker, by index]}: all have ended the plan on the channel they share
ALL_PUBLISHED = "darktime.all_published"
STOP = "darktime.stop"  # {}
