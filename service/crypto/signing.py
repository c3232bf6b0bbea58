"""Signing keys of a running process: those that the keyring file has now, and the file's rewriting.

A process notices a rewritten keyring by the file's stamp (inode, size, times), which costs one `stat`: at each
signature, at each key id that it does not know, and whenever the epoch rises. The file itself is read once for each
time that it was rewritten, however many tokens with made-up key ids arrive (P9). Other processes sign with a new key
from the moment that it stands in the file, and whoever meets its id looks at the same file: nobody is refused.

Only signing keys are taken from a rewritten file here; what opens stored data stays as it was loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from service.clock import now
from service.crypto.errors import KeyringError
from service.crypto.files import stamp_of
from service.crypto.keyring import Keyring, new_signing_key, rewrite_keyring

log = structlog.get_logger("anjuan.keyring")


class LivingSigningKeys:
    """What identity signs and verifies with. `path` None: the keyring came from the environment and never changes."""

    def __init__(self, keyring: Keyring, path: Path | None = None) -> None:
        self._keyring = keyring
        self._signing = keyring
        self._path = path
        # Unknown, so that what was rewritten since the keyring was loaded is noticed too.
        self._stamp: tuple[int, int, int, int] | None = None

    def signing_key(self) -> tuple[str, Ed25519PrivateKey]:
        """The key in force and its id."""
        self.look_again()
        return self._signing.signing_key()

    def verification_key(self, kid: str) -> Ed25519PublicKey | None:
        """A key that may have signed a living token; for an unknown id the file is looked at first."""
        found = self._signing.verification_keys().get(kid)
        if found is None and self.look_again():
            found = self._signing.verification_keys().get(kid)
        return found

    def secret(self, purpose: str) -> bytes:
        """The keyring's own secret for this purpose; no rotation changes it."""
        return self._keyring.secret(purpose)

    def look_again(self) -> bool:
        """Takes the signing keys of a rewritten file; whether there was one. What can't be read leaves them as they
        were, and is said once.
        """
        if self._path is None:
            return False
        stamp = stamp_of(self._path)
        # `anjuan doctor` tells of a missing keyring; who is signed in stays so.
        if stamp is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._signing = Keyring.load(self._path)
        except KeyringError:
            log.warning("the rewritten keyring can't be read; its former signing keys stay in use")
            return False
        return True


def announce_signing_key(path: Path) -> str:
    """Adds a key that verifies but does not sign yet, for machines that get their keyring one after the other; its id.
    Raises KeyringError when one is announced already.
    """

    def change(keyring: dict[str, Any]) -> str:
        if _announced(keyring) is not None:
            raise KeyringError("a signing key is announced already; put it in force: anjuan rotate-signing-key")
        return _append_key(keyring)

    return rewrite_keyring(path, change)[1]


def rotate_signing_key(path: Path) -> tuple[str, str]:
    """Puts the announced key in force, or a new one; ids of the former key, which stays to verify, and of the new one.
    Raises KeyringError.
    """

    def change(keyring: dict[str, Any]) -> tuple[str, str]:
        former = str(keyring["signing_current"])
        current = _announced(keyring) or _append_key(keyring)
        keyring["signing_current"] = current
        keyring["signing_since"] = now().isoformat()
        return former, current

    return rewrite_keyring(path, change)[1]


def retire_signing_keys(path: Path, lived: timedelta | None) -> list[str]:
    """Removes the keys before the one in force; their ids. `lived`: how long that one must have been in force, so that
    no living token was signed with a former one; None removes them at once, with the tokens that they signed.

    Raises KeyringError when it is too early, or nobody knows.
    """

    def change(keyring: dict[str, Any]) -> list[str]:
        keys = keyring["signing_keys"]
        place = [key["kid"] for key in keys].index(keyring["signing_current"])
        former = [str(key["kid"]) for key in keys[:place]]
        if former and lived is not None:
            _require_lived(keyring.get("signing_since"), lived)
        keyring["signing_keys"] = keys[place:]
        return former

    return rewrite_keyring(path, change)[1]


def _require_lived(since: object, lived: timedelta) -> None:
    try:
        moment = datetime.fromisoformat(str(since))
        left = lived - (now() - moment)
    except (ValueError, TypeError):
        raise KeyringError("nobody knows since when the current key signs; rotate once more, then retire") from None
    if left > timedelta():
        seconds = int(left.total_seconds()) + 1
        raise KeyringError(f"tokens signed with a former key may live for another {seconds} s; retire it then")


def _announced(keyring: Mapping[str, Any]) -> str | None:
    """The key after the one in force, if there is one: keys stand in the order in which they come into force."""
    kids = [str(key["kid"]) for key in keyring["signing_keys"]]
    later = kids[kids.index(keyring["signing_current"]) + 1 :]
    return later[0] if later else None


def _append_key(keyring: dict[str, Any]) -> str:
    made = new_signing_key()
    keyring["signing_keys"].append(made)
    return made["kid"]
