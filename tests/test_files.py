"""anybind.files: complete or absent."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from anybind.errors import WriteError
from anybind.files import atomic_path, remove, sha256_file, write_atomically, writing


def test_a_file_appears_under_its_name_only_when_complete(tmp_path: Path) -> None:
    """While the block runs, the older content is what a reader sees."""
    target = tmp_path / "deep" / "file"
    write_atomically(target, b"old")
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


def test_a_failing_block_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    """Ctrl-C is the least polite of the exceptions."""
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    """A kill runs no cleaning, so the temporary name is still there when the next run begins."""
    leftover = tmp_path / ".folder.tmp"
    leftover.mkdir()
    (leftover / "half").write_bytes(b"half")
    with atomic_path(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "whole").write_bytes(b"whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "whole"]


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    """As when a generation was renamed but its manifest was never written."""
    for name in ("first", "second"):
        with atomic_path(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["second"]


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system reports it when data is flushed (delayed allocation) or while writing."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="disk is full; what was complete is kept") as caught:
        write_atomically(tmp_path / "file", b"content")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error in fwrite: write error: 1 != 4096 (No space left on device)"),  # FAISS
        ValueError("(sqlite3.OperationalError) database or disk is full"),  # SQLite
    ],
)
def test_libraries_report_a_full_disk_in_their_own_words(error: Exception, tmp_path: Path) -> None:
    """The words are those of the libraries' own messages."""
    with pytest.raises(WriteError, match="disk is full"), writing(tmp_path):
        raise error


def test_other_failures_of_the_block_are_not_relabelled(tmp_path: Path) -> None:
    """A bug must look like a bug."""
    with pytest.raises(ValueError, match="unit rows"), writing(tmp_path):
        raise ValueError("embeddings are unit rows")


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands where a folder is needed."""
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"cannot write .*file/inside"):
        write_atomically(tmp_path / "file" / "inside", b"")


def test_sha256_is_that_of_the_whole_content(tmp_path: Path) -> None:
    """hashlib on the content at once; the file is longer than one chunk."""
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_removing_a_link_keeps_what_it_points_to(tmp_path: Path) -> None:
    """A link to a folder is removed as a link, never followed."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    remove(tmp_path / "link")
    remove(tmp_path / "absent")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_private_file_of_a_library_becomes_readable(tmp_path: Path) -> None:
    """safetensors writes for the owner alone; the reference is a file that Python makes."""
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    with atomic_path(tmp_path / "file") as temporary:
        temporary.touch(mode=0o600)
    assert (tmp_path / "file").stat().st_mode == ordinary.stat().st_mode
