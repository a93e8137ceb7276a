"""Files that are either complete under their name or absent, whatever interrupts the writing.

A file is written under a temporary name in the same folder, flushed to the disk, and renamed. The
temporary name is always the same, so what a killed run left behind is overwritten by the next.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import AnyBindError, WriteError

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
HASH_CHUNK_BYTES = 1 << 20


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure of the disk, in the block, into one line that names the file.

    Libraries written in C report a full disk as a RuntimeError or as their own class with the
    system's words in it, so those words are looked for as well.

    Raises:
        WriteError: The disk is full, the folder cannot be written, the device failed.
    """
    try:
        yield
    except AnyBindError:
        raise
    except Exception as error:
        words = str(error).lower()
        full = "no space left" in words or "disk is full" in words
        if full or (isinstance(error, OSError) and error.errno in DISK_FULL):
            raise WriteError(
                f"cannot write {path}: the disk is full; what was complete is kept, "
                "free some space and run the same command again"
            ) from error
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise WriteError(f"cannot write {path}: {reason}") from error
        raise


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which takes the name ``path`` once the block is left.

    The block may write a file or make a folder; folders above are created. If the block raises,
    nothing stays behind and an older ``path`` is untouched. A file may be read by whom the umask
    lets, also when a library writes it for its owner alone.

    Raises:
        WriteError: The disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        temporary.touch()
        mode = temporary.stat().st_mode
        temporary.unlink()
        try:
            yield temporary
            if temporary.is_file() and not temporary.is_symlink():
                temporary.chmod(mode)
            _flush(temporary)
            if temporary.is_dir() and path.is_dir():
                remove(path)  # a folder is renamed only over nothing
            os.replace(temporary, path)
            fsync_dir(path.parent)
        except BaseException:
            with suppress(OSError):
                remove(temporary)
            raise


def write_atomically(path: Path, content: bytes) -> None:
    """Give ``path`` this content, all of it or none; raises as :func:`atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing happens when it is absent."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fsync_dir(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    """Bring a file, or every file of a folder and the folder itself, onto the disk."""
    if path.is_symlink():
        return
    if path.is_dir():
        for child in path.iterdir():
            _flush(child)
        fsync_dir(path)
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())
