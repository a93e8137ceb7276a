"""anybind.index.cache: queries pulled toward their nearest images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from anybind.encoders.modality import Modality, Vectors
from anybind.errors import UsageError
from anybind.index import faiss_index
from anybind.index.cache import Cache, Enhanced, enhance_each
from anybind.index.catalog import Catalog
from anybind.index.embeddings import Embeddings
from anybind.index.generation import build_generation
from anybind.index.neighbours import Neighbours
from anybind.index.search import Index

from .folders import DIM, build_folder, unit_rows, write_folder
from .parity import Fixture, fill, hold

VECTORS = unit_rows(100, seed=31)
QUERIES = unit_rows(7, seed=32)

PUBLISHED = Fixture("imagebind_llm_small")
MIXTURES: list[str] = list(PUBLISHED.meta["mixtures"])


class Rows:
    """float32 vectors, searched by a matrix product; an index folder would round to float16."""

    def __init__(self, rows: Vectors, modality: Modality = Modality.IMAGE) -> None:
        self.rows = rows
        self.modality = modality

    def search(self, queries: Vectors, k: int) -> Neighbours:
        scores = queries @ self.rows.T
        ids = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return Neighbours(scores=np.take_along_axis(scores, ids, axis=1), ids=ids)

    def vectors(self, ids: npt.ArrayLike) -> Vectors:
        rows: Vectors = self.rows[np.asarray(ids)]
        return rows


def one_by_one(query: Vectors, rows: Vectors, cache: Cache) -> tuple[list[int], Any, Any]:
    """The formulas of the dossier written out for one query, in float64: ids, weights, vector."""
    scores = [float(np.dot(query.astype(np.float64), row)) for row in rows.astype(np.float64)]
    ids = sorted(range(len(rows)), key=lambda i: -scores[i])[: cache.k]
    if cache.weighting == "softmax":
        powers = [np.exp(cache.temperature * scores[i]) for i in ids]
        weights = [power / sum(powers) for power in powers]
    else:
        weights = [scores[i] for i in ids]
    used = zip(weights, ids, strict=True)
    retrieved = np.sum([w * rows[i].astype(np.float64) for w, i in used], axis=0)
    if cache.weighting == "softmax":
        retrieved = retrieved / np.sqrt((retrieved * retrieved).sum())
    blended = cache.alpha * retrieved + (1 - cache.alpha) * query
    if cache.normalize:
        blended = blended / np.sqrt((blended * blended).sum())
    return ids, weights, blended


def check(found: Enhanced, queries: Vectors, rows: Vectors, caches: list[Cache]) -> None:
    """Hold every query to its own loop; neighbours beyond its k weigh nothing."""
    assert found.vectors.dtype == found.weights.dtype == found.scores.dtype == np.float32
    for i, (query, cache) in enumerate(zip(queries, caches, strict=True)):
        ids, weights, vector = one_by_one(query, rows, cache)
        np.testing.assert_array_equal(found.ids[i, : cache.k], ids)
        np.testing.assert_allclose(found.weights[i, : cache.k], weights, atol=1e-5)
        np.testing.assert_array_equal(found.weights[i, cache.k :], 0)
        np.testing.assert_allclose(found.scores[i], rows[found.ids[i]] @ query, atol=1e-6)
        np.testing.assert_allclose(found.vectors[i], vector, atol=1e-5)


def compare(name: str, found: Vectors) -> None:
    """Hold an array to the fixture: largest difference over the largest number of the reference."""
    reference = PUBLISHED.arrays[name]
    assert found.shape == reference.shape
    rule, _, settings, _ = name.split("/")
    difference = float(np.abs(found - reference).max() / np.abs(reference).max())
    what = f"{PUBLISHED.name}: {rule}, {settings}"
    hold(what, difference, PUBLISHED.meta["tolerance"][f"{rule}/"])


def keys() -> Rows:
    """The fixture's images."""
    return Rows(fill.unit_rows(PUBLISHED.seed, "knn", PUBLISHED.meta["keys"]))


