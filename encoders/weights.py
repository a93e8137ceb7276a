"""Weight files: reading one tower at a time, strictly, from any of the published layouts.

A tensor is read only when the network has it, so one tower of a 4.8 GB file costs that tower.
Whatever is missing, left over or of another shape is refused, listed by tower and part. Pickles
are never run: ``torch.load`` is called with ``weights_only``, and our own files are safetensors,
whose header also carries the configuration.
"""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tqdm import tqdm

from ..errors import UsageError, WeightsError
from ..files import atomic_path
from .cache import fingerprint
from .config import ImageBindConfig, imagebind_huge
from .layouts import (
    NAMES,
    Layout,
    from_published,
    is_skipped,
    layout_of,
    to_published,
    tower_of,
)
from .modality import TOWER_OF, Modality, Tower, Vectors

if TYPE_CHECKING:
    import torch

    from .imagebind import ImageBind

__all__ = [
    "NAMES",
    "Layout",
    "convert",
    "fingerprint",
    "fingerprint_of_tower",
    "from_published",
    "layout_of",
    "load_weights",
    "read_centres",
    "read_config",
    "save_weights",
    "to_published",
]

logger = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16", "fp16"]
Shape = tuple[int, ...]

ZIP_MAGIC = b"PK\x03\x04"  # torch.save since torch 1.6 writes a zip, which can be mapped
MAX_HEADER_BYTES = 100_000_000  # of a safetensors file, the limit its own reader has
SAMPLED = 1024  # numbers at either end of a tensor that enter the fingerprint of a tower
NAMED_TENSORS = 2  # tensors a message names for each group; the rest are counted


@dataclass(frozen=True, kw_only=True)
class _WeightFile:
    """An open weight file: every name and shape, and tensors when asked for."""

    path: Path
    layout: Layout
    shapes: Mapping[str, Shape]  # by the file's own names
    get: Callable[[str], "torch.Tensor"]  # one tensor, on the CPU, possibly mapped from the file

    def read(self, name: str) -> "torch.Tensor":
        """One tensor, by the file's own name."""
        with _reading(self.path):
            return self.get(name)

    def towers(self) -> tuple[Tower, ...]:
        """The towers the file has any tensor of."""
        found = {tower_of(name, self.layout) for name in self.shapes}
        return tuple(tower for tower in Tower if tower in found)


def load_weights(model: "ImageBind", path: str | os.PathLike[str]) -> None:
    """Fill the towers of a network from a weight file; other towers in the file are not read.

    The file may be ``imagebind_huge.pth``, ``imagebind_w3D.pth``, a checkpoint of Point-Bind's own,
    or one that :func:`save_weights` or :func:`convert` wrote; its names tell. Numbers are cast to
    the network's precision. A network built under ``torch.device("meta")`` receives its tensors
    in the file's precision, on the CPU.

    Raises:
        WeightsError: The file cannot be read, or does not fit the network.
    """
    import torch

    targets = model.state_dict()
    towers = [Tower(name) for name in model.towers]
    file = _open(Path(path))
    sources = _match(file, {name: tuple(t.shape) for name, t in targets.items()}, towers)
    if any(target.is_meta for target in targets.values()):
        state = {name: file.read(source).clone() for name, source in sources.items()}
        model.load_state_dict(state, strict=True, assign=True)
    else:
        with torch.no_grad():
            for name, source in sources.items():
                targets[name].copy_(file.read(source))
    logger.info(
        "loaded weights=%s layout=%s towers=%s tensors=%d",
        *(path, file.layout, ",".join(towers), len(sources)),
    )


def read_config(path: str | os.PathLike[str]) -> ImageBindConfig:
    """The configuration in the header of a weight file of ours; torch is not needed.

    Raises:
        WeightsError: The file is not one of ours.
    """
    path = Path(path)
    try:
        config = json.loads(_read_header(path)[1]["config"])
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WeightsError(
            f"{path} does not say which configuration its weights are for; convert it first "
            "(anybind weights convert), or name the preset it belongs to"
        ) from None
    try:
        return ImageBindConfig.from_dict(config)
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is for a configuration this anybind does not know: {error}"
        ) from None


