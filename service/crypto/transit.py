"""Vault's transit engine (or OpenBao's, which has the same API) as the holder of the key-encryption key.

Source: developer.hashicorp.com/vault/api-docs/secret/transit. Used are `encrypt`, `decrypt` and `rewrap` with
`batch_input`, and reading the key's latest version. The key must be made with `derived=true`: then Vault derives a
key for each context, which binds a wrapped key to its place.

Wrapped keys of the keyring's own format are opened by the keyring, so that an installation can move to Vault:
`anjuan rotate-keys` wraps everything anew. Blocking calls run in a few threads of their own.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3

from service.crypto.derivation import KEY_SIZE
from service.crypto.encryption import KeyEncryption, WrappedItem
from service.crypto.errors import CiphertextError, KeyringError

TRANSIT_FORMAT = 2
THREADS = 4
AT_ONCE = 250
CONNECT_SECONDS, ANSWER_SECONDS = 3, 10
_TEXT = re.compile(rb"vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/=]{16,1000}")
_PROBE = WrappedItem(bytes(KEY_SIZE), b"anjuan/probe")


class TransitEncryption:
    """See `KeyEncryption`. `url` is Vault's address, `key` the name of the transit key, `keyring` what opens keys that
    were wrapped before. Raises KeyringError when Vault refuses or does not answer; no text holds the token.
    """

    def __init__(self, url: str, token: str, key: str, keyring: KeyEncryption, *, mount: str = "transit") -> None:
        self._url = url.rstrip("/")
        self._where = urlsplit(url).netloc.rpartition("@")[2]
        self._token = token
        self._key = key
        self._keyring = keyring
        self._mount = mount
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="vault")
        self._http = urllib3.PoolManager(
            maxsize=THREADS,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
            retries=urllib3.Retry(total=2, backoff_factor=0.1, status=0, redirect=0, allowed_methods=None),
        )

    async def current(self) -> str:
        """See the protocol; Vault's own rotation (`vault write -f transit/keys/NAME/rotate`) changes it."""
        found = await self._ask("GET", "keys")
        version = found.get("latest_version")
        if type(version) is not int:
            raise self._trouble("answers without the key's latest version")
        return f"vault:v{version}"

    def key_name(self, wrapped: bytes) -> str:
        """See the protocol."""
        if wrapped[:1] != bytes([TRANSIT_FORMAT]):
            return self._keyring.key_name(wrapped)
        match = _TEXT.fullmatch(wrapped, 1)
        if match is None:
            raise CiphertextError
        return f"vault:v{match[1].decode()}"

    async def wrap(self, data_key: bytes, *, context: bytes) -> bytes:
        """See the protocol. ValueError for a key that isn't 32 bytes."""
        if len(data_key) != KEY_SIZE:
            raise ValueError("a data key has 32 bytes")
        (wrapped,) = await self._encrypted([WrappedItem(data_key, context)])
        return wrapped

    async def unwrap_all(self, items: Sequence[WrappedItem]) -> list[bytes | CiphertextError]:
        """See the protocol."""
        ours, theirs = self._divided(items)
        found = dict(zip(ours, await self._keyring.unwrap_all([items[place] for place in ours]), strict=True))
        found |= await self._answered("decrypt", items, theirs, "plaintext")
        return [found[place] for place in range(len(items))]

    async def rewrap_all(self, items: Sequence[WrappedItem]) -> list[bytes | CiphertextError]:
        """See the protocol. What Vault wrapped never leaves it."""
        ours, theirs = self._divided(items)
        found: dict[int, bytes | CiphertextError] = {}
        opened: dict[int, bytes] = {}
        for place, key in zip(ours, await self._keyring.unwrap_all([items[place] for place in ours]), strict=True):
            if isinstance(key, CiphertextError):
                found[place] = key
            else:
                opened[place] = key
        wrapped = await self._encrypted([WrappedItem(key, items[place].context) for place, key in opened.items()])
        found |= dict(zip(opened, wrapped, strict=True))
        found |= await self._answered("rewrap", items, theirs, "ciphertext")
        return [found[place] for place in range(len(items))]

    async def require_usable(self) -> None:
        """See the protocol. A key that ignores the context is refused: nothing would bind wrapped keys to their place."""
        wrapped = await self.wrap(_PROBE.wrapped, context=_PROBE.context)
        opened, elsewhere = await self.unwrap_all(
            [WrappedItem(wrapped, _PROBE.context), WrappedItem(wrapped, b"anjuan/elsewhere")]
        )
        if opened != _PROBE.wrapped:
            raise self._trouble("does not open what it wrapped. The token needs encrypt, decrypt, rewrap and read")
        if not isinstance(elsewhere, CiphertextError):
            raise self._trouble(f"has a key {self._key} that ignores the context. Make one with derived=true")

    def close(self) -> None:
        """See the protocol."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.clear()
        self._keyring.close()

    def _divided(self, items: Sequence[WrappedItem]) -> tuple[list[int], list[int]]:
        """The places of the keyring's items and of Vault's."""
        ours: list[int] = []
        theirs: list[int] = []
        for place, item in enumerate(items):
            (theirs if item.wrapped[:1] == bytes([TRANSIT_FORMAT]) else ours).append(place)
        return ours, theirs

    async def _encrypted(self, items: Sequence[WrappedItem]) -> list[bytes]:
        """`items` have plain keys in the place of wrapped ones."""
        asked = [{"plaintext": _coded(key), "context": _coded(context)} for key, context in items]
        wrapped: list[bytes] = []
        for result in await self._batch("encrypt", asked):
            text = str(result.get("ciphertext", "")).encode()
            if not _TEXT.fullmatch(text):
                raise self._trouble("does not wrap. Look at the key's type and its derived=true")
            wrapped.append(bytes([TRANSIT_FORMAT]) + text)
        return wrapped

    async def _answered(
        self, verb: str, items: Sequence[WrappedItem], places: Sequence[int], name: str
    ) -> dict[int, bytes | CiphertextError]:
        """What Vault makes of some items; what isn't Vault's form is never sent."""
        found: dict[int, bytes | CiphertextError] = {place: CiphertextError() for place in places}
        sent = [place for place in places if _TEXT.fullmatch(items[place].wrapped, 1)]
        asked = [
            {"ciphertext": items[place].wrapped[1:].decode(), "context": _coded(items[place].context)} for place in sent
        ]
        for place, result in zip(sent, await self._batch(verb, asked), strict=True):
            if not result.get("error"):
                found[place] = _key_of(result, name)
        return found

    async def _batch(self, verb: str, asked: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        """One result for each; Vault answers 400 when some of them fail, and tells which."""
        results: list[dict[str, Any]] = []
        for start in range(0, len(asked), AT_ONCE):
            part = asked[start : start + AT_ONCE]
            answer = (await self._ask("POST", verb, {"batch_input": part})).get("batch_results")
            if not isinstance(answer, list) or len(answer) != len(part):
                raise self._trouble("answers in another form than Vault's")
            results += answer
        return results

    async def _ask(self, method: str, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`data` of the answer, whatever its status, if it has one. Raises KeyringError."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._asked, method, verb, body)

    def _asked(self, method: str, verb: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        url = f"{self._url}/v1/{self._mount}/{verb}/{quote(self._key, safe='')}"
        headers = {"X-Vault-Token": self._token, "X-Vault-Request": "true"}
        try:
            answer = self._http.request(method, url, headers=headers, body=json.dumps(body) if body else None)
            found = json.loads(answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise self._trouble(f"can't be reached ({type(error).__name__})") from None
        except ValueError:
            raise self._trouble("answers in another form than Vault's") from None
        data = found.get("data") if isinstance(found, dict) else None
        if isinstance(data, dict):
            return data
        if answer.status == 403:
            raise self._trouble(f"refuses: the token lacks the right, or there is no transit key {self._key}")
        told = [
            text for text in (found.get("errors") or [] if isinstance(found, dict) else []) if isinstance(text, str)
        ]
        missing = any("key not found" in text for text in told) or answer.status == 404
        raise self._trouble(f"has no transit key {self._key}" if missing else f"answers with status {answer.status}")

    def _trouble(self, what: str) -> KeyringError:
        return KeyringError(f"the key service at {self._where} {what}. ANJUAN_VAULT_URL names it")


def _coded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _key_of(result: Mapping[str, Any], name: str) -> bytes | CiphertextError:
    text = result.get(name)
    if not isinstance(text, str):
        return CiphertextError()
    if name == "ciphertext":
        return bytes([TRANSIT_FORMAT]) + text.encode() if _TEXT.fullmatch(text.encode()) else CiphertextError()
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return CiphertextError()
    return key if len(key) == KEY_SIZE else CiphertextError()
