"""Opening media: whatever is wrong with a source is said in one line that names it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anybind.encoders.media import as_array, open_bytes
from anybind.errors import MediaError


def test_paths_bytes_and_files_are_read_from_their_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a b.bin"
    path.write_bytes(b"content")
    with path.open("rb") as file:
        file.read(3)
        for source in (path, str(path), b"content", file, io.BytesIO(b"content")):
            with open_bytes(source) as opened:
                assert opened.read() == b"content"
        assert not file.closed


def test_streams_that_cannot_seek_are_buffered() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"content")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, open_bytes(pipe) as opened:
        opened.seek(3)
        assert opened.read() == b"tent"


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.touch()
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    closed = io.BytesIO(b"content")
    closed.close()
    expected: list[tuple[object, str]] = [
        (tmp_path / "no.jpg", r"no\.jpg does not exist"),
        (tmp_path, "is a folder"),
        ("/dev/null", "is a special file"),
        (empty, r"empty\.jpg is empty"),
        (b"", "is empty"),
        (loop, "cannot be opened"),
        ("a\0b", "cannot be opened"),
        ("https://example.org/dog.jpg", "is a URL"),
        (io.StringIO("text"), "binary mode"),
        (closed, "closed"),
        (7, "give a path, bytes"),
    ]
    for source, reason in expected:
        with pytest.raises(MediaError, match=reason) as caught, open_bytes(source):
            pass
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied_is_said(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"content")
    path.chmod(0)
    with pytest.raises(MediaError, match="permission denied"), open_bytes(path):
        pass


def test_tensors_become_arrays() -> None:
    """bfloat16, which numpy lacks, becomes float32; gradients are no obstacle."""
    torch = pytest.importorskip("torch")
    values = np.array([[1.5, -2.0], [0.25, 8.0]], np.float32)
    tensor = torch.from_numpy(values)
    for item in (tensor, tensor.clone().requires_grad_(), tensor.bfloat16(), values):
        array = as_array(item)
        assert array is not None
        np.testing.assert_array_equal(array, values, strict=True)
    assert as_array([1, 2]) is None


def test_preparing_media_needs_no_torch() -> None:
    """Decode workers start with these modules; torch would cost them seconds and memory."""
    names = "images text audio video clouds maps imu".split()
    imports = "; ".join(f"import anybind.encoders.{name}" for name in names)
    code = f"{imports}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
