"""Adapter files: ours, and every form in which ImageBind-LLM's were published.

An adapter belongs to one base, and to the encoder whose pictures it was tuned on. Ours carry the
fingerprints of both and refuse others; published ones carry none, so loading them says which base
they were tuned on and what was found instead.
Whatever is missing, left over or of another shape is refused and listed by part.
"""

import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import WeightsError
from ..files import atomic_path
from .config import AdapterConfig, BindConfig, Group
from .layouts import Ours, from_published, is_skipped, turned
from .network import Network, group_of
from .tensors import Shape, TensorFile, differences, open_tensors

if TYPE_CHECKING:
    from ..encoders.encoder import Encoder

logger = logging.getLogger(__name__)

FORMAT = "anybind-adapter 1"  # in the header of our files
MADE_FOR = {  # legacy bind network? -> the base that published adapters were tuned on
    False: "Open-Chinese-LLaMA 7B (Cxxs/Open-Chinese-LLaMA, a delta on LLaMA 7B)",
    True: "LLaMA 7B",
}


@dataclass(frozen=True, kw_only=True)
class EncoderNote:
    """The encoder that an adapter was tuned on, as its file's header names it."""

    name: str | None  # a preset or a file; None in files that name the fingerprint alone
    fingerprint: str  # of all of it
    image: str | None = None  # of its image tower; None in files of before it was noted

    @classmethod
    def of(cls, encoder: "Encoder") -> "EncoderNote":
        """What to note about an encoder."""
        return cls(
            name=encoder.name, fingerprint=encoder.fingerprint, image=encoder.image_fingerprint
        )

    def to_dict(self) -> dict[str, str | None]:
        """Fit for JSON, and for :meth:`parse` then."""
        return asdict(self)

    @classmethod
    def parse(cls, text: str) -> "EncoderNote":
        """Read a note: JSON, or a bare fingerprint.

        Raises:
            ValueError: It is neither.
            KeyError: It has no fingerprint.
        """
        if text.startswith("sha256:"):
            return cls(name=None, fingerprint=text)
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError(f"encoder is {text}")
        name, image = found.get("name"), found.get("image")
        return cls(name=name, fingerprint=str(found["fingerprint"]), image=image)

    def __str__(self) -> str:
        known = f"image tower {self.image}" if self.image else self.fingerprint
        return f"{self.name or 'one'} ({known})"


@dataclass(frozen=True, kw_only=True)
class AdapterFile:
    """An open adapter file: its configuration, and tensors when asked for."""

    config: AdapterConfig
    base: str | None  # fingerprint of its base; None in published files, which do not say
    encoder: EncoderNote | None  # None where the file does not say
    names: Mapping[str, tuple[str, Ours]]  # our name -> the file's, and how to turn its rows
    file: TensorFile

    @property
    def n_numbers(self) -> int:
        """Numbers in all of its tensors."""
        return sum(math.prod(self.file.shapes[name]) for name, _ in self.names.values())


def open_adapter(path: str | os.PathLike[str]) -> AdapterFile:
    """Open ``7B.pth``, ``7B-pretrained.pth``, ``7B-beta.pth``, a checkpoint of ImageBind-LLM's
    training, or a file of :func:`save_adapter`.

    Raises:
        WeightsError: The file cannot be read, or is no adapter.
    """
    file = open_tensors(Path(path))
    if "format" in file.metadata:
        return _open_ours(file)
    names: dict[str, tuple[str, Ours]] = {}
    unknown: list[str] = []
    for name in file.shapes:
        if is_skipped(name):
            continue
        if (ours := from_published(name)) is None:
            unknown.append(name)
        else:
            names[ours.name] = (name, ours)
    if "bind.proj.weight" not in names or "injection.queries" not in names:
        first = ", ".join(list(file.shapes)[:3]) or "nothing"
        raise WeightsError(
            f"{path} is no adapter of ImageBind-LLM (its first tensors: {first}); expected 7B.pth, "
            "7B-pretrained.pth, 7B-beta.pth, a training checkpoint or an adapter of anybind"
        )
    if unknown:
        raise WeightsError(
            f"{path} has {len(unknown)} tensors that no adapter has: {', '.join(unknown[:3])}"
        )
    shapes = {ours: file.shapes[name] for ours, (name, _) in names.items()}
    return AdapterFile(
        config=_config_of(Path(path), shapes), base=None, encoder=None, names=names, file=file
    )


