"""Encoder: media of any modality in, unit vectors out.

An encoder is a configuration, a weight file and the way media are prepared; ``fingerprint`` names
all three, and an index built with one fingerprint is searched with the same one. Towers are built
and their weights read when first used, so an encoder that only ever sees text costs one tower.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ..errors import AnyBindError, UsageError
from .config import ImageBindConfig, imagebind_huge
from .download import fetch_published
from .images import normalise_images
from .maps import MILLIMETRES
from .modality import TOWER_OF, Modality, Tower, Vectors
from .preprocess import CLIPPED, Prepared, Preprocessor, preprocessor_of
from .weights import (
    fingerprint,
    fingerprint_of_tower,
    load_weights,
    read_centres,
    read_config,
)

if TYPE_CHECKING:
    import torch

    from .imagebind import ImageBind

logger = logging.getLogger(__name__)

MINI_WEIGHTS = Path(__file__).with_name("imagebind_mini.safetensors")
BATCH_BYTES = 128 * 2**20  # activations of one block's MLP in fp32: large enough for full matmuls
MAX_BATCH = 256
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named configuration and where its weights are found; a file, never a branch in the code."""

    config: Callable[[], ImageBindConfig]
    weights: Callable[[Tower | None], Path]  # the file with a tower; None: the preset's main file


def _huge_weights(tower: Tower | None) -> Path:
    """The published ImageBind, and the file of Point-Bind's authors for the point encoder."""
    return fetch_published("imagebind_w3D" if tower is Tower.POINTS else "imagebind_huge")


PRESETS: dict[str, Preset] = {
    "imagebind-mini": Preset(
        config=lambda: read_config(MINI_WEIGHTS), weights=lambda tower: MINI_WEIGHTS
    ),
    "imagebind-huge": Preset(config=imagebind_huge, weights=_huge_weights),
}