@pytest.mark.parametrize("mixture", MIXTURES)
def test_softmax_equals_the_published_code(mixture: str) -> None:
    """Golden fixture: six settings, on mixtures that are shorter than one."""
    query, index = PUBLISHED.arrays[f"mix/{mixture}/q"], keys()
    for k, t, a in PUBLISHED.meta["cache"]:
        found = Cache(k=k, temperature=t, alpha=a).enhance(query, index)
        compare(f"cache/{mixture}/k{k}_t{t}_a{float(a)}/z", found.vectors)
        np.testing.assert_array_equal(found.ids[0], PUBLISHED.arrays[f"cache/{mixture}/ids"][0, :k])
        sims = PUBLISHED.arrays[f"cache/{mixture}/sims"][0, :k]
        np.testing.assert_allclose(found.scores[0], sims, atol=1e-6)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_linear_equals_the_formula_of_the_paper(mixture: str) -> None:
    """Golden fixture: eq. (3)-(4) outside the published code; made unit, the same direction."""
    query, index = PUBLISHED.arrays[f"mix/{mixture}/q"], keys()
    for k, a in PUBLISHED.meta["linear"]:
        name = f"linear/{mixture}/k{k}_a{float(a)}/z"
        plain = Cache(k=k, alpha=a, weighting="linear", normalize=False).enhance(query, index)
        compare(name, plain.vectors)
        unit = Cache(k=k, alpha=a, weighting="linear").enhance(query, index).vectors
        reference = PUBLISHED.arrays[name] / np.linalg.norm(PUBLISHED.arrays[name])
        np.testing.assert_allclose(unit, reference, atol=1e-6)


def test_all_mixtures_in_one_batch_are_what_each_is_alone() -> None:
    """The published code works for a batch of one only; its single results are the reference."""
    queries = np.concatenate([PUBLISHED.arrays[f"mix/{name}/q"] for name in MIXTURES])
    found = Cache().enhance(queries, keys()).vectors
    for row, name in zip(found, MIXTURES, strict=True):
        compare(f"cache/{name}/k10_t20_a0.5/z", row[None])


