"""anybind.index.generation: one FAISS index over all shards, published at once."""

import errno
import json
import os
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from anybind.encoders.modality import Modality, Vectors
from anybind.errors import IndexFolderError, WriteError
from anybind.index import generation, measure
from anybind.index.generation import RECALL_TARGET, build_generation
from anybind.index.manifest import Manifest
from anybind.index.search import Index
from anybind.index.verify import verify

from .folders import DIM, new_manifest, unit_rows, write_folder

VECTORS = unit_rows(100, seed=10)
STEPS = ("write_errors", "query_sets", "measure", "fill_catalog", "_link")


def clustered(n: int, *, seed: int) -> Vectors:
    """Unit rows around 50 centres, as real embeddings are."""
    centres = unit_rows(50, seed=0)
    which = np.random.default_rng(seed).integers(0, 50, n)
    rows = centres[which] + np.float32(0.6) * unit_rows(n, seed=seed + 1)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def test_the_folder_has_every_documented_file(tmp_path: Path) -> None:
    """The names in the product's description, and nothing temporary beside them."""
    write_folder(tmp_path, VECTORS)
    manifest = build_generation(tmp_path, figures={"images_per_second": 12.5})
    assert manifest == Manifest.load(tmp_path)
    assert manifest.state == "complete"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("catalog.sqlite", "errors.parquet", "generations", "image.index", "image.json"),
        *("img_emb", "manifest.json", "metadata", "thumbnails"),
    ]
    assert sorted(path.name for path in (tmp_path / "generations/0001").iterdir()) == [
        *("image.index", "image.json", "report.html", "report.json"),
    ]
    assert os.readlink(tmp_path / "image.index") == "generations/0001/image.index"
    assert pq.read_table(tmp_path / "errors.parquet")["input"].to_pylist() == [40, 81, 102]


def test_plain_faiss_searches_the_linked_file(tmp_path: Path) -> None:
    """clip-retrieval opens image.index with faiss.read_index; numpy gives the right neighbours."""
    write_folder(tmp_path, VECTORS)
    build_generation(tmp_path)
    index = faiss.read_index(str(tmp_path / "image.index"))
    queries = unit_rows(5, seed=11)
    scores, ids = index.search(queries, 3)
    expected = queries @ VECTORS.T
    np.testing.assert_array_equal(ids, np.argsort(-expected, axis=1)[:, :3])
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :3], atol=1e-3)


def test_a_large_index_meets_the_recall_on_every_modality(tmp_path: Path) -> None:
    """The smallest power of two that does: half of it does not, by the report's own front."""
    write_folder(tmp_path, clustered(10_500, seed=1), per_shard=1000, thumbnails=False)
    queries = {"text": clustered(80, seed=5)}
    manifest = build_generation(tmp_path, queries=queries)
    assert manifest.generation is not None
    assert manifest.generation.factory == "IVF256,SQfp16"
    chosen = manifest.generation.search["nprobe"]
    report = json.loads((tmp_path / "generations/0001/report.json").read_text())
    front = {probe["nprobe"]: min(probe["recall_at_10"].values()) for probe in report["front"]}
    assert list(front) == [2**i for i in range(len(front))] and max(front) == chosen
    assert front[chosen] >= RECALL_TARGET
    assert all(found < RECALL_TARGET for nprobe, found in front.items() if nprobe < chosen)
    assert set(report["queries"]) == {"text", "image"}
    assert report["queries"]["text"]["queries"] == 80
    assert manifest.generation.recall_at_10 == pytest.approx(front[chosen], abs=1e-4)
    ivf = faiss.extract_index_ivf(faiss.read_index(str(tmp_path / "image.index")))
    assert ivf.nprobe == chosen  # for readers that know nothing of the manifest


def test_the_reported_recall_is_that_of_the_opened_index(tmp_path: Path) -> None:
    """Counted here again with sets of ids, for queries without ties."""
    vectors = clustered(10_500, seed=1)
    write_folder(tmp_path, vectors, per_shard=1000, thumbnails=False)
    queries = clustered(200, seed=7)
    build_generation(tmp_path, queries={"text": queries})
    report = json.loads((tmp_path / "generations/0001/report.json").read_text())
    index = Index.open(tmp_path)
    stored = index.vectors(np.arange(len(vectors)))
    exact = np.argsort(-(queries @ stored.T), axis=1)[:, :10]
    found = index.search(queries, 10).ids
    counted = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, exact, strict=True)])
    assert report["queries"]["text"]["recall_at_10"] == pytest.approx(counted, abs=0.002)