def fingerprint_of_tower(
    path: str | os.PathLike[str], config: ImageBindConfig, tower: Tower
) -> str:
    """``sha256:...`` of a tower's configuration and of sampled weights, whatever else is in a file.

    Weights in fp16 have the fingerprint of the fp32 ones that they were made of, in any layout.

    Raises:
        WeightsError: The file cannot be read, or does not fit the configuration.
    """
    import torch

    file = _open(Path(path))
    alone = _of_towers(config, [tower])
    sources = _match(file, _shapes_of(alone), [tower])
    facts = json.dumps(alone.to_dict(), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(facts.encode())
    for name in sorted(sources):
        flat = file.read(sources[name]).flatten()
        digest.update(name.encode())
        digest.update(torch.cat((flat[:SAMPLED], flat[-SAMPLED:])).half().numpy().tobytes())
    return "sha256:" + digest.hexdigest()


def read_centres(path: str | os.PathLike[str]) -> dict[Modality, Vectors]:
    """The mean vectors of modalities, ``(dim,)`` each, in the header of a weight file of ours.

    Returns:
        What :func:`save_weights` was given as the note ``centres``, a JSON object of lists by
        modality; nothing if the file has no such note.

    Raises:
        WeightsError: The note cannot be understood, or its vectors do not fit the configuration.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        return {}
    with _reading(path):
        note = _read_header(path)[1].get("centres")
    if note is None:
        return {}
    dim = read_config(path).dim
    try:
        found = {
            Modality(name): np.array(centre, np.float32)
            for name, centre in json.loads(note).items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path} has mean vectors that cannot be read ({error}); fetch or convert it again"
        ) from None
    for modality, centre in found.items():
        if centre.shape != (dim,) or not np.isfinite(centre).all():
            raise WeightsError(
                f"{path} has a mean of {modality} that is not {dim} finite numbers; fetch or "
                "convert it again"
            )
    return found


def save_weights(
    model: "ImageBind",
    path: str | os.PathLike[str],
    *,
    dtype: Precision = "fp32",
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write a network's weights, and its configuration, as safetensors.

    Args:
        model: Only the towers it was built with are written.
        path: Written whole or not at all; replaced if it exists.
        dtype: Of the matrices; vectors and numbers are float32, as :func:`convert` says.
        notes: What else the header should carry, by name.

    Raises:
        WeightsError: The file cannot be written, or a weight overflows in fp16.
    """
    state = {name: _cast(name, tensor, dtype) for name, tensor in model.state_dict().items()}
    config = _of_towers(model.config, map(Tower, model.towers))
    _write(Path(path), state, config, notes or {})


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    dtype: Precision | None = None,
    towers: Iterable[Tower] | None = None,
    config: ImageBindConfig | None = None,
    progress: bool = False,
) -> None:
    """Rewrite a weight file: to safetensors under our names, or back under the published ones.

    A target ending in ``.safetensors`` also carries the configuration, the source's name and its
    fingerprint. One ending in ``.pth`` has the layout of ``imagebind_huge.pth`` (with points, of
    ``imagebind_w3D.pth``), the causal mask of the text tower included, as the published code
    demands.

    Args:
        source: Any file that :func:`load_weights` reads.
        target: Written whole or not at all; replaced if it exists.
        dtype: Of the tensors written, ``None`` to keep them; vectors and numbers (biases, norms,
            scales: 0.1% of a file) become float32 all the same, whose range they may need.
        towers: The towers to write; all in ``source`` by default.
        config: The network the weights are for; by default as the source's header says, else
            ImageBind-huge.
        progress: Show a bar on stderr.

    Raises:
        WeightsError: The source does not fit ``config``, or overflows in fp16.
        UsageError: The target's name ends in neither ``.safetensors`` nor ``.pth``.
    """
    source, target = Path(source), Path(target)
    if target.suffix not in (".safetensors", ".pth"):
        raise UsageError(f"cannot write weights to {target}: name a .safetensors or a .pth file")
    file = _open(source)
    wanted = file.towers() if towers is None else tuple(towers)
    if config is None:
        config = read_config(source) if file.layout is Layout.ANYBIND else imagebind_huge()
    config = _of_towers(config, wanted)
    sources = _match(file, _shapes_of(config), wanted)
    state = {
        name: _cast(name, file.read(source_name), dtype)
        for name, source_name in tqdm(sources.items(), unit=" tensor", disable=not progress)
    }
    if target.suffix == ".pth":
        _write_published(target, state, config)
    else:
        origin = {
            "source": source.name,
            "source_layout": file.layout.value,
            "source_fingerprint": fingerprint(source),
        }
        if centres := read_centres(source):
            kept = {str(m): centres[m].tolist() for m in centres if TOWER_OF[m] in wanted}
            origin["centres"] = json.dumps(kept)
        _write(target, state, config, origin)
    logger.info("converted source=%s target=%s tensors=%d", source, target, len(state))