def check_base(
    adapter: AdapterFile, found: str, *, expect_base: str | None = None, force: bool = False
) -> None:
    """Refuse a base that the adapter was not made for, as far as that can be known.

    Args:
        adapter: What is to be put on the base.
        found: The fingerprint of the base that is there.
        expect_base: The fingerprint it must have; also for adapters that name none.
        force: Go on all the same, with a warning.

    Raises:
        WeightsError: It is another base.
    """
    path = adapter.file.path
    known = [base for base in (expect_base, adapter.base) if base is not None]
    if not known:
        logger.warning(
            "%s does not say which base it was tuned on; the published one is for %s, and on "
            "another its answers mean nothing. The base here is %s: give it as expect_base to "
            "have it checked",
            *(path.name, MADE_FOR[adapter.config.bind.legacy], found),
        )
    for expected in known:
        if expected == found:
            continue
        whose = f"{path} is for the base" if expected == adapter.base else "expected the base"
        problem = f"{whose} {expected}, and the base here is {found}"
        if not force:
            raise WeightsError(f"{problem}; name its own base, or force it to try this one")
        logger.warning("%s; forced to go on, the answers may mean nothing", problem)


def check_encoder(adapter: AdapterFile, encoder: "Encoder", *, force: bool = False) -> None:
    """Refuse an encoder whose pictures the adapter was not tuned on, as far as that can be known.

    Only the image tower counts: an adapter has seen vectors of nothing but pictures.

    Args:
        adapter: What is to be shown the encoder's vectors.
        encoder: Of the index.
        force: Go on all the same, with a warning, if only the vectors are as long.

    Raises:
        WeightsError: It is another encoder.
    """
    path, wanted = adapter.file.path, adapter.config.bind.in_dim
    if wanted != encoder.dim:
        raise WeightsError(
            f"{path} sees vectors of {wanted} numbers, and those of {encoder.name} have "
            f"{encoder.dim}; use the encoder it was tuned with, and an index that this encoder "
            "built"
        )
    note = adapter.encoder
    if note is None or note.fingerprint == encoder.fingerprint:
        return
    if note.image is not None and note.image == encoder.image_fingerprint:
        return
    found = EncoderNote.of(encoder)
    if note.image is None:
        found = EncoderNote(name=found.name, fingerprint=found.fingerprint)
    problem = f"{path} was tuned on pictures as {note} sees them, and the encoder here is {found}"
    if not force:
        raise WeightsError(
            f"{problem}; use that encoder and an index that it built, or force it to try this one"
        )
    logger.warning("%s; forced to go on, the answers may mean nothing", problem)


def fill(network: Network, adapter: AdapterFile, *, fresh_lora: bool = False) -> None:
    """Give a network the tensors of an adapter file, cast to the network's precision.

    Args:
        network: With the file's configuration, or with LoRA added to it.
        adapter: What to read.
        fresh_lora: The file may lack LoRA, biases and norms: stage 2 begins where stage 1 ended.

    Raises:
        WeightsError: The file and the network differ; the message lists how, by part.
    """
    targets = network.adapter()
    llama = network.llama.config
    n_heads = llama.num_attention_heads
    heads = {"query": n_heads, "key": llama.num_key_value_heads or n_heads}
    stored = {ours: adapter.file.shapes[name] for ours, (name, _) in adapter.names.items()}
    if not network.config.lora_rank:  # published files of stage 1 hold the base's norms again
        targets |= {
            name: parameter
            for name, parameter in network.named_parameters()
            if name in stored and group_of(name) is Group.NORM
        }
    found = {name: _squeezed(name, shape) for name, shape in stored.items()}
    new = {Group.LORA, Group.BIAS, Group.NORM} if fresh_lora else set()
    expected = {
        name: tuple(parameter.shape)
        for name, parameter in targets.items()
        if name in found or group_of(name) not in new
    }
    if problems := differences(found, expected, lambda name: str(group_of(name) or "unknown")):
        raise WeightsError(
            f"{adapter.file.path} does not fit this language model: {problems}; use the base it "
            "was made for"
        )
    with torch.no_grad():
        for name in expected:
            source, ours = adapter.names[name]
            tensor = turned(adapter.file.read(source), ours, heads)
            targets[name].copy_(tensor.reshape(expected[name]))
    logger.info("loaded adapter=%s tensors=%d", adapter.file.path, len(expected))


