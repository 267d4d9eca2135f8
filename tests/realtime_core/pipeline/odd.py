"""Pipelines that misbehave as a job's data says: they burn CPU, hang, wait for ever or end the process."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import gevent

from realtime_core.pipeline import FilePublisher, HTTPPublisher, JSONParser, Message, Pipeline

if TYPE_CHECKING:
    from realtime_core.queue import Claim


class Odd(JSONParser, FilePublisher, Pipeline):
    """Notes ``JOB ATTEMPT PID`` in the file of the setting ``runs`` before it misbehaves."""

    def __init__(self, **given):
        super().__init__(**given)
        self._parsed = 0
        self._runs = Path(self.setting("runs") or os.devnull)

    def figures(self) -> dict[str, int]:
        return super().figures() | {"odd_parsed": self._parsed}

    def parse(self, claim: Claim) -> Message:
        self._parsed += 1
        message = super().parse(claim)
        return replace(message, data=message.data | {"attempt": claim.attempt})

    def compute(self, message: Message) -> Message | None:
        with self._runs.open("a") as file:
            file.write(f"{message.job} {message.data['attempt']} {os.getpid()}\n")
        first = message.data["attempt"] == 1
        until = time.monotonic() + message.data.get("burn_s", 0)
        while time.monotonic() < until or (first and message.data.get("hang")):
            pass
        if first and message.data.get("wait"):
            gevent.sleep(3600)
        gevent.sleep(message.data.get("nap_s", 0))
        if message.data.get("die"):
            os._exit(1)
        return super().compute(message)


class SlowToMake(Odd):
    """After the first instance of a process, making one waits (``make=wait``); all take half a second (``make=compute``)."""

    made = 0

    def __init__(self, **given):
        super().__init__(**given)
        if self.setting("make") == "compute":
            until = time.thread_time() + 0.5
            while time.thread_time() < until:
                pass
        elif SlowToMake.made:
            gevent.sleep(3600)
        SlowToMake.made += 1


class Held(JSONParser, HTTPPublisher, Pipeline):
    """Waits at each first attempt while the file of the setting ``while`` is there; ``JOB ATTEMPT`` into ``runs``."""

    def __init__(self, **given):
        super().__init__(**given)
        self._while, self._runs = Path(self.setting("while")), Path(self.setting("runs") or os.devnull)
        self._first: set[str] = set()

    def parse(self, claim: Claim) -> Message:
        if claim.attempt == 1:
            self._first.add(claim.id)
        with self._runs.open("a") as file:
            file.write(f"{claim.id} {claim.attempt}\n")
        return super().parse(claim)

    def compute(self, message: Message) -> Message | None:
        while message.job in self._first and self._while.exists():
            gevent.sleep(0.02)
        return super().compute(message)


class Breaking(JSONParser, HTTPPublisher, Pipeline):
    """Breaks at a job, where its data says and as it says; notes ``JOB ATTEMPT`` in the file of the setting ``runs``."""

    def __init__(self, **given):
        super().__init__(**given)
        self._runs = Path(self.setting("runs") or os.devnull)

    def parse(self, claim: Claim) -> Message:
        with self._runs.open("a") as file:
            file.write(f"{claim.id} {claim.attempt}\n")
        message = super().parse(claim)
        return None if message.data.get("breaks") == "parsed to nothing" else message

    def compute(self, message: Message) -> Message | None:
        breaks = message.data.get("breaks")
        if breaks == "channel":
            message = replace(message, channels=("thread:1", "no spaces please"))
        if breaks == "channels are a number":
            message = replace(message, channels=7)
        if breaks == "time":
            message = replace(message, at=float("nan"))
        if breaks == "computed to a dict":
            return {"channels": ["thread:1"]}
        if breaks == "time-out":
            raise gevent.Timeout(3)
        return super().compute(message)

    def publish(self, events):
        for event in events:
            if b'"breaks":"publish"' in event.line:
                raise LookupError("there is no such box")
        outcomes = super().publish(events)
        if any(b'"breaks":"outcomes"' in event.line for event in events):
            return {name: of_box[:-1] for name, of_box in outcomes.items()}
        return outcomes

    def figures(self):
        raise RuntimeError("no figures today")


class Renamed(JSONParser, Pipeline):
    """Today's code with a bug: a field renamed, a number where a text was, one job filtered, one that fails."""

    def compute(self, message: Message) -> Message | None:
        if message.job == "j3":
            return None
        if message.job == "j4":
            raise RuntimeError("new code breaks here")
        data = dict(message.data)
        data["body"] = data.pop("text")
        data["price"] = float(data["price"])
        return super().compute(replace(message, data=data))


class Deadly(JSONParser, Pipeline):
    """Ends its process at every job."""

    def compute(self, message: Message) -> Message | None:
        os._exit(9)


class Endless(JSONParser, Pipeline):
    """Never comes back."""

    def compute(self, message: Message) -> Message | None:
        while True:
            pass
