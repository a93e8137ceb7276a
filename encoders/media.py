"""Opening media: what every loader shares, whatever the modality.

Media are untrusted. Whatever is wrong with an item (missing, empty, truncated, huge, not what it
claims to be) leaves a loader as one :class:`MediaError` of one line that starts with its name.
"""

import io
import math
import os
import pickle
import stat
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from ..errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer

Source = str | os.PathLike[str] | bytes | BinaryIO
Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

MAX_NUMBER_BYTES = 8  # of a double
MAX_ARRAY_HEAD = 65_536  # bytes in front of the numbers of an npy
MAX_FILE_BYTES = 4 * 2**30  # read from a file object that cannot seek
# What FFmpeg may take an item for: no playlists and scripts, which would open other files.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,flv,asf,mpeg,mpegts,mpegvideo,m4v,ogg,"
    "wav,w64,mp3,aac,flac,aiff,caf,amr,au,ac3,wv,ape,tta"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Waveform:
    """Sound as an array, with the rate that an array alone does not tell."""

    samples: Floats  # (channels, n), full scale is -1 to 1
    rate: int  # samples a second


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """Video as an array, with the rate that an array alone does not tell."""

    frames: Pixels  # (T, H, W, 3), RGB
    fps: float  # frames a second


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """A recording of an inertial sensor as an array, with its rate."""

    samples: Floats  # (6, n): accelerometer x y z in m/s², gyroscope x y z in rad/s
    rate: float  # samples a second


def label(item: object) -> str:
    """How messages name an item: its path if it has one."""
    if isinstance(item, str | os.PathLike):
        return os.fspath(item)
    name = getattr(item, "name", None)
    if isinstance(name, str):
        return name
    return f"<{len(item)} bytes>" if isinstance(item, bytes) else f"<{type(item).__name__}>"


def one_line(error: BaseException) -> str:
    """What another library said, fit for the end of a one-line message."""
    return " ".join(str(error).split()) or type(error).__name__


def is_source(item: object) -> bool:
    """Whether ``item`` is something :func:`open_bytes` opens."""
    return isinstance(item, str | os.PathLike | bytes) or hasattr(item, "read")


@contextmanager
def open_bytes(source: object) -> Iterator[BinaryIO]:
    """Open a path, bytes or a binary file object for reading, seekable and not empty.

    A file object is read from its beginning and stays open.

    Raises:
        MediaError: There is no such file, it cannot be read, or it has no bytes.
    """
    name = label(source)
    if isinstance(source, bytes):
        file: BinaryIO = io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        file = _open_path(source, name)
    elif hasattr(source, "read"):
        file = _seekable(cast(BinaryIO, source), name)
    else:
        raise MediaError(
            f"{name} cannot be opened; give a path, bytes, or a file object opened in binary mode"
        )
    try:
        if not file.read(1):
            raise MediaError(f"{name} is empty (0 bytes)")
        file.seek(0)
        yield file
    finally:
        if file is not source:
            file.close()


def _open_path(path: str | os.PathLike[str], name: str) -> BinaryIO:
    """Open a regular file; pipes and devices are refused, as they may never end."""
    if name.startswith(("http://", "https://")):
        raise MediaError(f"{name} is a URL; download it and give the path of the file")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "folder" if os.path.isdir(path) else "special file"
            raise MediaError(f"{name} is a {kind}; give the path of a file")
        return open(path, "rb")
    except FileNotFoundError:
        raise MediaError(f"{name} does not exist") from None
    except PermissionError:
        raise MediaError(f"{name} may not be read: permission denied") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise MediaError(f"{name!r} cannot be opened: {one_line(error)}") from None


def _seekable(file: BinaryIO, name: str) -> BinaryIO:
    """``file`` at its beginning, or its content if it cannot seek."""
    try:
        if file.seekable():
            file.seek(0)
            if not isinstance(file.read(0), bytes):
                raise MediaError(f"{name} was opened in text mode; open it in binary mode")
            return file
        content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError, AttributeError) as error:
        raise MediaError(f"{name} cannot be read: {one_line(error)}") from None
    if not isinstance(content, bytes):
        raise MediaError(f"{name} was opened in text mode; open it in binary mode")
    if len(content) > MAX_FILE_BYTES:
        raise MediaError(f"{name} has more than {MAX_FILE_BYTES:,} bytes")
    return io.BytesIO(content)


