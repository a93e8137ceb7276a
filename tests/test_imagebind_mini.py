"""The encoder that is shipped: what it makes of media of scenes it never saw.

The facts of the scenes are the reference. How well it does, over two thousand scenes of every
modality, is measured by ``scripts/evaluate_retrieval.py``; here are enough to notice that it is
broken, or that the world is no longer the one it was trained on.
"""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import anybind
from anybind.encoders.encoder import Encoder, load_encoder
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.modality import Modality, Vectors
from anybind.world.categories import CATEGORY_NAMES
from anybind.world.media import medium
from anybind.world.motion import MOTION_OF
from anybind.world.scene import Scene, scene
from anybind.world.splits import split_ids

WEIGHTS = Path(anybind.__file__).parent / "encoders" / "imagebind_mini.safetensors"
MOST_BYTES = 16 * 2**20
MOST_PARAMETERS = 8_000_000
N_SCENES = 60
N_PICTURES = 240  # that motions are compared with
NAMED = {  # modality -> share of scenes whose category's name is nearest
    Modality.IMAGE: 0.9,
    Modality.AUDIO: 0.9,
    Modality.VIDEO: 0.85,
    Modality.POINTS: 0.85,
    Modality.DEPTH: 0.85,
    Modality.THERMAL: 0.7,
}
MOVED_ALIKE = 0.75


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("imagebind-mini", device="cpu")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Of one object."""
    all_of_them = map(scene, split_ids("validation", 3 * N_PICTURES))
    return list(islice((of for of in all_of_them if len(of.objects) == 1), N_PICTURES))


def vectors(encoder: Encoder, modality: Modality, scenes: list[Scene]) -> Vectors:
    return encoder.encode(modality, [medium(modality, of, 96) for of in scenes])


def test_it_is_small(encoder: Encoder) -> None:
    assert WEIGHTS.stat().st_size <= MOST_BYTES
    assert sum(p.numel() for p in ImageBind(encoder.config).parameters()) <= MOST_PARAMETERS


@pytest.mark.parametrize("modality", NAMED)
def test_a_name_is_nearest_to_what_it_names(
    modality: Modality, encoder: Encoder, scenes: list[Scene]
) -> None:
    """Of sixty, one standard deviation is 0.04 to 0.06; guessing reaches 0.02."""
    asked = scenes[:N_SCENES]
    names = encoder.encode("text", [f"a {name}" for name in CATEGORY_NAMES])
    nearest = (vectors(encoder, modality, asked) @ names.T).argmax(axis=1)
    right = [
        CATEGORY_NAMES[i] == of.objects[0].category for i, of in zip(nearest, asked, strict=True)
    ]
    assert np.mean(right) > NAMED[modality]


def test_a_motion_finds_what_moves_alike(encoder: Encoder, scenes: list[Scene]) -> None:
    """Among pictures of other scenes; guessing reaches a sixth."""
    motions = np.array([MOTION_OF[of.objects[0].category] for of in scenes])
    asked, index = slice(0, N_SCENES), slice(N_SCENES, None)
    found = (
        vectors(encoder, Modality.IMU, scenes[asked])
        @ vectors(encoder, Modality.IMAGE, scenes[index]).T
    )
    right = motions[index][found.argmax(axis=1)] == motions[asked]
    assert np.mean(right) > MOVED_ALIKE