def save_adapter(
    network: Network,
    path: str | os.PathLike[str],
    *,
    base: str,
    dtype: torch.dtype = torch.float32,
    encoder: EncoderNote | None = None,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write what was added to a base, as safetensors; the base itself stays out.

    Args:
        network: Not folded.
        path: Written whole or not at all; replaced if it exists.
        base: Fingerprint of the base, which loading will ask for.
        dtype: Of the tensors.
        encoder: Whose pictures it was tuned on, which loading will ask for.
        notes: What else the header should carry, by name.

    Raises:
        WeightsError: LoRA was folded into the base, or a number overflows in ``dtype``.
        WriteError: The file cannot be written.
    """
    from safetensors.torch import save_file

    state = {
        name: p.detach().to("cpu", dtype).contiguous() for name, p in network.adapter().items()
    }
    if network.config.lora_rank and not any(group_of(name) is Group.LORA for name in state):
        raise WeightsError("this adapter was folded into its base; load it with fold=False to save")
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"{name} is not finite in {dtype}; save it in float32 and look at it"
            )
    config = json.dumps(network.config.to_dict(), separators=(",", ":"))
    header = {**(notes or {}), "format": FORMAT, "base": base, "config": config}
    if encoder is not None:
        header["encoder"] = json.dumps(encoder.to_dict())
    with atomic_path(Path(path)) as aside:
        save_file(state, aside, metadata=header)


def _open_ours(file: TensorFile) -> AdapterFile:
    if file.metadata["format"] != FORMAT:
        raise WeightsError(
            f"{file.path} has the format {file.metadata['format']!r}; this anybind reads {FORMAT!r}"
        )
    try:
        config = AdapterConfig.from_dict(json.loads(file.metadata["config"]))
        base = file.metadata["base"]
        note = file.metadata.get("encoder")
        encoder = None if note is None else EncoderNote.parse(note)
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{file.path} has a header that cannot be read: {error}") from error
    names = {name: (name, Ours(name=name)) for name in file.shapes}
    return AdapterFile(config=config, base=base, encoder=encoder, names=names, file=file)


def _config_of(path: Path, shapes: Mapping[str, Shape]) -> AdapterConfig:
    """The configuration that the shapes of a published file tell."""
    dim, in_dim = shapes["bind.proj.weight"]
    n_blocks = sum(
        name.startswith("bind.blocks.") and name.endswith("gate.weight") for name in shapes
    )
    ranks = {
        shape[0]
        for name, shape in shapes.items()
        if group_of(name) is Group.LORA and name.endswith(".down")
    }
    gates = {
        _squeezed(name, shape) for name, shape in shapes.items() if group_of(name) is Group.GATES
    }
    if len(ranks) > 1 or len(gates) != 1:
        raise WeightsError(
            f"{path} is damaged: LoRA of ranks {sorted(ranks)}, gates of shapes {sorted(gates)}"
        )
    hidden = shapes.get("bind.blocks.0.gate.weight", (dim, dim))[0]
    return AdapterConfig(
        bind=BindConfig(
            in_dim=in_dim,
            dim=dim,
            hidden=hidden,
            n_blocks=n_blocks,
            legacy="bind.blocks.0.norm.bias" in shapes,
        ),
        n_layers=shapes["injection.queries"][0],
        n_heads=gates.pop()[0],
        lora_rank=ranks.pop() if ranks else 0,
    )


def _squeezed(name: str, shape: Shape) -> Shape:
    """Published gates are ``(1, n_heads, 1, 1)``."""
    return shape[1:2] if group_of(name) is Group.GATES and len(shape) == 4 else shape