# ------------------------------------------------------------------------------ opening


def _open(path: Path) -> _WeightFile:
    """Open a weight file of either container; nothing but names and shapes is read."""
    with _reading(path):
        with path.open("rb") as file:
            start = file.read(len(ZIP_MAGIC))
        if path.suffix == ".safetensors":
            return _open_safetensors(path)
        return _open_torch(path, mapped=start == ZIP_MAGIC)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file into a WeightsError of one line."""
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    try:
        yield
    except FileNotFoundError:
        raise WeightsError(f"cannot read weights {path}: there is no such file") from None
    except (OSError, RuntimeError, SafetensorError, UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(
            f"cannot read weights {path}: damaged, or not a weight file ({reason}); fetch it again"
        ) from error


def _open_safetensors(path: Path) -> _WeightFile:
    from safetensors import safe_open

    file = safe_open(path, framework="pt")  # checks the header against the file's size
    shapes, _ = _read_header(path)
    return _WeightFile(path=path, layout=_layout(path, shapes), shapes=shapes, get=file.get_tensor)


def _read_header(path: Path) -> tuple[dict[str, Shape], dict[str, str]]:
    """Shapes by name, and the metadata, of a safetensors file.

    It begins with the header's length, 8 bytes little-endian, and the header, JSON:
    https://github.com/huggingface/safetensors#format.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > MAX_HEADER_BYTES:
            raise ValueError(f"a header of {size} bytes")
        header = json.loads(file.read(size))
    metadata: dict[str, str] = header.pop("__metadata__", {})
    return {name: tuple(entry["shape"]) for name, entry in header.items()}, metadata


def _open_torch(path: Path, *, mapped: bool) -> _WeightFile:
    """A file of ``torch.save``; ``mapped``: it is a zip, whose pages are read when used."""
    import torch

    if not mapped:
        logger.warning("%s is in the format before torch 1.6: reading all of it", path)
    state = torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise WeightsError(f"{path} is not a plain table of tensors; expected a bare state dict")
    tensors: dict[str, torch.Tensor] = state
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return _WeightFile(
        path=path, layout=_layout(path, shapes), shapes=shapes, get=tensors.__getitem__
    )


def _layout(path: Path, names: Iterable[str]) -> Layout:
    layout = layout_of(names)
    if layout is None:
        first = ", ".join(list(names)[:3]) or "nothing"
        raise WeightsError(
            f"{path} holds no weights of ImageBind (its first tensors: {first}); expected "
            "imagebind_huge.pth, imagebind_w3D.pth, a Point-Bind checkpoint or a file of anybind"
        )
    return layout


# ------------------------------------------------------------------------------ matching


def _match(
    file: _WeightFile, expected: Mapping[str, Shape], towers: Iterable[Tower]
) -> dict[str, str]:
    """Our name -> the file's, for exactly the tensors of the towers asked for.

    Raises:
        WeightsError: The file and the network differ; the message lists how, by tower and part.
    """
    wanted = set(towers)
    absent = [tower for tower in Tower if tower in wanted and tower not in file.towers()]
    if absent:
        raise WeightsError(
            f"{file.path} has no weights for {', '.join(absent)}; it has {', '.join(file.towers())}"
        )
    found: dict[str, str] = {}
    unexpected: list[tuple[str, str]] = []  # (group, detail), as all three lists
    for name in file.shapes:
        tower = tower_of(name, file.layout)
        if is_skipped(name, file.layout) or (tower is not None and tower not in wanted):
            continue
        ours = from_published(name, file.layout)
        if ours is not None and ours in expected:
            found[ours] = name
        else:
            unexpected.append((_group(ours) if ours else str(tower or "unknown"), name))
    _refuse_other_point_encoder(file, expected)
    missing = [
        (_group(name), to_published(name, file.layout)) for name in expected if name not in found
    ]
    misshapen = [
        (_group(name), f"{found[name]} is {_by(shape)}, not {_by(expected[name])}")
        for name in expected
        if name in found and (shape := file.shapes[found[name]]) != expected[name]
    ]
    problems = [
        f"{len(entries)} {what} ({_listed(entries)})"
        for what, entries in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if entries
    ]
    if problems:
        raise WeightsError(
            f"{file.path} does not fit the network: {'; '.join(problems)}; "
            "use the file made for this configuration"
        )
    return {name: found[name] for name in expected}


