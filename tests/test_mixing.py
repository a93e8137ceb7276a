"""Arithmetic on embeddings: the same numbers as plain numpy, and what has no answer is refused."""

import math

import numpy as np
import pytest

from anybind.encoders.modality import Modality, Vectors
from anybind.errors import UsageError
from anybind.index.mixing import MIXINGS, centred, mean, mix, mixing_of, shares, slerp

DIM = 64


@pytest.fixture
def vectors() -> Vectors:
    """Five unit rows in general position."""
    rows = np.random.default_rng(7).standard_normal((5, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def test_a_mixture_equals_plain_numpy(vectors: Vectors) -> None:
    """The reference is Σ wᵢ·eᵢ over its length, written out; weights have both signs."""
    for seed in range(50):
        weights = np.random.default_rng(seed).normal(0, 2, 5)
        total = sum(w * e for w, e in zip(weights, vectors.astype(np.float64), strict=True))
        np.testing.assert_allclose(
            mix(vectors, weights.tolist()), total / np.linalg.norm(total), atol=1e-6
        )
        np.testing.assert_allclose(
            mix(vectors, weights.tolist(), normalise=False), total, atol=1e-6
        )


def test_only_the_directions_and_the_ratios_of_weights_count(vectors: Vectors) -> None:
    """Longer vectors weigh no more, and ten times all weights is the same mixture."""
    lengths = np.array([[3.0], [0.1], [20.0], [1.0], [7.0]], np.float32)
    weights = [1.0, -0.5, 2.0, 0.0, 0.3]
    np.testing.assert_allclose(mix(vectors, weights), mix(vectors * lengths, weights), atol=1e-6)
    np.testing.assert_allclose(
        mix(vectors, weights), mix(vectors, [10 * w for w in weights]), atol=1e-6
    )


def test_one_vector_is_itself_and_a_negative_weight_turns_it(vectors: Vectors) -> None:
    np.testing.assert_allclose(mix(vectors[:1], [0.2]), vectors[0], atol=1e-6)
    np.testing.assert_allclose(mix(vectors[:1], [-1.0]), -vectors[0], atol=1e-6)


def test_taking_a_part_away_undoes_adding_it(vectors: Vectors) -> None:
    """a + b - b = a."""
    rows = vectors[[0, 1, 1]]
    np.testing.assert_allclose(mix(rows, [1, 1, -1]), vectors[0], atol=1e-6)


def test_the_published_mixing_divides_by_the_sum_and_keeps_the_length(vectors: Vectors) -> None:
    """The reference is the published formula: w / (Σw + 1e-6), and no normalisation."""
    rule = mixing_of("imagebind-llm")
    assert rule.shares and not rule.normalise
    weights = [1.0, 3.0]
    expected = (1 * vectors[0] + 3 * vectors[1]) / (4 + 1e-6)
    found = mix(vectors[:2], shares(weights), normalise=rule.normalise)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.linalg.norm(found) < 0.95
    with pytest.raises(UsageError, match="anybind, imagebind-llm"):
        mixing_of("other")
    assert set(MIXINGS) == {"anybind", "imagebind-llm"}


def test_the_mean_is_the_direction_of_the_sum(vectors: Vectors) -> None:
    total = vectors.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(mean(vectors), total / np.linalg.norm(total), atol=1e-6)


def test_slerp_moves_evenly_along_the_arc(vectors: Vectors) -> None:
    """At a share t of the way, the angle to the start is t of the whole; both ends are met."""
    a, b = vectors[0], vectors[1]
    whole = math.acos(float(a @ b))
    for t in (0.0, 0.1, 0.5, 0.9, 1.0):
        found = slerp(3 * a, b, t)
        assert abs(float(np.linalg.norm(found)) - 1) < 1e-6
        assert abs(math.acos(min(1.0, float(found @ a))) - t * whole) < 1e-3
        assert abs(math.acos(min(1.0, float(found @ b))) - (1 - t) * whole) < 1e-3
    np.testing.assert_allclose(slerp(a, b, 0.5), mix(np.stack([a, b])), atol=1e-6)
    np.testing.assert_allclose(slerp(a, a, 0.3), a, atol=1e-6)


def test_slerp_equals_its_formula(vectors: Vectors) -> None:
    """Shoemake's: (sin((1-t)θ)·a + sin(tθ)·b) / sin θ."""
    a, b = vectors[2].astype(np.float64), vectors[3].astype(np.float64)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    angle = math.acos(a @ b)
    expected = (math.sin(0.7 * angle) * a + math.sin(0.3 * angle) * b) / math.sin(angle)
    np.testing.assert_allclose(slerp(vectors[2], vectors[3], 0.3), expected, atol=1e-6)


def test_centring_takes_the_mean_out(vectors: Vectors) -> None:
    """The reference subtracts and divides by the length."""
    centre = 0.4 * vectors[4]
    rest = vectors[:4] - centre
    np.testing.assert_allclose(
        centred(vectors[:4], Modality.AUDIO, {Modality.AUDIO: centre}),
        rest / np.linalg.norm(rest, axis=1, keepdims=True),
        atol=1e-6,
    )


def test_centring_closes_the_gap_between_modalities() -> None:
    """Pictures and sounds of ten things, the region of all sounds leaning toward picture 7: there
    a mixture with much sound ends; a centred one follows its thing, by construction."""
    rng = np.random.default_rng(0)
    things = rng.standard_normal((10, DIM)) / 8
    towards_7 = things[7] / np.linalg.norm(things[7])
    gaps = {Modality.IMAGE: 0 * towards_7, Modality.AUDIO: 2 * towards_7}
    rows = {m: (v := things + g) / np.linalg.norm(v, axis=1)[:, None] for m, g in gaps.items()}
    images, sounds = (rows[m].astype(np.float32) for m in gaps)
    centres = {Modality.IMAGE: images.mean(0), Modality.AUDIO: sounds.mean(0)}
    plain = [mix(np.stack([images[i], sounds[i]]), [0.2, 0.8]) for i in range(10)]
    parts = [
        centred(r, m, centres) for r, m in ((images, Modality.IMAGE), (sounds, Modality.AUDIO))
    ]
    fair = [mix(np.stack([parts[0][i], parts[1][i]]), [0.2, 0.8]) for i in range(10)]
    assert ((np.stack(plain) @ images.T).argmax(1) == 7).all()
    assert ((np.stack(fair) @ images.T).argmax(1) == np.arange(10)).all()


NAN = float("nan")


@pytest.mark.parametrize(
    ("rows", "weights", "message"),
    [
        (np.zeros((0, 4)), None, "at least one"),
        (np.ones(4), None, "rows (n, dim)"),
        ([["a", "b"]], None, "no array of numbers"),
        ([[1.0, 0.0], [0.0, 0.0]], None, "vector 1 is zero or not finite"),
        ([[NAN, 1.0]], None, "vector 0 is zero or not finite"),
        ([[np.inf, 1.0]], None, "vector 0 is zero or not finite"),
        (np.eye(2), [0.0, 0.0], "all weights are zero"),
        (np.eye(2), [1.0, NAN], "not finite"),
        (np.eye(2), [1.0, -np.inf], "not finite"),
        (np.eye(2), [1.0], "2 vectors were given weights of shape (1,)"),
        ([[1.0, 0.0], [2.0, 0.0]], [1.0, -1.0], "cancel each other"),
        ([[1.0, 0.0], [-1.0, 0.0]], None, "cancel each other"),
    ],
)
def test_what_has_no_mixture_is_refused(
    rows: Vectors, weights: list[float] | None, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        mix(rows, weights)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_stored_vector_less_itself_cancels(vectors: Vectors) -> None:
    """An index stores float16; what its rounding leaves is no direction."""
    stored = vectors[0].astype(np.float16).astype(np.float32)
    with pytest.raises(UsageError, match="cancel"):
        mix(np.stack([vectors[0], stored]), [1, -1])


def test_wrong_arcs_and_centres_are_refused(vectors: Vectors) -> None:
    a = vectors[0]
    for t in (-0.1, 1.1, NAN):
        with pytest.raises(UsageError, match="between 0 and 1"):
            slerp(a, vectors[1], t)
    with pytest.raises(UsageError, match="opposite"):
        slerp(a, -a, 0.5)
    with pytest.raises(UsageError, match="different spaces"):
        slerp(a, a[:3], 0.5)
    with pytest.raises(UsageError, match="zero or not finite"):
        slerp(a, 0 * a, 0.5)
    with pytest.raises(UsageError, match="known: image"):
        centred(vectors, Modality.AUDIO, {Modality.IMAGE: a})
    with pytest.raises(UsageError, match="different encoders"):
        centred(vectors, Modality.IMAGE, {Modality.IMAGE: a[:3]})
    with pytest.raises(UsageError, match="the mean of image itself"):
        centred(vectors[:1], Modality.IMAGE, {Modality.IMAGE: a})
    with pytest.raises(UsageError, match="sum to zero"):
        shares([1.0, -1.0])
