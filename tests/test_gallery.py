"""Vectors that are kept between runs: used again while the code that made them is the same."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from anybind.encoders.encoder import Encoder, load_encoder
from anybind.encoders.modality import Modality
from anybind.world.scene import Scene, scene
from anybind.world.splits import split_ids

from .scripts import script

gallery = script("gallery")
SIZE = 96


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("imagebind-mini", device="cpu")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(number) for number in split_ids("validation", 5)]


def drawing(changed: Sequence[int]) -> Callable[[Modality, Scene, int], object]:
    """A world in which one pixel of some scenes' pictures is another."""
    before = gallery.medium

    def medium(modality: Modality, of: Scene, size: int) -> object:
        made = np.array(before(modality, of, size))
        made.flat[0] ^= of.id in changed
        return made

    return medium


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_scene_that_looks_otherwise_gives_another_file(
    encoder: Encoder, scenes: list[Scene], place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first, the middle and the last scene of a file each tell."""

    def path() -> Path:
        found: Path = gallery._path(Path("kept"), encoder, Modality.IMAGE, scenes, SIZE)
        return found

    before = path()
    assert path() == before
    monkeypatch.setattr(gallery, "medium", drawing([scenes[place].id]))
    assert path() != before


def test_vectors_are_read_again_while_nothing_changed(
    encoder: Encoder, scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the file comes back; a changed scene is encoded anew, beside it."""
    monkeypatch.setattr(gallery, "available_cores", lambda: 0)  # in this process
    first = gallery.embed(encoder, Modality.IMAGE, scenes, cache=tmp_path)
    media = [gallery.medium(Modality.IMAGE, of, SIZE) for of in scenes]
    np.testing.assert_allclose(first, encoder.encode(Modality.IMAGE, media), atol=1e-5)
    (kept,) = tmp_path.iterdir()
    np.save(kept, first[::-1])
    again = gallery.embed(encoder, Modality.IMAGE, scenes, cache=tmp_path)
    np.testing.assert_array_equal(again, first[::-1])
    monkeypatch.setattr(gallery, "medium", drawing([scenes[-1].id]))
    anew = gallery.embed(encoder, Modality.IMAGE, scenes, cache=tmp_path)
    np.testing.assert_allclose(anew, first, atol=1e-2)
    assert len(list(tmp_path.iterdir())) == 2
