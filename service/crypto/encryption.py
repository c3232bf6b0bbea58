"""Who wraps data keys: one protocol, held by the keyring here and by Vault's transit engine in `transit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from service.crypto.errors import CiphertextError, KeyringError, UnknownKeyError
from service.crypto.files import stamp_of
from service.crypto.keyring import Keyring
from service.crypto.wrapping import peek_key_id

log = structlog.get_logger(__name__)


class WrappedItem(NamedTuple):
    """A wrapped key as it is stored, and the context that it was bound to."""

    wrapped: bytes
    context: bytes


class KeyEncryption(Protocol):
    """Wraps data keys under a key that never leaves its holder: the keyring, or an outside key service.

    What `wrap` gave for a context, `unwrap_all` opens with that context; with another one, or with one byte of it
    changed, that item alone is a CiphertextError, and the others are opened all the same. Many are opened at once,
    because a list needs up to 200 keys and an outside service answers one question faster than 200.
    Every method that asks an outside service raises KeyringError when it can't be asked.
    """

    async def current(self) -> str:
        """The name of the key that `wrap` uses."""
        ...

    def key_name(self, wrapped: bytes) -> str:
        """The name of the key that a wrapped key needs, unauthenticated. Raises CiphertextError."""
        ...

    async def wrap(self, data_key: bytes, *, context: bytes) -> bytes:
        """The 32-byte `data_key` encrypted and bound to `context`. Raises KeyringError."""
        ...

    async def unwrap_all(self, items: Sequence[WrappedItem]) -> list[bytes | CiphertextError]:
        """For each item its 32-byte data key, or why there is none."""
        ...

    async def rewrap_all(self, items: Sequence[WrappedItem]) -> list[bytes | CiphertextError]:
        """For each item the same data key wrapped by the current key, or why there is none."""
        ...

    async def require_usable(self) -> None:
        """Before anything begins: raises KeyringError, with the remedy, unless it wraps and unwraps."""
        ...

    def close(self) -> None:
        """Ends what it holds open."""
        ...


class KeyringEncryption:
    """The keyring as it is on disk now: a key that another process added is found, and soon wraps here too.

    Without `path` the keyring came from the environment and stays as it is until the process ends.

    Nothing may be wrapped by a key that is about to be retired. So whoever holds this calls `look_again` whenever the
    epoch rose, and where the file can't be read then, reading goes on with the keys in memory and wrapping is refused.
    """

    def __init__(self, keyring: Keyring, path: Path | None = None) -> None:
        self._keyring = keyring
        self._path = path
        self._seen = stamp_of(path) if path is not None else None
        self._unreadable: KeyringError | None = None

    async def current(self) -> str:
        """See the protocol."""
        return self._keyring.current_id

    def key_name(self, wrapped: bytes) -> str:
        """See the protocol."""
        return peek_key_id(wrapped)

    async def wrap(self, data_key: bytes, *, context: bytes) -> bytes:
        """See the protocol."""
        if self._unreadable is not None:
            raise self._unreadable
        return self._keyring.wrap(data_key, context=context)

    async def unwrap_all(self, items: Sequence[WrappedItem]) -> list[bytes | CiphertextError]:
        """See the protocol."""
        return [self._unwrapped(item) for item in items]

    async def rewrap_all(self, items: Sequence[WrappedItem]) -> list[bytes | CiphertextError]:
        """See the protocol."""
        return [
            found if isinstance(found, CiphertextError) else await self.wrap(found, context=item.context)
            for item, found in zip(items, await self.unwrap_all(items), strict=True)
        ]

    async def require_usable(self) -> None:
        """A keyring that was loaded is usable."""

    def close(self) -> None:
        """Holds nothing open."""

    def look_again(self) -> None:
        """Reads the file if it is another than the one that was read. It is small and local."""
        if self._path is None:
            return
        stamp = stamp_of(self._path)
        if stamp == self._seen and self._unreadable is None:
            return
        try:
            self._keyring, self._unreadable = Keyring.load(self._path), None
        except KeyringError as error:
            log.error("the keyring can't be read again; nothing is wrapped until it can", trouble=str(error))
            self._unreadable = error
        else:
            self._seen = stamp

    def _unwrapped(self, item: WrappedItem) -> bytes | CiphertextError:
        try:
            try:
                return self._keyring.unwrap(item.wrapped, context=item.context)
            except UnknownKeyError:
                self.look_again()
                return self._keyring.unwrap(item.wrapped, context=item.context)
        except CiphertextError as error:
            return error