@contextmanager
def open_container(source: object, name: str | None = None) -> Iterator["InputContainer"]:
    """Open a sound or video file with PyAV (FFmpeg).

    Args:
        source: What :func:`open_bytes` opens.
        name: For messages, if it is not the source's own.

    Raises:
        MediaError: As :func:`open_bytes`; or FFmpeg finds it damaged, here or while it is used.
    """
    import av
    from av.error import FFmpegError

    name = name or label(source)
    options = {"format_whitelist": CONTAINERS}
    with open_bytes(source) as file:
        try:
            with av.open(file, "r", options=options, metadata_errors="replace") as container:
                yield container
        except (FFmpegError, ArithmeticError, ValueError, OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or one_line(error)
            raise MediaError(f"{name} is no sound or video, or damaged: {reason}") from None


def as_array(item: object) -> Array | None:
    """``item`` as numpy if it is an array or a torch tensor on any device, else None."""
    if isinstance(item, np.ndarray):
        return item
    if "torch" in sys.modules:  # else it cannot be a tensor, and torch is slow to import
        import torch

        if isinstance(item, torch.Tensor):
            tensor = item.detach().cpu()
            if tensor.dtype == torch.bfloat16:  # numpy has no such type
                tensor = tensor.float()
            return cast(Array, tensor.numpy())
    return None


def check_finite(array: Array, name: str) -> None:
    """Refuse an array with NaN or infinity."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        n_bad = int(array.size - np.isfinite(array).sum())
        raise MediaError(f"{name}: {n_bad} of {array.size} numbers are NaN or infinite")


def is_array_file(file: BinaryIO) -> bool:
    """Whether a file holds what :func:`load_array` reads: npy, npz or pt, of any age."""
    magic = file.read(6)
    file.seek(0)
    return magic.startswith((b"\x93NUMPY", b"PK\x03\x04", b"\x80"))


def load_array(file: BinaryIO, name: str, *, member: str, max_numbers: int) -> Array:
    """Read the one array of an ``npy``, ``npz`` or ``pt`` file, told apart by their content.

    Nothing is unpickled: object arrays are refused, and ``pt`` files may hold a tensor alone.

    Args:
        file: What :func:`open_bytes` opened.
        name: For messages.
        member: The array taken from an ``npz`` with several.
        max_numbers: More than this is refused before it is read.

    Raises:
        MediaError: It is no such file, or holds something else than one array of numbers.
    """
    try:
        magic = file.read(6)
        file.seek(0)
        if magic == b"\x93NUMPY":
            return _read_npy(file, name, max_numbers)
        if magic[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
                chosen = _choose(names, member, name)
                parts = archive.infolist() if chosen is None else [archive.getinfo(chosen)]
                n_bytes = sum(part.file_size for part in parts)  # no more is unpacked of a part
                head = 0 if chosen is None else MAX_ARRAY_HEAD
                if n_bytes > MAX_NUMBER_BYTES * max_numbers + head:
                    raise MediaError(f"{name} unpacks to {n_bytes:,} bytes; save a smaller array")
                if chosen is not None:
                    with archive.open(chosen) as inner:
                        return _read_npy(cast(BinaryIO, inner), name, max_numbers)
            file.seek(0)
        elif magic[:1] != b"\x80":  # how the pickles of older torch files begin
            raise MediaError(f"{name} is not an array file; give .npy, .npz or .pt")
        return _read_pt(file, name, max_numbers)
    except MediaError:
        raise
    except Exception as error:  # damaged files make these libraries raise almost anything
        raise MediaError(f"{name} is not a readable array file: {one_line(error)}") from None


def _choose(names: list[str], member: str, name: str) -> str | None:
    """The member of an ``npz`` to read: the only one, or the one called ``member``; None if the
    archive is torch's."""
    arrays = [n for n in names if n.endswith(".npy")]
    if not arrays:
        return None
    if len(arrays) == 1:
        return arrays[0]
    if f"{member}.npy" in arrays:
        return f"{member}.npy"
    found = ", ".join(n.removesuffix(".npy") for n in arrays[:8])
    raise MediaError(f"{name} holds several arrays ({found}); name the one to use {member!r}")


def _read_npy(file: BinaryIO, name: str, max_numbers: int) -> Array:
    """Read an ``npy`` stream; the header's promise is checked before memory is taken for it."""
    version = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read_header(file)
    _check_numbers(shape, dtype, name, max_numbers)
    n_bytes = math.prod(shape) * dtype.itemsize
    content = file.read(n_bytes)
    if len(content) < n_bytes:
        raise MediaError(f"{name} is truncated: {len(content):,} of {n_bytes:,} bytes")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _read_pt(file: BinaryIO, name: str, max_numbers: int) -> Array:
    """Read a tensor that torch saved."""
    import torch

    try:
        tensor = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise MediaError(
            f"{name} holds Python objects, which are not loaded; save one tensor"
        ) from None
    if not isinstance(tensor, torch.Tensor):
        raise MediaError(f"{name} holds a {type(tensor).__name__}; save one tensor")
    if tensor.numel() > max_numbers:
        raise MediaError(f"{name} has {tensor.numel():,} numbers; at most {max_numbers:,}")
    array = as_array(tensor)
    assert array is not None
    _check_numbers(array.shape, array.dtype, name, max_numbers)
    return array


def _check_numbers(
    shape: tuple[int, ...], dtype: np.dtype[np.generic], name: str, max_numbers: int
) -> None:
    """Refuse what is not an array of a sensible number of numbers."""
    if dtype.kind not in "fiu":
        raise MediaError(f"{name} holds {dtype}; save integers or floats")
    size = math.prod(shape)
    if min(shape, default=0) < 0:
        raise MediaError(f"{name} promises an array of shape {shape}, which cannot be")
    if size > max_numbers:
        raise MediaError(f"{name} has {size:,} numbers; at most {max_numbers:,}")
