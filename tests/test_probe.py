"""The linear probe against what it can only do one way."""

import numpy as np

from anybind.world.categories import CATEGORY_NAMES
from anybind.world.scene import scene
from anybind.world.splits import split_ids

from .scripts import script

probe = script("probe")


def test_a_probe_names_what_is_in_vectors_that_say_it_plainly() -> None:
    """A vector is the mean direction of its scene's categories, so a linear map names them all."""
    scenes = [scene(i) for i in split_ids("test", 8200)]
    seen, asked = scenes[:8000], scenes[8000:]
    there = probe.shown(scenes)
    vectors = (there / np.linalg.norm(there, axis=1, keepdims=True)).astype(np.float32)
    fitted = probe.Probe(vectors[:8000], seen, seed=0)
    np.testing.assert_array_equal(fitted.names(vectors[8000:]), there[8000:])
    assert fitted.right(vectors[8000:], asked).all()


def test_right_is_whoever_names_something_that_is_there_and_nothing_else() -> None:
    """Three scenes of two things, told: one of them, one and another that is not there, both."""
    pair = next(of for of in map(scene, split_ids("test", 100)) if len(of.objects) == 2)
    (both,) = probe.shown([pair])
    first = np.flatnonzero(both)[0]
    absent = np.flatnonzero(~both)[0]

    class Told(probe.Probe):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            pass

        def names(self, vectors: object) -> np.ndarray:
            named = np.zeros((3, len(CATEGORY_NAMES)), np.bool_)
            named[:2, first] = named[1, absent] = True
            named[2] = both
            return named

    right = Told().right(None, [pair] * 3)
    np.testing.assert_array_equal(right, [True, False, True])
