"""The modality gap: its figures, its plane, and what the command draws."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from anybind import cli, pipeline
from anybind.commands import info
from anybind.encoders.encoder import Encoder
from anybind.encoders.modality import Modality, Vectors
from anybind.errors import UsageError
from anybind.index.gap import (
    Gap,
    measure_gap,
    pairs_by_key,
    plot_gap,
    principal_plane,
    sampled,
    similarities,
    told_apart,
)
from anybind.index.search import Index

from .folders import DIM, ENCODER, build_folder, unit_rows

N = 60


def near(rows: Vectors, *, seed: int, shift: float = 0.0) -> Vectors:
    """Unit rows near others, all moved by the same vector of length ``shift``."""
    rng = np.random.default_rng(seed)
    moved = rows + 0.05 * rng.standard_normal(rows.shape, dtype=np.float32)
    moved[:, 0] += shift
    unit: Vectors = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return unit


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """A small index of pictures with captions."""
    build_folder(tmp_path / "index", unit_rows(N, seed=0))
    return Index.open(tmp_path / "index")


def test_the_principal_plane_is_that_of_the_singular_value_decomposition() -> None:
    """numpy's SVD of the centred rows; axes are compared up to their sign."""
    rows = unit_rows(200, seed=1) * np.linspace(3, 0.1, DIM, dtype=np.float32)
    centre, axes, shares = principal_plane(rows)
    _, values, columns = np.linalg.svd(rows - rows.mean(axis=0))
    np.testing.assert_allclose(centre, rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(np.abs(axes @ columns[:2].T), np.eye(2), atol=1e-5)
    np.testing.assert_allclose(shares, values[:2] ** 2 / (values**2).sum(), rtol=1e-5)
    assert (axes[np.arange(2), np.abs(axes).argmax(axis=1)] > 0).all()


def test_similarities_are_the_cosines_of_all_pairs() -> None:
    """Every pair written out."""
    a, b = unit_rows(5, seed=2), unit_rows(5, seed=3)
    matched, unmatched = similarities((a, b))
    np.testing.assert_allclose(matched, [a[i] @ b[i] for i in range(5)], atol=1e-6)
    others = [a[i] @ b[j] for i in range(5) for j in range(5) if i != j]
    np.testing.assert_allclose(unmatched, others, atol=1e-6)


def test_how_well_pairs_are_told_apart_is_counted_over_all_comparisons() -> None:
    """Every comparison counted one by one, ties as half."""
    matched, unmatched = np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.5, 0.6, 0.95])
    wins = [(m > u) + 0.5 * (m == u) for m in matched for u in unmatched]
    assert told_apart(matched, unmatched) == pytest.approx(np.mean(wins))


def test_the_gap_is_the_distance_of_the_centroids() -> None:
    """Written out; without pairs there is nothing to say about them."""
    images, texts = unit_rows(40, seed=4), near(unit_rows(30, seed=5), seed=6, shift=0.5)
    found = measure_gap({Modality.IMAGE: images, Modality.TEXT: texts}, {})
    distance = float(np.linalg.norm(images.mean(axis=0) - texts.mean(axis=0)))
    assert list(found) == [Modality.TEXT]
    assert found[Modality.TEXT].distance == pytest.approx(distance, abs=1e-6)
    nothing = Gap(vectors=30, distance=0.0, pairs=0, matched=None, unmatched=None, told_apart=None)
    assert replace(found[Modality.TEXT], distance=0.0) == nothing


def test_one_modality_alone_has_no_gap() -> None:
    with pytest.raises(UsageError, match="vectors of image alone.*--plot-with"):
        measure_gap({Modality.IMAGE: unit_rows(4, seed=7)}, {})


