"""Runs a user's own function over each copy before it goes out, and counts what it does and how long it takes.

Whatever it raises costs that one copy. The loop waits for it, and nginx waits for the loop: so its time is measured, and
said aloud beyond 10 ms.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import re
import sys
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from darktime.errors import UsageError
from darktime.split.credentials import in_headers, in_query
from darktime.split.relay import reasons
from darktime.split.relay.answers import Latencies
from darktime.split.relay.copies import masked
from darktime.split.transform import Copy, NotSendable, checked, cookie_header, cookie_pairs

if TYPE_CHECKING:
    from darktime.split.relay import copies
    from darktime.split.relay.settings import RelaySettings

    class Transform(Protocol):
        """A user's function: what goes out in a copy's place, None for nothing."""

        def __call__(self, copy: Copy, /) -> Copy | None: ...  # noqa: D102


SLOW_S: Final = 0.010
_LEAST_S: Final = 1e-6
_MOST_SAID: Final = 4_000  # characters of a traceback
_NAMED: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_HELD: Final = "def transform(copy: darktime.split.transform.Copy) -> Copy | None"
log = logging.getLogger(__name__)


def load(named: str) -> Transform:
    """The function MODULE:FUNCTION, the working directory being looked in first. Raises UsageError."""
    if not _NAMED.fullmatch(named):
        raise UsageError(f"--transform {named!r}: MODULE:FUNCTION, please, as in sessions:transform")
    module, _, attribute = named.partition(":")
    here = os.getcwd()  # noqa: PTH109 - as it stands in sys.path
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(error.name + ".")):
            raise UsageError(
                f"--transform {named}: there is no module {error.name} in {here} nor among those installed: "
                "run this where it is, or name another"
            ) from error
        raise UsageError(f"--transform {named}: {module} imports {error.name}, which is not installed") from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.format_exception_only(error)[-1].strip()
        raise UsageError(f"--transform {named}: {module} cannot be imported: {last}; mend it first") from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            where = getattr(sys.modules[module], "__file__", None) or module
            raise UsageError(f"--transform {named}: {where} has no {attribute}: define it, {_HELD}") from error
    return _callable(found, named)


def _callable(found: Any, named: str) -> Transform:
    if not callable(found):
        raise UsageError(f"--transform {named} is of type {type(found).__name__}, and cannot be called: {_HELD}")
    if inspect.iscoroutinefunction(found):
        raise UsageError(f"--transform {named} is async: the relay's loop awaits nothing; a plain function, {_HELD}")
    try:
        inspect.signature(found).bind(None)
    except TypeError as error:
        raise UsageError(f"--transform {named} takes other arguments than one copy ({error}): {_HELD}") from error
    except ValueError:  # of what is written in C nobody knows
        pass
    transform: Transform = found
    return transform


class Transforming:
    """``of`` gives what goes out in a copy's place. Made, the function is there; raises UsageError."""

    def __init__(self, named: str, settings: RelaySettings) -> None:
        self._named = named
        self._function = load(named)
        self._settings = settings
        self._took = Latencies(_LEAST_S)
        self._max_s = 0.0
        self._error: str | None = None
        self.called = self.rewritten = self.dropped = self.failed = self.slow = 0

    def of(self, copy: copies.Copy) -> copies.Copy:
        """The copy as it goes out; the same one where nothing was changed; an ``unfit`` one where none goes."""
        given = self._given(copy)
        began = time.perf_counter()
        try:
            answer = self._function(given)
            after = None if answer is None else given if answer is given else self._checked(given, answer)
        except NotSendable as error:
            return self._fails(copy, f"{self._named}: {error}")
        except BaseException:  # noqa: BLE001 - SystemExit too: it costs this copy, and nothing else
            return self._fails(copy, traceback.format_exc())
        finally:
            self._count(time.perf_counter() - began)
        if after is None:
            self.dropped += 1
            return replace(copy, unfit=reasons.TRANSFORMED_AWAY)
        if after == given:
            return copy
        self.rewritten += 1
        return _rewritten(copy, given, after, self._masked(copy))

    def state(self) -> dict[str, Any]:
        """For the state file: what it did, and how long it took."""
        return {
            "function": self._named,
            "called": self.called,
            "rewritten": self.rewritten,
            "dropped": self.dropped,
            "failed": self.failed,
            "max_ms": round(self._max_s * 1000, 3),
            "p99_ms": self._took.percentile_ms(99),
            "slow": self.slow,
            "first_error": self._error,
        }

    def _given(self, copy: copies.Copy) -> Copy:
        path, _, query = self._masked(copy).partition("?")
        return Copy(
            id=copy.id,
            at=copy.at,
            user=copy.user,
            method=copy.method,
            path=path,
            query=query,
            headers=tuple(one for one in copy.headers if one[0].lower() != "cookie"),
            cookies=cookie_pairs(value for name, value in copy.headers if name.lower() == "cookie"),
            body=copy.body,
        )

    def _masked(self, copy: copies.Copy) -> str:
        return masked(copy.target, self._settings.allow_query, self._settings.secret)

    def _checked(self, given: Copy, answer: object) -> Copy:
        if inspect.iscoroutine(answer):
            answer.close()  # nobody awaits it
        return checked(given, answer, methods=self._settings.methods, max_body=self._settings.limits.body_bytes)

    def _fails(self, copy: copies.Copy, why: str) -> copies.Copy:
        self.failed += 1
        if self._error is None:
            self._error = why if len(why) <= _MOST_SAID else "…" + why[-_MOST_SAID:]
            log.warning("a copy was dropped as %s; the first time:\n%s", reasons.TRANSFORM_FAILED, self._error)
        return replace(copy, unfit=reasons.TRANSFORM_FAILED)

    def _count(self, seconds: float) -> None:
        self.called += 1
        self._took.add(seconds)
        self._max_s = max(self._max_s, seconds)
        if seconds > SLOW_S:
            self.slow += 1
            if self.slow == 1:
                log.warning("%s took %.0f ms: the relay's loop stands still for so long", self._named, seconds * 1000)


def _rewritten(copy: copies.Copy, given: Copy, after: Copy, target: str) -> copies.Copy:
    same = (after.path, after.query) == (given.path, given.query)
    cookies = (("Cookie", cookie_header(after.cookies)),) if after.cookies else ()
    # Who asks with credentials that the function gave him is not asking without them.
    credentials = (
        not set(after.cookies) <= set(given.cookies)
        or not in_headers(after.headers) <= in_headers(given.headers)
        or not in_query(after.query) <= in_query(given.query)
    )
    return replace(
        copy,
        method=after.method,
        target=target if same else f"{after.path}?{after.query}" if after.query else after.path,
        headers=(*after.headers, *cookies),
        body=after.body,
        stripped=copy.stripped and not credentials,
        origin=copy.target,
    )