class Encoder:
    """Media to vectors, for every modality whose tower the configuration has.

    Safe to call from many threads. Vectors are float32 unit rows, whatever the precision inside.
    """

    def __init__(
        self,
        *,
        name: str,
        config: ImageBindConfig,
        weights: Callable[[Tower | None], Path],
        device: str = "auto",
        precision: str = "auto",
        reference: bool = False,
        depth_scale: float = MILLIMETRES,
    ) -> None:
        """See :func:`load_encoder`, which fills in ``config`` and ``weights``."""
        if precision not in PRECISIONS:
            raise UsageError(f"precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
        if not 0 < depth_scale < float("inf"):
            raise UsageError(
                f"depth_scale is {depth_scale}; give the metres per unit, "
                f"{MILLIMETRES} for millimetres"
            )
        self.name = name
        self.config = config
        self.dim = config.dim
        self.reference = reference
        self.depth_scale = depth_scale
        self._weights = weights
        self._device = device
        self._precision = precision
        self._models: dict[Tower, ImageBind] = {}
        self._loading = threading.Lock()

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What this encoder can embed."""
        return tuple(m for m in Modality if getattr(self.config, TOWER_OF[m]) is not None)

    @property
    def fingerprint(self) -> str:
        """``sha256:...`` of the weights, the configuration and the way media are prepared."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        facts = {
            "config": self.config.to_dict(),
            "weights": fingerprint(self._weights(None)),
            "reference": self.reference,
        }
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    @property
    def image_fingerprint(self) -> str | None:
        """``sha256:...`` of the image tower alone: encoders that share it see pictures alike."""
        return self._image_fingerprint

    @cached_property
    def _image_fingerprint(self) -> str | None:
        if self.config.vision is None:
            return None
        return fingerprint_of_tower(self._weights(Tower.VISION), self.config, Tower.VISION)

    @property
    def centres(self) -> Mapping[Modality, Vectors]:
        """The mean of each modality's unit vectors, ``(dim,)``, as far as the weight file has them.

        Raises:
            WeightsError: The file has means that do not fit its configuration.
        """
        return self._centres

    @cached_property
    def _centres(self) -> Mapping[Modality, Vectors]:
        return read_centres(self._weights(None))

    @cached_property
    def device(self) -> "torch.device":
        """Where the towers run."""
        import torch

        if self._device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self._device)
        except RuntimeError:
            raise UsageError(f"device {self._device!r}: use auto, cpu, cuda or cuda:N") from None
        if device.type == "cuda" and not torch.cuda.is_available():
            raise UsageError(f"device {self._device!r} was asked for, but torch sees no GPU here")
        return device

    @cached_property
    def dtype(self) -> "torch.dtype":
        """What the towers compute in; ``auto`` is fp32 on a CPU, bf16 on a GPU."""
        import torch

        auto = "fp32" if self.device.type == "cpu" else "bf16"
        chosen = auto if self._precision == "auto" else self._precision
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[chosen]

    def preprocessor(self, modality: str | Modality) -> Preprocessor:
        """The preparation of one item for a modality: picklable, and free of torch."""
        return preprocessor_of(
            self.config,
            self._known(modality),
            reference=self.reference,
            depth_scale=self.depth_scale,
        )

    def batch_size(self, modality: str | Modality) -> int:
        """Items a batch: a power of two that keeps one block's activations near 128 MiB.

        It depends on the configuration alone, so that two runs batch alike and agree to the bit.
        """
        tokens, width = self.config.cost(TOWER_OF[self._known(modality)])
        fit = BATCH_BYTES // (tokens * width * 4)
        return max(1, min(MAX_BATCH, 1 << (max(fit, 1).bit_length() - 1)))

    def encode(
        self,
        modality: str | Modality,
        items: Sequence[object],
        *,
        batch_size: int | None = None,
        scaled: bool = False,
        progress: bool = False,
    ) -> Vectors:
        """Embed items of one modality.

        Args:
            modality: What the items are; it is never guessed.
            items: Paths, bytes, file objects, or the arrays that the modality's preprocessor names.
            batch_size: Items encoded at once; by default :meth:`batch_size`.
            scaled: Return ImageBind's own scale (text times its logit scale, audio times 20, ...;
                several clips averaged and not normalised again) instead of unit rows.
            progress: Show a bar on stderr.

        Returns:
            float32 ``(n, dim)``.

        Raises:
            MediaError: An item cannot be read.
            UsageError: The encoder has no tower for ``modality``.
        """
        modality = self._known(modality)
        step = batch_size or self.batch_size(modality)
        prepare = self.preprocessor(modality)
        out = np.empty((len(items), self.dim), np.float32)
        with tqdm(total=len(items), unit=f" {modality}", disable=not progress) as bar:
            for start in range(0, len(items), step):
                batch = [prepare(item) for item in items[start : start + step]]
                out[start : start + step] = self.encode_prepared(
                    modality, batch, batch_size=step, scaled=scaled
                )
                bar.update(len(batch))
        return out

    def encode_prepared(
        self,
        modality: str | Modality,
        items: Sequence[Prepared],
        *,
        batch_size: int | None = None,
        scaled: bool = False,
    ) -> Vectors:
        """Embed what :meth:`preprocessor` returned; arguments and result as :meth:`encode`."""
        import torch

        modality = self._known(modality)
        if not len(items):
            return np.empty((0, self.dim), np.float32)
        model = self._model(TOWER_OF[modality])
        clipped = modality in CLIPPED
        shapes = {item.shape for item in items}
        if len(shapes) > 1 and not clipped:  # clouds of fewer points than others
            out = np.empty((len(items), self.dim), np.float32)
            for shape in sorted(shapes):
                rows = [i for i, item in enumerate(items) if item.shape == shape]
                some = [items[i] for i in rows]
                out[rows] = self.encode_prepared(
                    modality, some, batch_size=batch_size, scaled=scaled
                )
            return out
        inputs = np.concatenate(items) if clipped else np.stack(items)
        step = batch_size or self.batch_size(modality)
        parts: list[Vectors] = []
        with torch.inference_mode():
            for start in range(0, len(inputs), step):
                batch = inputs[start : start + step]
                if modality is Modality.IMAGE:
                    batch = normalise_images(batch)
                x = torch.from_numpy(batch).to(self.device)  # towers cast to their precision
                parts.append(model(modality, x, scaled=scaled or clipped).cpu().numpy())
        vectors = np.concatenate(parts)
        if clipped:
            counts = np.array([len(item) for item in items])
            sums = np.add.reduceat(vectors, np.cumsum(counts) - counts, axis=0)
            vectors = (sums / counts[:, None]).astype(np.float32)
            if not scaled:
                vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        if not np.isfinite(vectors).all():
            raise AnyBindError(
                f"{self.name} returned a vector that is not finite for {modality} in {self.dtype}; "
                "encode with precision fp32"
            )
        return vectors

    def _known(self, modality: str | Modality) -> Modality:
        """The modality, if this encoder has a tower for it."""
        try:
            known = Modality(modality)
        except ValueError:
            names = ", ".join(Modality)
            raise UsageError(f"modality {modality!r} is unknown; there are {names}") from None
        if known not in self.modalities:
            raise UsageError(
                f"{self.name} cannot encode {known}: it has {', '.join(self.modalities)}; "
                "choose an encoder that can, for example imagebind-huge"
            )
        return known

    def _model(self, tower: Tower) -> "ImageBind":
        """The network with one tower, its weights read at first use."""
        with self._loading:
            if tower not in self._models:
                from .imagebind import ImageBind
                from .unfilled import unfilled

                path = self._weights(tower)
                with unfilled():
                    model = ImageBind(self.config, towers=[tower])
                load_weights(model, path)
                self._models[tower] = model.eval().requires_grad_(False).to(self.device, self.dtype)
                logger.info(
                    "loaded encoder=%s tower=%s device=%s dtype=%s",
                    *(self.name, tower, self.device, self.dtype),
                )
            return self._models[tower]


def load_encoder(
    name: str | os.PathLike[str] = "imagebind-mini",
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    reference: bool = False,
    depth_scale: float = MILLIMETRES,
) -> Encoder:
    """Open an encoder; nothing heavy happens until it encodes.

    Args:
        name: A preset (``imagebind-mini``, ``imagebind-huge``) or a safetensors file that this
            project wrote (``anybind weights convert``).
        weights: A local weight file instead of the preset's own (which may be a download).
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        reference: Prepare media exactly as the published code does, its oddities included.
        depth_scale: Metres per unit of depth maps that hold integers. It describes the files, not
            the encoder, so the fingerprint leaves it out.

    Raises:
        UsageError: No such preset or file, device or precision.
    """
    preset = PRESETS.get(os.fspath(name))
    if preset is None and weights is None:
        weights = name
    if weights is not None:
        preset = _preset_of_file(Path(weights), preset)
    assert preset is not None
    return Encoder(
        name=os.fspath(name),
        config=preset.config(),
        weights=preset.weights,
        device=device,
        precision=precision,
        reference=reference,
        depth_scale=depth_scale,
    )


def _preset_of_file(path: Path, named: Preset | None) -> Preset:
    """The preset that reads every tower from one file: ours tell their own configuration."""
    if not path.is_file():
        raise UsageError(
            f"encoder {os.fspath(path)!r} is neither a preset ({', '.join(PRESETS)}) "
            "nor a weight file"
        )
    if path.suffix == ".safetensors" or named is None:
        return Preset(config=lambda: read_config(path), weights=lambda tower: path)
    return Preset(config=named.config, weights=lambda tower: path)
