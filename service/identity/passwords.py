"""Passwords: argon2id, hashed off the event loop, the same work for accounts that exist and that don't.

Parameters are OWASP's Password Storage Cheat Sheet ("Argon2id: m=19456 (19 MiB), t=2, p=1"); rules follow
NIST SP 800-63B 3.1.1 (length and a blocklist, no composition rules, NFKC before hashing).
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from service.errors import Code, Problems, Refused

T = TypeVar("T")

SHORTEST = 12
LONGEST = 256
FEWEST_DIFFERENT = 5
THREADS = 2
WAITING_MOST = 100

# Common ones that pass the length rule; shorter ones are refused by it.
COMMON = frozenset(
    {
        "000000000000", "111111111111", "123456789012", "1234567890123", "1234567891011", "012345678910",
        "123456789abc", "1234567890ab", "1234567890qwe", "1234qwerasdf", "1q2w3e4r5t6y", "1q2w3e4r5t6y7u",
        "1qaz2wsx3edc", "1qaz2wsx3edc4rfv", "123123123123", "123qweasdzxc", "a123456789012", "aa1234567890",
        "abc123456789", "abcd12345678", "abcd1234abcd", "abcdefghijkl", "admin1234567", "admin12345678",
        "administrator", "administrator1", "asdfghjkl123", "asdfghjkl;'", "changeme1234", "changemeplease",
        "iloveyou1234", "letmein12345", "letmeinplease", "p@ssw0rd1234", "p@ssword1234", "passw0rd1234",
        "password1234", "password12345", "password123456", "passwordpassword", "qazwsxedcrfv", "qazwsxedc123",
        "qq1234567890", "qwerty123456", "qwertyqwerty", "qwertyuiop12", "qwertyuiop123", "qwertyuiop[]",
        "qwertyuiopas", "superman1234", "trustno1trustno1", "wang1234567890", "welcome12345", "welcome123456",
        "woaini123456", "woaini1314520", "woaini520520", "zaq12wsxcde3", "zxcvbnm12345", "zxcvbnmasdfghjkl",
        "correcthorsebatterystaple",
    }
)  # fmt: skip


def check_password(problems: Problems, password: object, email: str, field: str = "password") -> None:
    """Adds REQUIRED, TOO_LONG, INVALID_FORMAT or WEAK_PASSWORD. `email` is the account's, in lower case."""
    if not isinstance(password, str) or not password:
        problems.add(Code.REQUIRED, field)
        return
    if len(password) > LONGEST:
        problems.add(Code.TOO_LONG, field, limit=LONGEST)
        return
    if not password.isascii() and not _encodable(password):
        problems.add(Code.INVALID_FORMAT, field, reason="Unicode")
        return
    normal = unicodedata.normalize("NFKC", password)
    plain = normal.casefold()
    local, _, _ = email.partition("@")
    weak = len(normal) < SHORTEST or plain in COMMON or len(set(plain)) < FEWEST_DIFFERENT or plain in (email, local)
    if weak:
        problems.add(Code.WEAK_PASSWORD, field, limit=SHORTEST)


def generated_password() -> str:
    """A random initial password: 120 bits, 20 letters of base64url."""
    return secrets.token_urlsafe(15)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hashable(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password[: LONGEST + 1]).encode("utf-8", "surrogatepass")


def owasp_hasher() -> PasswordHasher:
    """argon2id with the parameters in force."""
    return PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)


class Passwords:
    """Hashes in THREADS threads; at most WAITING_MOST wait, further ones get Refused THROTTLED."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or owasp_hasher()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._turn = asyncio.Semaphore(THREADS)
        self._waiting = 0
        self._nobodys = self._hasher.hash(secrets.token_bytes(32))

    async def hash(self, password: str) -> str:
        """The encoded argon2id hash, parameters and salt included. Raises Refused THROTTLED."""
        return await self._run(lambda: self._hasher.hash(_hashable(password)))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether the password is right. None (no such account) takes the same work and is never right.
        Raises Refused THROTTLED.
        """
        right = await self._run(lambda: self._matches(encoded or self._nobodys, password))
        return right and encoded is not None and len(password) <= LONGEST

    def _matches(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, _hashable(password))
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, encoded: str) -> bool:
        """Whether the hash was made with other parameters than those in force."""
        return self._hasher.check_needs_rehash(encoded)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MOST:
            raise Refused(Code.THROTTLED, seconds=5)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Ends the threads; work under way is finished."""
        self._pool.shutdown(wait=True, cancel_futures=True)