@pytest.mark.parametrize("step", STEPS)
def test_interrupted_anywhere_it_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Ctrl-C in each step; then the same call finishes, and verify finds nothing wrong."""
    write_folder(tmp_path, VECTORS)

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(generation, step, stop)
        build_generation(tmp_path)
    assert Manifest.load(tmp_path).generation is None
    assert not [path for path in tmp_path.rglob(".*")]
    with pytest.raises(IndexFolderError, match="run the same build-index command again"):
        Index.open(tmp_path)
    build_generation(tmp_path)
    assert list(verify(tmp_path)) == []


def test_a_full_disk_harms_nothing_already_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC at every flush in turn, over a finished index: it opens and answers as before."""
    write_folder(tmp_path, VECTORS)
    build_generation(tmp_path)
    before = Index.open(tmp_path).search(VECTORS[:3], 3)
    monkeypatch.setattr(measure, "BATCH_SECONDS", 0)  # timing is not the matter here
    fsync = os.fsync
    failures = 0
    for fail_at in range(100):
        calls = 0

        def full(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            if calls > fail_at:  # noqa: B023
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            try:
                build_generation(tmp_path)
                break
            except WriteError as error:
                assert "disk is full" in str(error)
                failures += 1
        after = Index.open(tmp_path)
        np.testing.assert_array_equal(after.search(VECTORS[:3], 3).ids, before.ids)
        assert after.rows([5])[0].key == "000005"
    assert failures > 5
    assert list(verify(tmp_path)) == []


def test_an_index_of_fewer_than_ten_vectors(tmp_path: Path) -> None:
    """Recall is then over as many neighbours as there are."""
    write_folder(tmp_path, unit_rows(3, seed=0))
    manifest = build_generation(tmp_path)
    assert manifest.generation is not None and manifest.generation.recall_at_10 == 1
    assert len(Index.open(tmp_path)) == 3


def test_nothing_indexed_is_said(tmp_path: Path) -> None:
    """An index of nothing answers no question."""
    new_manifest().save(tmp_path)
    with pytest.raises(IndexFolderError, match="none of 0 items was indexed"):
        build_generation(tmp_path)


def test_without_links_the_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on file systems that have no symbolic links."""

    def refuse(self: Path, target: str) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    write_folder(tmp_path, VECTORS)
    monkeypatch.setattr(Path, "symlink_to", refuse)
    build_generation(tmp_path)
    assert not (tmp_path / "image.index").is_symlink()
    assert list(verify(tmp_path)) == []
    assert Index.open(tmp_path).dim == DIM


def test_the_generation_before_stays_and_older_ones_go(tmp_path: Path) -> None:
    """Four times over: who has just read the manifest still finds the file that it names."""
    write_folder(tmp_path, VECTORS)
    for _ in range(3):
        build_generation(tmp_path)
    manifest = build_generation(tmp_path)
    assert manifest.generation is not None and manifest.generation.number == 4
    kept = sorted(path.name for path in (tmp_path / "generations").iterdir())
    assert kept == ["0003", "0004"]
    assert os.readlink(tmp_path / "image.index") == "generations/0004/image.index"
    assert list(verify(tmp_path)) == []


def test_the_centre_of_the_index_is_the_mean_of_its_rows(tmp_path: Path) -> None:
    """By numpy, over what the shards hold; what the encoder says of images gives way to it."""
    write_folder(tmp_path, VECTORS)
    given = {Modality.IMAGE: VECTORS[0], Modality.AUDIO: VECTORS[1]}
    manifest = build_generation(tmp_path, queries={"text": VECTORS[:7]}, centres=given)
    rows = Index.open(tmp_path).vectors(np.arange(100))
    np.testing.assert_allclose(manifest.centres["image"], rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(manifest.centres["text"], VECTORS[:7].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(manifest.centres["audio"], VECTORS[1], atol=1e-6)
    assert Manifest.load(tmp_path) == manifest
