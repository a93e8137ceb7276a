"""The cache folder, and the fingerprints of large files that are remembered there.

A fingerprint is ``sha256:`` and 64 hex digits of a file's contents. Hashing a published weight file
takes many seconds, so that of a large file is remembered in the cache folder for as long as the
file's size and time of change stay the same.
"""

import hashlib
import json
import logging
import os
from pathlib import Path

from ..errors import WriteError
from ..files import write_atomically

logger = logging.getLogger(__name__)

REMEMBERED_BYTES = 64 * 2**20  # hashes in about 0.1 s; the hash of a larger file is remembered


def cache_dir() -> Path:
    """The folder for downloads and what is computed from them.

    ``$ANYBIND_CACHE``, else ``$XDG_CACHE_HOME/anybind``, else ``~/.cache/anybind``.
    """
    chosen = os.environ.get("ANYBIND_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "anybind"


def fingerprint(path: str | os.PathLike[str]) -> str:
    """``sha256:...`` of a file's contents."""
    path = Path(path)
    if path.stat().st_size >= REMEMBERED_BYTES:
        try:
            return str(json.loads(_note(path).read_text())["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not hashed yet, or an unreadable note: hash again
    with path.open("rb") as file:
        found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    remember_fingerprint(path, found)
    return found


def remember_fingerprint(path: Path, found: str) -> None:
    """Spare the next :func:`fingerprint` of a large file the hashing.

    A cache folder that cannot be written costs time, not correctness, and is not an error.
    """
    if path.stat().st_size < REMEMBERED_BYTES:
        return
    note = _note(path)
    content = json.dumps({"path": str(path.resolve()), "fingerprint": found}) + "\n"
    try:
        write_atomically(note, content.encode())
    except WriteError as error:
        logger.warning("cannot remember the fingerprint of %s: %s", path, error)


def _note(path: Path) -> Path:
    """Where the fingerprint of this state of a file is remembered."""
    stat = path.stat()
    key = f"{path.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}"
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return cache_dir() / "fingerprints" / f"{name}.json"
