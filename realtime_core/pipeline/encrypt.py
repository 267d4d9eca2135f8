"""The encrypting mixin: fields that only who has the key can read. AES-256-GCM by ``cryptography`` (extra ``encrypt``)."""

from __future__ import annotations

import base64
import binascii
import os
import re
from functools import partial
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, Final

import orjson

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.fields import changed, path_of
from realtime_core.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.pipeline.message import Message

FORMAT: Final = "dt1"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # what NIST SP 800-38D recommends for GCM
MAX_KEYS: Final = 100
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_INSTALL: Final = "install it: pip install 'darktime[encrypt]'"


class Keys:
    """Keys by their id. The first encrypts; all decrypt, so that a key is rotated by a new first line."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        """Take the keys.

        Raises:
            ConfigurationError: none, too many, one of another length, an id that is none, or ``cryptography`` is missing.
        """
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigurationError(f"encrypt needs the package cryptography, which is missing: {_INSTALL}") from error
        if not 1 <= len(keys) <= MAX_KEYS:
            raise ConfigurationError(f"{len(keys)} keys to encrypt with: 1 to {MAX_KEYS} are needed")
        for id_, key in keys.items():
            if not _KEY_ID.fullmatch(id_):
                raise ConfigurationError(f"key id {id_!r:.80}: use 1 to 32 of A-Z a-z 0-9 _ -")
            if len(key) != KEY_BYTES:
                raise ConfigurationError(f"key {id_} has {len(key)} bytes: {KEY_BYTES} random ones are needed")
        self._ciphers = {id_: AESGCM(key) for id_, key in keys.items()}
        self._first = next(iter(keys))

    def encrypt(self, value: Any, path: Sequence[str]) -> str:
        """``dt1.KEYID.BASE64URL`` of nonce and ciphertext. Bound to the path: moved to another field it does not decrypt."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, orjson.dumps(value), ".".join(path).encode())
        return f"{FORMAT}.{self._first}.{base64.urlsafe_b64encode(nonce + sealed).decode().rstrip('=')}"

    def decrypt(self, text: str, path: Sequence[str]) -> Any:
        """The value again.

        Raises:
            ValueError: another format, a key that is not here, or it was changed, or stood in another field.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

        format_, _, rest = text.partition(".")
        id_, _, sealed = rest.partition(".")
        if format_ != FORMAT or id_ not in self._ciphers:
            raise ValueError(f"{text[:40]!r}: not {FORMAT}, or of a key that is not here")
        try:
            whole = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            opened = self._ciphers[id_].decrypt(whole[:NONCE_BYTES], whole[NONCE_BYTES:], ".".join(path).encode())
        except (InvalidTag, binascii.Error) as error:
            raise ValueError(f"{text[:40]!r}: changed, or of another field") from error
        return orjson.loads(opened)


def read_keys(file: str) -> Keys:
    """Keys from a file of lines ``KEYID BASE64``, the one that encrypts first; lines that begin with # are left out.

    Raises:
        ConfigurationError: it cannot be read, or a line is none.
    """
    try:
        lines = File(file).read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"encrypt_keys_file {file}: {error}: name a file of lines KEYID BASE64") from error
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            id_, text = words
            key = base64.b64decode(text, validate=True)
        except ValueError as error:  # never the line itself: it holds a key
            raise ConfigurationError(f"encrypt_keys_file {file}, line {number}: KEYID BASE64 is needed") from error
        if id_ in keys:
            raise ConfigurationError(f"encrypt_keys_file {file}, line {number}: key {id_} stands there twice")
        keys[id_] = key
    return Keys(keys)


class Encrypt(Pipeline):
    """Encrypts the fields that a subclass names in ``encrypt``, and those of the setting ``encrypt=data.card,data.author.email``.

    Keys come from ``encrypt_keys``, or the setting ``encrypt_keys_file=PATH``. A key may encrypt 2^32 values (random nonces of
    96 bits); give it a successor before. Another attempt of a job encrypts anew: the event id is the same, the text is not.
    """

    encrypt: Sequence[str] = ()
    encrypt_keys: Keys | None = None

    def __init__(self, **given: Any) -> None:
        """Read paths and keys.

        Raises:
            ConfigurationError: a path that is none, no keys, or ``cryptography`` is missing.
        """
        super().__init__(**given)
        named = [part.strip() for part in (self.setting("encrypt") or "").split(",") if part.strip()]
        self._encrypted = [path_of("encrypt", path) for path in dict.fromkeys((*self.encrypt, *named))]
        file = self.setting("encrypt_keys_file")
        keys = read_keys(file) if file is not None else self.encrypt_keys
        if self._encrypted and keys is None:
            raise ConfigurationError(
                "encrypt: there is no key: name a file of lines KEYID BASE64 with encrypt_keys_file"
            )
        self._encrypt_keys = keys

    @property
    def private(self) -> bool:
        """Whether it has fields of its own that nobody is to see, or another mixin does."""
        return bool(self._encrypted) or super().private

    def compute(self, message: Message) -> Message | None:
        """The message with its secret fields encrypted."""
        keys = self._encrypt_keys
        if keys is not None and self._encrypted:
            data = message.data
            for path in self._encrypted:
                data = changed(data, path, partial(keys.encrypt, path=path))
            message = message.with_data(data)
        return super().compute(message)