def test_the_picture_shows_the_vectors_in_the_colours_of_their_modalities(tmp_path: Path) -> None:
    """Blue and vermilion of Okabe and Ito's palette, of the histogram and the centroids."""
    images = unit_rows(N, seed=8)
    texts = near(images, seed=9, shift=0.4)
    out = tmp_path / "gap.png"
    figures = plot_gap(
        {Modality.IMAGE: images, Modality.TEXT: texts}, {Modality.TEXT: (texts, images)}, out
    )
    assert figures[Modality.TEXT].pairs == N and figures[Modality.TEXT].told_apart == 1.0
    with Image.open(out) as picture:
        assert picture.width == 1800
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (pixels == colour).all(axis=1).sum() > 100
    with pytest.raises(UsageError, match="should end in"):
        plot_gap({Modality.IMAGE: images, Modality.TEXT: texts}, {}, tmp_path / "gap.txt")


def test_items_with_the_same_key_are_pairs(index: Index, tmp_path: Path) -> None:
    """Two folders whose keys are row numbers, one shorter: the rows they share."""
    build_folder(tmp_path / "other", unit_rows(10, seed=10))
    other = Index.open(tmp_path / "other")
    pairs = pairs_by_key(other, index)
    assert pairs is not None
    np.testing.assert_array_equal(pairs[0], other.vectors(range(10)))
    np.testing.assert_array_equal(pairs[1], index.vectors(range(10)))
    np.testing.assert_array_equal(sampled(index), np.arange(N))


class Lookup:
    """An encoder of the index's captions and of points: vectors near the rows they belong to."""

    name, fingerprint = ENCODER.name, ENCODER.fingerprint
    dim, reference, depth_scale = DIM, False, 0.001
    modalities = (Modality.IMAGE, Modality.TEXT, Modality.POINTS)

    def __init__(self, index: Index) -> None:
        self.rows = index.vectors(range(len(index)))

    def batch_size(self, modality: Modality) -> int:
        return 1000

    def encode(self, modality: Modality, items: Sequence[object], **options: object) -> Vectors:
        if modality is Modality.TEXT:
            places = [int(str(item).removeprefix("picture ")) for item in items]
            return near(self.rows[places], seed=11, shift=0.3)
        return near(self.rows[: len(items)], seed=12, shift=0.6 * (modality is Modality.POINTS))


def test_info_draws_captions_and_scenes_and_prints_the_figures(
    index: Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An encoder that knows the captions stands in; the figures are those of its vectors."""
    encoder = Lookup(index)
    ab = pipeline.AnyBind(cast(Encoder, encoder), index)
    monkeypatch.setattr(pipeline, "load", lambda *folder, **options: ab)
    monkeypatch.setattr(info, "WORLD_SCENES", 3)
    out = tmp_path / "gap.png"
    folder = str(index.folder)
    assert cli.main(["info", folder, "--plot", str(out), "--plot-with", "world", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["gap"]
    assert list(found) == ["text", "points"] and out.stat().st_size > 10_000
    texts = near(encoder.rows, seed=11, shift=0.3)
    assert found["text"]["vectors"] == found["text"]["pairs"] == N
    assert found["text"]["matched"] == pytest.approx((texts * encoder.rows).sum(1).mean(), abs=1e-3)
    distance = np.linalg.norm(texts.mean(axis=0) - encoder.rows.mean(axis=0))
    assert found["text"]["distance"] == pytest.approx(distance, abs=1e-3)
    assert found["points"]["pairs"] == 3


def test_info_refuses_to_compare_with_the_same_modality_or_without_a_picture(
    index: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, with what is wrong."""
    ab = pipeline.AnyBind(cast(Encoder, Lookup(index)), index)
    monkeypatch.setattr(pipeline, "load", lambda *folder, **options: ab)
    folder = str(index.folder)
    assert cli.main(["info", folder, "--plot", "x.png", "--plot-with", folder]) == 2
    assert "holds image, which is in the picture already" in capsys.readouterr().err
    assert cli.main(["info", folder, "--plot-with", "world"]) == 2
    assert "--plot OUT.png" in capsys.readouterr().err
