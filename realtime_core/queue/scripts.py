"""The moves as Redis runs them: one Lua file each, whose line of KEYS names the keys it is called with."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoScriptError, ResponseError

from realtime_core.queue.fence import refuse_older
from realtime_core.queue.keys import queue_keys
from realtime_core.queue.memory import understood

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis
    from redis.client import Pipeline

MOVES: Final = ("put", "claim", "renew", "settle", "stamp", "reap", "retry", "retract", "audit", "peek")
_KEYS: Final = re.compile(r"^-- KEYS (.+)$", re.MULTILINE)
_USES: Final = re.compile(r"^-- USES (.+)$", re.MULTILINE)


@cache
def source(move: str, *, together: bool = False) -> tuple[str, tuple[str, ...]]:
    """A move's whole script, without comments, and the names of its keys in their order.

    ``together``: out of memory it is refused, as what else is in its transaction.
    """
    folder = files("realtime_core.queue") / "lua"
    body = (folder / f"{move}.lua").read_text(encoding="utf-8")
    declared = _KEYS.search(body)
    assert declared is not None, f"{move}.lua does not say its KEYS"
    names = tuple(declared[1].split())
    used = _USES.search(body)
    shared = ["prelude", *(used[1].split() if used else ())]
    before = "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in shared)
    # A move may be called with more keys, for results: they stand behind the named ones.
    given = f"{str(together).lower()}, {len(names)}, unpack(KEYS, 1, {len(names)})"
    named = f"local TOGETHER, NAMED, {', '.join(names)} = {given}"
    text = f"{named}\n{before}{body}"
    return "\n".join(line for line in text.splitlines() if line and not line.lstrip().startswith("--")), names


class Scripts:
    """All moves of one queue. A script that the server has forgotten is loaded again."""

    def __init__(self, redis: Redis, name: str) -> None:
        self.keys = queue_keys(name)
        self._redis = redis
        self._name = name
        self._alone = False
        self._moves: dict[str, tuple[str, list[bytes]]] = {}
        for move in MOVES:
            text, names = source(move)
            # As bytes: the client would encode them at every call.
            keys = [self.keys[part].encode() for part in names]
            self._moves[move] = (hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), keys)

    def call(self, move: str, *args: str | bytes | float, more_keys: Sequence[str] = ()) -> Any:
        """Run a move in one round trip and return its reply.

        Raises:
            ConfigurationError: at the first call, where the queue still holds jobs in an older format.
            OutOfMemoryError: the server has none left, and the move needs some.
        """
        self._look_once()
        digest, keys = self._moves[move]
        # Not the client's Script, which takes a tenth longer to say the same.
        words = (digest, len(keys) + len(more_keys), *keys, *more_keys, *args)
        try:
            try:
                return self._redis.execute_command("EVALSHA", *words)  # type: ignore[no-untyped-call]
            except NoScriptError:
                self._redis.script_load(source(move)[0])
                return self._redis.execute_command("EVALSHA", *words)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            raise understood(error) from error

    def queue_into(
        self,
        pipe: Pipeline,
        move: str,
        args: Sequence[str | bytes | float],
        more_keys: Sequence[str] = (),
        *,
        together: bool = False,
    ) -> None:
        """Add a move to a transaction.

        It travels as text: in a transaction a script that the server has forgotten could not be loaded any more, and
        the commands beside it would have been done without it.
        """
        self._look_once()
        _, keys = self._moves[move]
        # Not pipe.eval(), which a cluster's pipeline does not have.
        words = (source(move, together=together)[0], len(keys) + len(more_keys), *keys, *more_keys, *args)
        pipe.execute_command("EVAL", *words)  # type: ignore[no-untyped-call]

    def _look_once(self) -> None:
        if not self._alone:
            refuse_older(self._redis, self._name)
            self._alone = True
