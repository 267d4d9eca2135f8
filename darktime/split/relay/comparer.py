"""The comparer: reads and compares answers in a thread of its own, within a share of one core.

The relay's loop, which nginx waits for, only hands the answers over. What the thread has no time for is counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from darktime.split.compare.answer import compare_contents, read_answer
from darktime.split.compare.field_table import FieldTable
from darktime.split.compare.json_body import leaves
from darktime.split.compare.rules import Rules

if TYPE_CHECKING:
    from darktime.split.relay.settings import CompareSettings
    from darktime.split.relay.triples import Work

CPU_BUDGET: Final = "cpu_budget"
FAILED: Final = "compare_error"
_TELL_EVERY_S: Final = 0.5
_TELLING_SHARE: Final = 20  # a telling that takes long comes that much more rarely
_BURST_S: Final = 0.1  # of CPU that may be taken ahead
_READ_FOR_NAMES: Final = 50  # bodies an endpoint
_WAIT_S: Final = 0.1
log = logging.getLogger(__name__)


class Comparer:
    """``put`` takes work; ``told`` is the field table's saved form as it was half a second ago, or at the end.

    ``left`` counts what was not compared, by its reason, ``unread`` the answers that were compared by digest and length only.
    """

    def __init__(self, settings: CompareSettings) -> None:
        self._settings = settings
        self._rules = Rules(settings.ignore, settings.unordered)
        self._table = FieldTable()
        self._waiting: deque[Work] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._keep_comparing, name="comparer", daemon=True)
        self._names_read: Counter[str] = Counter()
        self._began = 0.0
        self._told_at = 0.0
        self._dirty = False
        self._taken = self._through = 0
        self.compared = 0
        self.cut = 0
        self.cpu_s = 0.0
        self.left: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()
        self.told = self._table.to_dict(settings.fields)

    @property
    def waiting(self) -> int:
        """Work that is not through."""
        return self._taken - self._through

    @property
    def rules_used(self) -> dict[str, int]:
        """Of each ignore rule, in how many answers it left something out."""
        return dict(self._rules.used)

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        self._thread.start()

    def put(self, work: Work) -> None:
        """Take work; the caller bounds how much there is."""
        self._taken += 1
        self._waiting.append(work)
        self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Compare what is left, as far as time lets, and tell the end."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _keep_comparing(self) -> None:
        while True:
            self._wake.wait(_WAIT_S)
            self._wake.clear()
            while self._waiting:
                self._next()
                self._through += 1
            if self._stopping:
                self._tell()
                return
            if self._dirty and time.monotonic() >= self._told_at:
                self._tell()

    def _next(self) -> None:
        work = self._waiting.popleft()
        if self.cpu_s > _BURST_S + self._settings.cpu_share * (time.monotonic() - self._began):
            self.left[CPU_BUDGET] += 1
            return
        try:
            self._compare(work)
        except Exception:
            # Whatever a body can do to us: the next one is compared.
            self.left[FAILED] += 1
            if self.left[FAILED] == 1:
                log.exception("answers to request %s could not be compared", work.request_id)
        self.cpu_s = time.thread_time()

    def _compare(self, work: Work) -> None:
        about = self._rules.about(work.method, work.endpoint)
        today, again, dark = (
            read_answer(one, about, html_whitespace=self._settings.html_whitespace)
            for one in (work.today, work.again, work.dark)
        )
        for one in (today, again, dark):
            if one.why:
                self.unread[one.why] += 1
        label = work.label
        if self._names_read[label] < _READ_FOR_NAMES:
            self._names_read[label] += 1
            if today.is_json:
                self._table.look_at(label, {path for path, _ in leaves(today.value)})
        raw, noise = compare_contents(today, dark, about), compare_contents(today, again, about)
        self.cut += raw.cut or noise.cut
        self._table.add(label, work.request_id, raw=raw, noise=noise)
        self.compared += 1
        self._dirty = True

    def _tell(self) -> None:
        began = time.monotonic()
        self._dirty = False
        self.told = self._table.to_dict(self._settings.fields)
        ended = time.monotonic()
        self._told_at = ended + max(_TELL_EVERY_S, _TELLING_SHARE * (ended - began))
