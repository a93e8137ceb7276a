"""Golden fixtures: outputs of the published code on weights that follow from their names.

``data/parity/fill.py`` computes every weight and input from a seed and a name, so a fixture holds
outputs alone. Weights go through our table of published names, which is thus tested with them.
"""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from anybind.encoders.config import (
    AudioConfig,
    ImageBindConfig,
    IMUConfig,
    MapConfig,
    TextConfig,
    TrunkConfig,
    VisionConfig,
)
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.weights import from_published

Floats = npt.NDArray[np.float32]

FOLDER = Path(__file__).parent / "data" / "parity"
MASK = "modality_preprocessors.text.mask"  # published, and not a weight


def _fill() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fill", FOLDER / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fill = _fill()

LARGEST: dict[str, tuple[float, float]] = {}  # what was compared → largest difference, tolerance


def hold(what: str, difference: float, tolerance: float) -> None:
    """Require a difference to stay within a tolerance, and note the largest one seen.

    ``pytest --parity-table`` prints the notes.
    """
    largest, _ = LARGEST.get(what, (0.0, 0.0))
    LARGEST[what] = (max(largest, difference), tolerance)
    assert difference <= tolerance, f"{what}: {difference:.2g} exceeds {tolerance:.2g}"


def small_config(sizes: Mapping[str, int]) -> ImageBindConfig:
    """ImageBind's towers in the sizes of a fixture."""

    def trunk(name: str) -> TrunkConfig:
        return TrunkConfig(
            dim=sizes[f"{name}_embed_dim"],
            n_blocks=sizes[f"{name}_num_blocks"],
            n_heads=sizes[f"{name}_num_heads"],
            bias_kv=name not in ("vision", "text"),
            input_norm=name == "vision",
            causal=name == "text",
        )

    return ImageBindConfig(
        dim=sizes["out_embed_dim"],
        vision=VisionConfig(trunk=trunk("vision")),
        text=TextConfig(trunk=trunk("text")),
        audio=AudioConfig(trunk=trunk("audio")),
        depth=MapConfig(trunk=trunk("depth"), scale=5.0),
        thermal=MapConfig(trunk=trunk("thermal"), scale=10.0),
        imu=IMUConfig(trunk=trunk("imu")),
    )


class Fixture:
    """One pair of ``NAME.npz`` (outputs) and ``NAME.json`` (sizes, inputs, tolerances)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.meta: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
        with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
            self.arrays: dict[str, Floats] = dict(file)
        self.seed: int = self.meta["seed"]

    def load(
        self, model: ImageBind, overrides: Mapping[str, float] | None = None, table: str = "state"
    ) -> ImageBind:
        """Give a network the fixture's weights; ``overrides`` replaces tensors by a number."""
        shapes = {name: shape for name, (shape, _) in self.meta[table].items()}
        state: dict[str, Floats] = fill.state(shapes, self.seed, overrides)
        for name, (_, checksum) in self.meta[table].items():
            assert name in (overrides or {}) or fill.crc(state[name]) == checksum
        ours = {
            str(from_published(name)): torch.from_numpy(value.copy())
            for name, value in state.items()
            if name != MASK
        }
        model.load_state_dict(ours, strict=True)
        return model.eval().requires_grad_(False)

    def compare(self, found: Mapping[str, torch.Tensor]) -> None:
        """Hold arrays, by their names in the fixture, to its tolerances.

        A difference is the largest one of an array over the largest number in its reference; the
        tolerance is that of the longest prefix of the name in the fixture's table.
        """
        for name, value in found.items():
            reference = self.arrays[name]
            assert value.shape == reference.shape, name
            difference = float(np.abs(value.numpy() - reference).max() / np.abs(reference).max())
            prefix = max((p for p in self.meta["tolerance"] if name.startswith(p)), key=len)
            case, array = name.rsplit("/", 1)
            hold(f"{self.name}: {case}, {array}", difference, self.meta["tolerance"][prefix])
