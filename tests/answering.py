"""An encoder and a language model small enough to be asked in tests, over an index of vectors."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch

from anybind.encoders.encoder import Encoder
from anybind.encoders.maps import MILLIMETRES
from anybind.encoders.media import label
from anybind.encoders.modality import Modality, Vectors
from anybind.index.search import Index
from anybind.llm.adapter import EncoderNote, save_adapter
from anybind.llm.base import load_base
from anybind.llm.config import AdapterConfig, BindConfig
from anybind.llm.network import Network, adapter_sizes
from anybind.llm.presets import PRESETS, LanguageModels
from anybind.pipeline import AnyBind

from .folders import DIM, build_folder, unit_rows
from .llm_folders import write_base

N = 40  # pictures in the index


class Labels:
    """Any medium to the unit vector that its modality and its name are hashed to."""

    name = "labels"
    dim = DIM
    fingerprint = "sha256:labels"
    image_fingerprint = "sha256:pictures"
    depth_scale = MILLIMETRES
    modalities = tuple(Modality)
    centres: Mapping[Modality, Vectors] = {}

    def batch_size(self, modality: Modality) -> int:
        """Items at once."""
        return 8

    def encode(self, modality: Modality, items: Sequence[object], **_: object) -> Vectors:
        """``(n, dim)``."""
        seeds = [zlib.crc32(f"{modality} {label(item)}".encode()) for item in items]
        return np.concatenate([unit_rows(1, seed=seed) for seed in seeds])


def write_own_adapter(
    base: Path,
    path: Path,
    *,
    dim: int = DIM,
    of: str | None = None,
    encoder: EncoderNote | None = None,
) -> Path:
    """A random adapter for a base, with gates wide open; ``of`` is the base it claims to be for."""
    found = load_base(base)
    n_layers, n_heads, width = adapter_sizes(found.llama)
    torch.manual_seed(0)
    bind = BindConfig(in_dim=dim, dim=width, hidden=16, n_blocks=1)
    config = AdapterConfig(bind=bind, n_layers=n_layers, n_heads=n_heads, lora_rank=0)
    network = Network(found.llama, config)
    with torch.no_grad():
        for gate in network.injection.gates:
            gate.normal_(std=3)
    save_adapter(network, path, base=of or found.fingerprint, encoder=encoder)
    return path


def open_small(folder: Path, preset: str = "llama-mini") -> AnyBind:
    """An index of ``N`` pictures, and a language model in the manner of a preset."""
    if not (folder / "index").is_dir():
        build_folder(folder / "index", unit_rows(N, seed=0))
        write_base(folder / "base", "hf")
        write_own_adapter(folder / "base", folder / "adapter.safetensors")
    models = LanguageModels(
        PRESETS[preset], base=folder / "base", adapter=folder / "adapter.safetensors"
    )
    return AnyBind(cast(Encoder, Labels()), Index.open(folder / "index"), models)