def _refuse_other_point_encoder(file: _WeightFile, expected: Mapping[str, Shape]) -> None:
    """Point-Bind published a second encoder, I2P-MAE, whose output is half as wide."""
    ours = "towers.points.projection"
    shape = file.shapes.get(to_published(ours, file.layout))
    if ours in expected and shape is not None and 2 * shape[0] == expected[ours][0]:
        raise WeightsError(
            f"{file.path} holds Point-Bind's I2P-MAE encoder (pc_projection is {_by(shape)}), and "
            f"this network its Point-BERT encoder ({_by(expected[ours])}); use imagebind_w3D.pth "
            "or pointbind_pointbert.pt"
        )


def _group(name: str) -> str:
    """Tower and part of one of our names: ``towers.text.blocks.0.norm_1.bias`` -> ``text blocks``.

    A tensor of ours always lies in a tower; a name that does not is a group of its own.
    """
    parts = name.split(".")
    return " ".join(parts[1:3]) if parts[0] == "towers" else name


def _listed(entries: list[tuple[str, str]]) -> str:
    """``text head 3: a, b, ...; text stem 1: c``: a few names a group, and how many there are."""
    groups: list[str] = []
    for group, count in Counter(group for group, _ in entries).items():
        names = [detail for of, detail in entries if of == group][:NAMED_TENSORS]
        more = ", ..." if count > len(names) else ""
        groups.append(f"{group} {count}: {', '.join(names)}{more}")
    return "; ".join(groups)


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape)) if shape else "a number"


def _of_towers(config: ImageBindConfig, towers: Iterable[Tower]) -> ImageBindConfig:
    """The configuration without the towers that are not named."""
    left_out: dict[str, object] = {tower.value: None for tower in set(Tower) - set(towers)}
    return ImageBindConfig.from_dict(config.to_dict() | left_out)


def _shapes_of(config: ImageBindConfig) -> dict[str, Shape]:
    """Every tensor a network of this configuration has; nothing is allocated."""
    from .imagebind import ImageBind
    from .unfilled import unfilled

    with unfilled():
        return {name: tuple(t.shape) for name, t in ImageBind(config).state_dict().items()}


# ------------------------------------------------------------------------------ writing


def _cast(name: str, tensor: "torch.Tensor", dtype: Precision | None) -> "torch.Tensor":
    """A tensor as it is written; see :func:`convert`. Counters stay integers."""
    import torch

    if dtype is None or not tensor.is_floating_point():
        return tensor.contiguous()
    chosen = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    out = tensor.to(torch.float32 if tensor.ndim < 2 else chosen).contiguous()
    if chosen is torch.float16 and not torch.isfinite(out).all():
        raise WeightsError(f"{name} is too large for fp16; convert with dtype bf16 instead")
    return out


def _write(
    path: Path, state: dict[str, "torch.Tensor"], config: ImageBindConfig, notes: Mapping[str, str]
) -> None:
    from safetensors.torch import save_file

    metadata = {**notes, "config": json.dumps(config.to_dict(), separators=(",", ":"))}
    with atomic_path(path) as aside:
        save_file(state, aside, metadata=metadata)


def _write_published(path: Path, state: dict[str, "torch.Tensor"], config: ImageBindConfig) -> None:
    import torch

    published = {to_published(name): tensor for name, tensor in state.items()}
    if config.text is not None:
        n = config.text.n_tokens
        mask = torch.full((n, n), -torch.inf).triu(1)  # 0 on and below the diagonal
        published["modality_preprocessors.text.mask"] = mask
    with atomic_path(path) as aside:
        torch.save(published, aside)
