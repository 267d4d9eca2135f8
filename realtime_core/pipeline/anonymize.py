"""The anonymising mixin: private fields are dropped or hashed before anything is published."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.fields import GONE, changed, path_of
from realtime_core.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from realtime_core.pipeline.message import Message

DROP: Final = "drop"
HASH: Final = "hash"
HASH_CHARS: Final = 32
MIN_KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to one field: ``path`` within ``data``, and DROP or HASH."""

    path: tuple[str, ...]
    action: str


class Anonymize(Pipeline):
    """Drops fields, or puts a keyed hash in their place: equal values stay equal, and nobody can guess them without the key.

    A subclass names them in ``anonymize``, or the setting ``anonymize=data.email:drop,data.author.id:hash`` does. A path that
    meets a list goes into each of its items. ``hash`` needs a key: ``anonymize_key``, or the setting
    ``anonymize_key_file=PATH``, whose bytes are the key.
    """

    anonymize: Mapping[str, str] = {}
    anonymize_key: bytes = b""

    def __init__(self, **given: Any) -> None:
        """Read the rules.

        Raises:
            ConfigurationError: a rule that cannot be, or hashing without a key of at least 16 bytes.
        """
        super().__init__(**given)
        wanted = dict(self.anonymize) | _pairs(self.setting("anonymize") or "")
        self._rules = [_rule(path, action) for path, action in wanted.items()]
        file = self.setting("anonymize_key_file")
        self._key = self.anonymize_key if file is None else _read_key(file)
        if any(rule.action == HASH for rule in self._rules) and len(self._key) < MIN_KEY_BYTES:
            raise ConfigurationError(
                f"anonymize: a key of {len(self._key)} bytes, and hash needs {MIN_KEY_BYTES} at least: "
                "name a file of random bytes with anonymize_key_file=PATH"
            )

    @property
    def private(self) -> bool:
        """Whether it has fields of its own that nobody is to see, or another mixin does."""
        return bool(self._rules) or super().private

    def compute(self, message: Message) -> Message | None:
        """The message without what is private."""
        if self._rules:
            message = message.with_data(anonymized(message.data, self._rules, self._key))
        return super().compute(message)


def anonymized(data: dict[str, Any], rules: Sequence[Rule], key: bytes) -> dict[str, Any]:
    """A copy of ``data`` with every rule carried out; a path that is not there is nothing to do."""
    for rule in rules:
        data = changed(data, rule.path, _dropped if rule.action == DROP else partial(_hash, key=key))
    return data


def _dropped(_value: Any) -> Any:
    return GONE


def _hash(value: Any, key: bytes) -> str | None:
    if value is None:
        return None
    text = value.encode() if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hmac.new(key, text, hashlib.sha256).hexdigest()[:HASH_CHARS]


def _pairs(text: str) -> dict[str, str]:
    pairs = {}
    for part in filter(None, text.split(",")):
        path, colon, action = part.strip().rpartition(":")
        if not colon:
            raise ConfigurationError(f"anonymize {part!r}: write PATH:drop or PATH:hash, as in data.email:drop")
        pairs[path] = action
    return pairs


def _rule(path: str, action: str) -> Rule:
    names = path_of("anonymize", path)
    if action not in (DROP, HASH):
        raise ConfigurationError(f"anonymize {path}: {action!r} is not known: use {DROP} or {HASH}")
    return Rule(path=names, action=action)


def _read_key(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"anonymize_key_file {file}: {error.strerror}: name a file that can be read"
        ) from error
