"""Who may ask: API keys, and how often each may.

A key is 256 random bits, shown once when it is made; the file holds a salted SHA-256 of it, a line
a key: ``name:role:sha256$salt$hash``. Slow hashes (scrypt, argon2) protect passwords, which can be
guessed one after the other; nobody guesses 256 bits, so here a slow hash would only give whoever
sends wrong keys a way to keep the server busy.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import mkstemp

from filelock import FileLock

from ..encoders.media import one_line
from ..errors import UsageError
from ..files import fsync_dir, writing

logger = logging.getLogger(__name__)

PREFIX = "ab_"  # by which leaked keys are found in code and logs
KEY_BYTES = 32
SALT_BYTES = 16
MAX_TOKEN = 256  # characters; ours have 46
MAX_BUCKETS = 10_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LINE = re.compile(
    rf"(?P<name>{NAME.pattern}):(?P<role>[a-z]+)"
    r":sha256\$(?P<salt>[0-9a-f]{32})\$(?P<hash>[0-9a-f]{64})"
)
FORMAT = "name:role:sha256$salt$hash"
OTHERS_WRITE = 0o022  # bits of a file's mode


class Role(StrEnum):
    """What a key opens."""

    USER = "user"  # queries
    ADMIN = "admin"  # queries, and what changes the server, such as a reload


@dataclass(frozen=True, kw_only=True)
class Key:
    """Whose key a request brought."""

    name: str
    role: Role


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One line of the file."""

    key: Key
    salt: bytes
    hash: bytes


class Keys:
    """The keys of a file, read again when it changes.

    A change that cannot be read is logged, and the keys from before it stay valid.
    """

    def __init__(self, path: Path, entries: Sequence[_Entry], stamp: tuple[int, ...]) -> None:
        self._path = path
        self._entries = entries
        self._stamp = stamp

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Keys":
        """Read a file of keys.

        Raises:
            UsageError: There is no such file, others may write it, a line is none of a key, or it
                holds no key.
        """
        path = Path(path)
        stamp = _stamp(path)
        return cls(path, _read(path), stamp)

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, token: str) -> Key | None:
        """Whose key this is, or None. Takes as long for every token: all lines are compared."""
        self._refresh()
        sent = token.encode("utf-8", "replace")
        found: Key | None = None
        for entry in self._entries:
            if hmac.compare_digest(_hashed(sent[:MAX_TOKEN], entry.salt), entry.hash):
                found = entry.key
        return found if len(sent) <= MAX_TOKEN else None

    def _refresh(self) -> None:
        """Read the file again if it is another one than last time."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._entries = _read(self._path)
        except UsageError as error:
            logger.error("kept the old keys n=%d: %s", len(self._entries), error)
        else:
            logger.info("read keys n=%d", len(self._entries))


def new_key(path: str | os.PathLike[str], name: str, role: Role = Role.USER) -> str:
    """Add a key to a file, which is made if there is none, and return it: nothing else knows it.

    The file is replaced as a whole, and only its owner may read it.

    Args:
        path: The file of keys.
        name: Whose key it is, for logs and limits.
        role: What it opens.

    Raises:
        UsageError: The name is taken or malformed, or the file cannot be read.
        WriteError: The file cannot be written.
    """
    path = Path(path)
    if not NAME.fullmatch(name):
        raise UsageError(
            f"a key cannot be called {name!r}; use up to 64 letters, digits, dots, dashes and _"
        )
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            content = _text(path) if path.exists() else ""
            if any(entry.key.name == name for entry in _parse(content, path)):
                raise UsageError(f"{path} has a key called {name} already; choose another name")
            token = PREFIX + secrets.token_urlsafe(KEY_BYTES)
            salt = secrets.token_bytes(SALT_BYTES)
            line = f"{name}:{role}:sha256${salt.hex()}${_hashed(token.encode(), salt).hex()}\n"
            if content and not content.endswith("\n"):
                content += "\n"
            _replace_private(path, (content + line).encode())
    return token


def _replace_private(path: Path, content: bytes) -> None:
    """Give a file new content, all of it or none; no other user may read it at any moment."""
    handle, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}.")  # its mode is 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync_dir(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _hashed(token: bytes, salt: bytes) -> bytes:
    return hashlib.sha256(salt + token).digest()


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file is written, replaced or removed."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_mode


def _text(path: Path) -> str:
    """What a file of keys holds."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the keys in {path} cannot be read: {one_line(error)}; give a file that "
            "anybind serve-key new made"
        ) from None


def _read(path: Path) -> Sequence[_Entry]:
    """The keys of a file, at least one, that only its owner can change."""
    content = _text(path)
    if os.name == "posix" and path.stat().st_mode & OTHERS_WRITE:
        raise UsageError(f"{path} may be written by others than its owner; chmod 600 it")
    entries = _parse(content, path)
    if not entries:
        raise UsageError(
            f"{path} holds no key, so nobody could ask; make one: "
            f"anybind serve-key new --file {path} --name NAME"
        )
    return entries


def _parse(content: str, path: Path) -> Sequence[_Entry]:
    """The keys in a text; empty lines and those that begin with # are left out."""
    entries: list[_Entry] = []
    lines_of: dict[str, int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = LINE.fullmatch(line)
        if found is None or found["role"] not in list(Role):
            raise UsageError(
                f"{path} line {number} is no key; expected {FORMAT}, "
                f"of which the role is {' or '.join(Role)}"
            )
        name = found["name"]
        if name in lines_of:
            raise UsageError(f"{path} line {number}: {name} is in line {lines_of[name]} already")
        lines_of[name] = number
        entries.append(
            _Entry(
                key=Key(name=name, role=Role(found["role"])),
                salt=bytes.fromhex(found["salt"]),
                hash=bytes.fromhex(found["hash"]),
            )
        )
    return entries


class TokenBucket:
    """Lets ``burst`` requests through at once, then ``rate`` a second."""

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError(f"a rate of {rate} and a burst of {burst} let nothing through")
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled = clock()

    def take(self) -> float:
        """0 if a request may pass, which counts it; else the seconds until one may."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled) * self._rate, self._burst)
        self._filled = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0


class RateLimiter:
    """A bucket for each who asks; for one thread, such as an event loop's.

    Of more than ``max_buckets`` the one that rested longest is forgotten, which fills it: without
    harm if it has rested for ``burst / rate`` seconds, as it is full by then anyway.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        max_buckets: int = MAX_BUCKETS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._max_buckets = max_buckets
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str) -> float:
        """As :meth:`TokenBucket.take`, of the bucket of ``name``."""
        bucket = self._buckets.pop(name, None)
        if bucket is None:
            bucket = TokenBucket(self._rate, self._burst, self._clock)
            if len(self._buckets) >= self._max_buckets:
                self._buckets.popitem(last=False)
        self._buckets[name] = bucket
        return bucket.take()