@pytest.mark.parametrize("weighting", ["softmax", "linear"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("k", "alpha", "temperature"), [(1, 0.5, 20), (10, 0, 0), (100, 1, 3)])
def test_a_batch_agrees_with_a_loop(
    weighting: str, normalize: bool, k: int, alpha: float, temperature: float
) -> None:
    """Plain numpy, one query and one neighbour at a time; queries of any length."""
    cache = Cache(
        k=k, alpha=alpha, temperature=temperature, weighting=weighting, normalize=normalize
    )
    queries = QUERIES * np.linspace(0.3, 1, len(QUERIES), dtype=np.float32)[:, None]
    check(cache.enhance(queries, Rows(VECTORS)), queries, VECTORS, [cache] * len(queries))


def test_random_settings_each_agree_with_a_loop() -> None:
    """200 draws of all settings, in batches of mixed ones."""
    rng = np.random.default_rng(33)
    for _ in range(20):
        rows = unit_rows(int(rng.integers(5, 60)), seed=int(rng.integers(1 << 30)))
        queries = unit_rows(10, seed=int(rng.integers(1 << 30)))
        caches = [
            Cache(
                k=int(rng.integers(1, len(rows) + 1)),
                alpha=float(rng.random()),
                temperature=float(rng.choice([0, 1, 20, 100])),
                weighting=str(rng.choice(["softmax", "linear"])),
                normalize=bool(rng.integers(2)),
            )
            for _ in queries
        ]
        check(enhance_each(queries, Rows(rows), caches), queries, rows, caches)


def test_more_queries_than_a_block_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is the reference; blocks of two queries, the last one half empty."""
    monkeypatch.setattr("anybind.index.cache.BLOCK_BYTES", 2 * 4 * DIM * 3)
    caches = [Cache(k=3, alpha=i / 10) for i in range(len(QUERIES))]
    check(enhance_each(QUERIES, Rows(VECTORS), caches), QUERIES, VECTORS, caches)


def test_an_index_folder_agrees_with_a_loop_over_its_vectors(tmp_path: Path) -> None:
    """The stored vectors, rounded to float16 and brought to unit length, are the reference."""
    build_folder(tmp_path, VECTORS)
    index, cache = Index.open(tmp_path), Cache(k=4)
    rows = index.vectors(np.arange(len(index)))
    check(cache.enhance(QUERIES, index), QUERIES, rows, [cache] * len(QUERIES))


def coded(folder: Path, factory: str) -> Index:
    """The folder's index, with its vectors in another kind of FAISS index, two lists visited."""
    index = Index.open(folder)
    embeddings = Embeddings(folder, index.manifest.shards, index.dim)
    vectors = faiss_index.make(factory, index.dim)
    rows = embeddings.take(np.arange(len(embeddings)))
    vectors.train(rows)
    vectors.add(rows)
    generation = replace(index.generation, factory=factory, search={"nprobe": 2})
    catalog = Catalog(folder / "catalog.sqlite")
    return Index(
        folder,
        index.manifest,
        generation,
        vectors=vectors,
        embeddings=embeddings,
        catalog=catalog,
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many vectors as the codes below are trained with."""
    folder = tmp_path_factory.mktemp("large")
    write_folder(folder, unit_rows(640, seed=34), per_shard=100, thumbnails=False)
    build_generation(folder)
    return folder


@pytest.mark.parametrize("factory", ["SQfp16", "HNSW8", "IVF16,SQfp16", "IVF4,PQ8x4", "PQ8x4fs"])
def test_any_kind_of_index_blends_exactly_what_it_finds(large: Path, factory: str) -> None:
    """Codes choose the neighbours; scores, order and blend are those of the stored vectors."""
    index, cache = coded(large, factory), Cache(k=60)  # more than two lists of 16 hold
    found = cache.enhance(QUERIES, index)
    assert found.ids.min() >= 0 and found.ids.max() < len(index)
    for i, query in enumerate(QUERIES):
        assert set(found.ids[i]) == set(index.search(query[None], cache.k).ids[0])
        ids, weights, vector = one_by_one(query, index.vectors(found.ids[i]), cache)
        assert ids == list(range(cache.k))  # best first
        np.testing.assert_allclose(found.weights[i], weights, atol=1e-6)
        np.testing.assert_allclose(found.vectors[i], vector, atol=1e-5)


def test_no_queries_get_no_vectors(tmp_path: Path) -> None:
    """An empty batch is a batch."""
    build_folder(tmp_path, VECTORS)
    found = Cache(k=4).enhance(QUERIES[:0], Index.open(tmp_path))
    assert found.vectors.shape == (0, DIM) and len(found.ids) == len(found.weights) == 0
    assert enhance_each(QUERIES[:0], Rows(VECTORS), []).vectors.shape == (0, DIM)


def test_the_query_itself_and_the_nearest_image_are_the_two_ends() -> None:
    """alpha 0 and alpha 1 with one neighbour, by definition."""
    index = Rows(VECTORS)
    none = Cache(k=1, alpha=0).enhance(QUERIES, index)
    np.testing.assert_allclose(none.vectors, QUERIES, atol=1e-6)
    whole = Cache(k=1, alpha=1).enhance(QUERIES, index)
    np.testing.assert_allclose(whole.vectors, VECTORS[whole.ids[:, 0]], atol=1e-6)


def test_pictures_alone_go_without_the_cache() -> None:
    """The rule of the product: skipped when every input is image or video."""
    image, video, audio = Modality.IMAGE, Modality.VIDEO, Modality.AUDIO
    assert not Cache().applies([image]) and not Cache().applies([image, video])
    assert Cache().applies([audio]) and Cache().applies([image, audio])
    assert Cache().applies([None, image])  # a ready vector
    assert Cache(modalities=frozenset(Modality)).applies([image])
    assert not Cache(modalities=frozenset({audio})).applies([Modality.TEXT])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k is 0; the cache blends at least 1 neighbour"),
        ({"alpha": -0.1}, "alpha is -0.1; a share lies between 0 and 1"),
        ({"alpha": 1.5}, "alpha is 1.5; a share"),
        ({"alpha": float("nan")}, "alpha is nan; a share"),
        ({"temperature": -1}, "the temperature is -1; give a number from 0"),
        ({"temperature": float("inf")}, "the temperature is inf"),
        ({"weighting": "cosine"}, "no weighting is called 'cosine'; there are softmax, linear"),
        ({"modalities": frozenset({"smell"})}, "no modality is called 'smell'; there are image, "),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    """Where they enter, with what there is."""
    with pytest.raises(UsageError, match=message):
        Cache(**settings)


def test_wrong_requests_say_what_to_do(tmp_path: Path) -> None:
    """More neighbours than images, an index of sounds, another encoder's queries, no settings."""
    build_folder(tmp_path, VECTORS[:4])
    index = Index.open(tmp_path)
    with pytest.raises(UsageError, match="asked for 10 neighbours of an index of 4 vectors; add"):
        Cache().enhance(QUERIES, index)
    with pytest.raises(UsageError, match=rf"searches rows \(n, {DIM}\)"):
        Cache(k=2).enhance(QUERIES[:, 1:], index)
    with pytest.raises(UsageError, match="this is an index of audio; open an index of images"):
        Cache().enhance(QUERIES, Rows(VECTORS, Modality.AUDIO))
    with pytest.raises(UsageError, match="7 queries were given the settings of 1; give one for"):
        enhance_each(QUERIES, index, [Cache(k=2)])


def test_a_query_that_its_neighbours_cancel_is_named() -> None:
    """The only image is the opposite of the second query."""
    queries = QUERIES[:2]
    cache = Cache(k=1)
    with pytest.raises(UsageError, match="query 1 and its neighbours cancel each other"):
        cache.enhance(queries, Rows(-queries[1:]))
    kept = Cache(k=1, normalize=False).enhance(queries, Rows(-queries[1:]))
    np.testing.assert_allclose(kept.vectors[1], 0, atol=1e-7)
