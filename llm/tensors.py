"""Files of named tensors, of which only those asked for are read.

Safetensors, and what ``torch.save`` wrote: pickles are never run (``weights_only``), but for one
harmless class that training scripts leave in their checkpoints, ``argparse.Namespace``.
"""

import argparse
import errno
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import WeightsError

Shape = tuple[int, ...]

ZIP_MAGIC = b"PK\x03\x04"  # torch.save since torch 1.6 writes a zip, which can be mapped
NO_MEMORY = re.compile(  # in a RuntimeError: torch has a class of its own for GPUs alone
    r"DefaultCPUAllocator|out of memory"
)
NAMED_TENSORS = 2  # tensors a message names for each group; the rest are counted


class _Safetensors(Protocol):
    """What is used of safetensors' open files, which come without types."""

    def keys(self) -> list[str]: ...
    def metadata(self) -> dict[str, str] | None: ...
    def get_tensor(self, name: str) -> Tensor: ...
    def get_slice(self, name: str) -> "_Slice": ...


class _Slice(Protocol):
    def get_shape(self) -> list[int]: ...


@dataclass(frozen=True, kw_only=True)
class TensorFile:
    """Names and shapes in a file, and a tensor when asked for."""

    path: Path
    shapes: Mapping[str, Shape]  # by the file's own names
    get: Callable[[str], Tensor]  # on the CPU, possibly mapped from the file
    metadata: Mapping[str, str] = field(default_factory=dict)  # of a safetensors header

    def read(self, name: str) -> Tensor:
        """One tensor.

        Raises:
            WeightsError: The file is damaged.
        """
        with _reading(self.path):
            return self.get(name)


def open_tensors(path: Path) -> TensorFile:
    """Open a ``.safetensors`` file, or one of ``torch.save``: a table of tensors, or a checkpoint
    that holds such a table as ``model``.

    Raises:
        WeightsError: There is no such file, it is damaged, or it holds something else.
    """
    with _reading(path):
        if path.suffix == ".safetensors":
            file: _Safetensors = safe_open(path, framework="pt")
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
            return TensorFile(
                path=path, shapes=shapes, get=file.get_tensor, metadata=file.metadata() or {}
            )
        with path.open("rb") as start:
            mapped = start.read(len(ZIP_MAGIC)) == ZIP_MAGIC
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise WeightsError(
            f"{path} holds neither a table of tensors nor a checkpoint with one under 'model'"
        )
    tensors: dict[str, Tensor] = state
    return TensorFile(
        path=path,
        shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()},
        get=tensors.__getitem__,
    )


def open_shards(folder: Path) -> TensorFile:
    """The weights of a Hugging Face folder, from one file or many, as if they were one file.

    Raises:
        WeightsError: There are none, or one that the folder's index names is missing.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return open_tensors(folder / name)
        listing = folder / f"{name}.index.json"
        if listing.is_file():
            return _open_listed(listing)
    raise WeightsError(
        f"{folder} has a config.json but no weights; expected model.safetensors or "
        "pytorch_model.bin, or the index of their parts"
    )


def _open_listed(listing: Path) -> TensorFile:
    """The parts that ``*.index.json`` names."""
    with _reading(listing):
        where: dict[str, str] = json.loads(listing.read_text())["weight_map"]
    files = {shard: open_tensors(listing.parent / shard) for shard in sorted(set(where.values()))}
    with _reading(listing):
        shapes = {key: files[shard].shapes[key] for key, shard in where.items()}
    return TensorFile(path=listing, shapes=shapes, get=lambda key: files[where[key]].read(key))


def differences(
    found: Mapping[str, Shape],
    expected: Mapping[str, Shape],
    group: Callable[[str], str],
) -> str:
    """What is missing, unexpected or misshapen, by group; empty if nothing is.

    ``2 missing (gates 2: a, b); 1 of another shape (bind 1: c is 8x4, not 8x6)``.
    """
    missing = [(group(name), name) for name in expected if name not in found]
    unexpected = [(group(name), name) for name in found if name not in expected]
    misshapen = [
        (group(name), f"{name} is {_by(found[name])}, not {_by(shape)}")
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    return "; ".join(
        f"{len(entries)} {what} ({_listed(entries)})"
        for what, entries in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if entries
    )


def _listed(entries: Iterable[tuple[str, str]]) -> str:
    entries = list(entries)
    groups: list[str] = []
    for name, n in Counter(of for of, _ in entries).items():
        details = [detail for of, detail in entries if of == name][:NAMED_TENSORS]
        groups.append(f"{name} {n}: {', '.join(details)}{', ...' if n > len(details) else ''}")
    return "; ".join(groups)


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape)) if shape else "a number"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file into a WeightsError of one line."""
    try:
        yield
    except FileNotFoundError:
        raise WeightsError(f"cannot read weights {path}: there is no such file") from None
    except (OSError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise  # nothing is wrong with the file
        raise _damaged(path, error) from error
    except (SafetensorError, UnpicklingError, EOFError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = str(error).strip().partition("\n")[0]
    return WeightsError(
        f"cannot read weights {path}: damaged, or not a weight file ({reason}); fetch it again"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Does an error say that memory was not there, on a CPU or on a GPU?"""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and NO_MEMORY.search(str(error)) is not None
