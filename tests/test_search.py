"""anybind.index.search: a finished index folder, open for searching."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from anybind.encoders.modality import Vectors
from anybind.errors import IndexFolderError, UsageError
from anybind.index import faiss_index
from anybind.index.catalog import Catalog, fill_catalog
from anybind.index.embeddings import Embeddings
from anybind.index.filters import Filter
from anybind.index.generation import build_generation
from anybind.index.neighbours import exact_search, recall
from anybind.index.search import Index

from .folders import DIM, ENCODER, build_folder, rows_of, unit_rows, webp, write_folder

VECTORS = unit_rows(100, seed=12)
QUERIES = unit_rows(64, seed=13)
N_LARGE = 10_200  # enough for an inverted file


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 vectors, an exact index."""
    folder = tmp_path_factory.mktemp("small") / "index"
    build_folder(folder, VECTORS)
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10,200 vectors in an inverted file, without thumbnails."""
    folder = tmp_path_factory.mktemp("large") / "index"
    write_folder(folder, unit_rows(N_LARGE, seed=14), per_shard=1000, thumbnails=False)
    build_generation(folder)
    return folder


def test_search_agrees_with_a_matrix_product(small: Path) -> None:
    """numpy: ids over the stored vectors, scores within float16's rounding of the original ones."""
    index = Index.open(small)
    found = index.search(QUERIES, 7)
    stored = QUERIES @ index.vectors(np.arange(100)).T
    np.testing.assert_array_equal(found.ids, np.argsort(-stored, axis=1)[:, :7])
    exact = -np.sort(-QUERIES @ VECTORS.T, axis=1)[:, :7]
    np.testing.assert_allclose(found.scores, exact, atol=2**-11)
    assert found.scores.dtype == np.float32 and found.ids.dtype == np.int64


def test_visiting_every_list_agrees_with_exact_search(large: Path) -> None:
    """A matrix product over the stored vectors; neighbours nearer than the rounding may swap."""
    index = Index.open(large)
    exact = QUERIES @ index.vectors(np.arange(N_LARGE)).T
    found = index.search(QUERIES, 10, nprobe=10_000)
    own = np.take_along_axis(exact, found.ids, axis=1)
    np.testing.assert_allclose(own, -np.sort(-exact, axis=1)[:, :10], atol=1e-3)


def test_k_is_filled_whatever_nprobe(large: Path) -> None:
    """One list holds some 40 items; every item is asked for, and comes once."""
    index = Index.open(large)
    ids = index.search(QUERIES[:2], N_LARGE, nprobe=1).ids
    np.testing.assert_array_equal(np.sort(ids, axis=1), np.tile(np.arange(N_LARGE), (2, 1)))


def test_parameters_of_one_call_do_not_reach_another(large: Path) -> None:
    """Answers before and after a call that visits a single list."""
    index = Index.open(large)
    before = index.search(QUERIES, 10)
    index.search(QUERIES, 10, nprobe=1)
    np.testing.assert_array_equal(index.search(QUERIES, 10).ids, before.ids)


@pytest.mark.parametrize("which", ["small", "large"])
def test_32_threads_get_what_one_gets(which: str, request: pytest.FixtureRequest) -> None:
    """Serial answers are the reference, with parameters of their own in every call."""
    index = Index.open(request.getfixturevalue(which))
    probes = [1, 2, 4, 8] if which == "large" else [None]

    def ask(i: int) -> tuple[list[int], list[float], list[str]]:
        found = index.search(QUERIES[i % 64][None], 5, nprobe=probes[i % len(probes)])
        keys = [row.key for row in index.rows(found.ids[0])]
        return found.ids[0].tolist(), found.scores[0].tolist(), keys

    serial = [ask(i) for i in range(256)]
    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(ask, range(256))) == serial


def test_vectors_rows_and_thumbnails_belong_to_their_item(small: Path) -> None:
    """What was written for each id, across shard borders."""
    index = Index.open(small)
    ids = [99, 0, 39, 40]
    np.testing.assert_allclose(index.vectors(ids), VECTORS[ids], atol=2**-11, rtol=0)
    assert [row.key for row in index.rows(ids)] == ["000099", "000000", "000039", "000040"]
    assert [index.thumbnail(i) for i in ids] == [webp(i) for i in ids]


def test_an_index_without_thumbnails_says_none(large: Path) -> None:
    """It was built without."""
    assert Index.open(large).thumbnail(5) is None


def test_a_moved_folder_still_works(small: Path, tmp_path: Path) -> None:
    """Copied elsewhere, links and all, with the first one out of sight; read-only."""
    shutil.copytree(small, tmp_path / "elsewhere", symlinks=True)
    for path in (tmp_path / "elsewhere").rglob("*"):
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
    index = Index.open(tmp_path / "elsewhere")
    np.testing.assert_array_equal(
        index.search(QUERIES, 3).ids, Index.open(small).search(QUERIES, 3).ids
    )
    assert index.thumbnail(7) == webp(7) and index.rows([7])[0].caption == "picture 7"
    assert (tmp_path / "elsewhere" / "image.index").resolve().is_relative_to(tmp_path)


def test_another_database_serves_as_the_catalog(small: Path, tmp_path: Path) -> None:
    """Named by its URL; a database of another index is refused."""
    url = f"sqlite:///{tmp_path / 'db'}"
    fill_catalog(url, [[replace(row, caption="from the database") for row in rows_of(range(100))]])
    row = Index.open(small, catalog_url=url).rows([3])[0]
    assert row.caption == "from the database"
    fill_catalog(url, [rows_of(range(99))])
    with pytest.raises(IndexFolderError, match="99 in the catalog"):
        Index.open(small, catalog_url=url)


def test_the_encoder_that_built_it_is_required(small: Path) -> None:
    """Compared by fingerprint; both are named."""
    assert len(Index.open(small, encoder=ENCODER)) == 100
    other = replace(ENCODER, name="imagebind-huge", fingerprint="sha256:ff", dim=1024)
    with pytest.raises(IndexFolderError, match="built by encoder numpy-projection .*huge"):
        Index.open(small, encoder=other)
    with pytest.raises(IndexFolderError, match="sha256:ff"):
        Index.open(small).check_encoder(other)


def test_wrong_questions_say_what_to_ask(small: Path, large: Path) -> None:
    """One line each, with what there is."""
    index = Index.open(small)
    with pytest.raises(UsageError, match="asked for 101 neighbours of an index of 100 vectors; "):
        index.search(QUERIES, 101)
    with pytest.raises(UsageError, match="asked for 0 neighbours; ask for at least 1"):
        index.search(QUERIES, 0)
    with pytest.raises(UsageError, match=r"shape \(64, 31\); this index searches rows \(n, 32\)"):
        index.search(QUERIES[:, 1:], 1)
    with pytest.raises(UsageError, match=r"shape \(32,\)"):
        index.search(QUERIES[0], 1)
    with pytest.raises(UsageError, match="not finite"):
        index.search(np.full((1, 32), np.nan, np.float32), 1)
    with pytest.raises(UsageError, match="asked to visit 4 lists of a Flat index; it is exact"):
        index.search(QUERIES, 1, nprobe=4)
    with pytest.raises(UsageError, match="visit at least 1"):
        Index.open(large).search(QUERIES, 1, nprobe=0)
    for ask in (index.vectors, index.rows):
        with pytest.raises(UsageError, match="asked for item 100 of an index of 100 items"):
            ask([100])


def below(n: int) -> Filter:
    """The first ``n`` items; vectors are random, so they are any ``n``."""
    return Filter.parse({"id": {"lt": n}})


@pytest.fixture(scope="module")
def graph(large: Path) -> Index:
    """The 10,200 vectors in a graph."""
    return with_faiss(large, "HNSW16")


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("kind", ["inverted file", "graph"])
def test_a_filter_leaves_the_recall_as_it_is(
    large: Path, graph: Index, kind: str, share: float
) -> None:
    """Exact search among the items that pass, against exact search among all, at 10 neighbours."""
    index = graph if kind == "graph" else Index.open(large)
    vectors = Embeddings(large, index.manifest.shards, DIM)
    queries = unit_rows(100, seed=15)
    among = np.arange(int(share * N_LARGE))
    all_exact = exact_search(vectors, queries, 10)
    exact = exact_search(vectors, queries, 10, among=among)
    unfiltered = recall(vectors, queries, index.search(queries, 10).ids, all_exact)
    found = index.search(queries, 10, filter=below(len(among)))
    assert found.ids.max() < len(among)
    assert recall(vectors, queries, found.ids, exact) >= unfiltered - 0.01


@pytest.mark.parametrize("which", ["small", "large"])
@pytest.mark.parametrize("n", [1, 5, 30, 99])
def test_k_is_filled_as_far_as_items_match(
    which: str, n: int, request: pytest.FixtureRequest
) -> None:
    """Ten are asked for, and every item that matches comes once if those are fewer."""
    index = Index.open(request.getfixturevalue(which))
    found = index.search(QUERIES, 10, filter=below(n))
    assert found.ids.shape == found.scores.shape == (64, min(n, 10))
    assert found.ids.min() >= 0 and found.ids.max() < n
    assert all(len(set(row)) == len(row) for row in found.ids.tolist())


def test_all_that_match_are_found_wherever_they_lie(large: Path) -> None:
    """A filter of 60 items, with the fewest lists to visit; a matrix product over them."""
    index = Index.open(large)
    found = index.search(QUERIES, 60, nprobe=1, filter=below(60))
    np.testing.assert_array_equal(np.sort(found.ids, axis=1), np.tile(np.arange(60), (64, 1)))


def test_no_match_is_no_neighbour(small: Path) -> None:
    """Also of several conditions that no item meets together."""
    none = Filter.parse({"width": {"lt": 5}})
    found = Index.open(small).search(QUERIES, 10, filter=none)
    assert found.ids.shape == found.scores.shape == (64, 0)


def test_an_empty_filter_is_none(small: Path) -> None:
    """Answers without it are the reference."""
    index = Index.open(small)
    found = index.search(QUERIES, 10, filter=Filter.parse({}))
    np.testing.assert_array_equal(found.ids, index.search(QUERIES, 10).ids)


def test_a_filter_is_looked_up_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An equal filter asks the catalog nothing; another one does."""
    index, asked = Index.open(small), []
    matching = Catalog.matching

    def counted(self: Catalog, filter: Filter) -> npt.NDArray[np.int64]:
        asked.append(filter)
        return matching(self, filter)

    monkeypatch.setattr(Catalog, "matching", counted)
    for n in (5, 5, 6, 5):
        index.search(QUERIES, 2, filter=below(n))
    assert asked == [below(5), below(6)]


def copies() -> Vectors:
    """100 unit vectors: 20 directions, each five times with a little noise."""
    rng = np.random.default_rng(16)
    rows = np.repeat(unit_rows(20, seed=17), 5, axis=0)
    rows = rows + 0.02 * rng.standard_normal(rows.shape, dtype=np.float32)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def plainly_distinct(vectors: Vectors, order: list[int], threshold: float, k: int) -> list[int]:
    """The rule in a double loop."""
    kept: list[int] = []
    for item in order:
        if all(float(vectors[item] @ vectors[better]) < threshold for better in kept):
            kept.append(item)
    return kept[:k]


@pytest.mark.parametrize("threshold", [0.5, 0.94, 0.995, 1.0])
@pytest.mark.parametrize("k", [1, 10, 20, 40])
def test_copies_make_room_for_what_follows(tmp_path: Path, threshold: float, k: int) -> None:
    """A double loop over all items in the order of their scores."""
    build_folder(tmp_path / "index", copies())
    index = Index.open(tmp_path / "index")
    stored = index.vectors(np.arange(100))
    for query in QUERIES[:4]:
        order = index.search(query[None], 100).ids[0].tolist()
        found = index.search_distinct(query[None], k, threshold=threshold)
        assert found.ids[0].tolist() == plainly_distinct(stored, order, threshold, k)
        np.testing.assert_allclose(found.scores[0], stored[found.ids[0]] @ query, atol=1e-3)


def test_copies_are_dropped_among_those_that_match(tmp_path: Path) -> None:
    """The first 12 items are of three directions."""
    build_folder(tmp_path / "index", copies())
    found = Index.open(tmp_path / "index").search_distinct(
        QUERIES[:1], 10, threshold=0.9, filter=below(12)
    )
    assert sorted(item // 5 for item in found.ids[0].tolist()) == [0, 1, 2]


def test_copies_of_one_picture_are_dropped_at_a_threshold_of_1(tmp_path: Path) -> None:
    """Equal vectors have a cosine of 1 but for rounding; as many as differ are left."""
    build_folder(tmp_path / "index", np.repeat(unit_rows(10, seed=18), 6, axis=0))
    found = Index.open(tmp_path / "index").search_distinct(QUERIES[:1], 60, threshold=1)
    assert sorted(item // 6 for item in found.ids[0].tolist()) == list(range(10))


def test_no_more_than_a_bounded_number_of_candidates_is_looked_at(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a threshold of 0 few of 100 are left; the rule over the first 32 is the reference."""
    monkeypatch.setattr("anybind.index.search.CANDIDATES", 32)
    index = Index.open(small)
    order = index.search(QUERIES[:1], 32).ids[0].tolist()
    found = index.search_distinct(QUERIES[:1], 10, threshold=0)
    stored = index.vectors(np.arange(100))
    assert found.ids[0].tolist() == plainly_distinct(stored, order, 0, 10)
    assert len(found.ids[0]) < 10


def with_faiss(folder: Path, factory: str) -> Index:
    """An index folder whose vectors are in another kind of FAISS index."""
    opened = Index.open(folder)
    embeddings = Embeddings(folder, opened.manifest.shards, DIM)
    vectors = faiss_index.make(factory, DIM)
    vectors.add(embeddings.take(np.arange(len(embeddings))))
    return Index(
        folder,
        opened.manifest,
        opened.generation,
        vectors=vectors,
        embeddings=embeddings,
        catalog=Catalog(folder / "catalog.sqlite"),
    )


@pytest.mark.parametrize("kind", ["graph", "flat", "built"])
def test_vectors_are_those_of_the_shards_wherever_they_are_read(
    large: Path, small: Path, graph: Index, kind: str
) -> None:
    """Bit by bit, in any shape: out of a graph, a flat index, one that was built and mapped."""
    folder = small if kind == "built" else large
    index = {
        "graph": graph,
        "flat": with_faiss(large, "Flat"),
        "built": Index.open(small),
    }[kind]
    shards = Embeddings(folder, index.manifest.shards, DIM)
    ids = np.random.default_rng(0).integers(len(index), size=(7, 3))
    np.testing.assert_array_equal(index.vectors(ids), shards.take(ids))
    np.testing.assert_array_equal(index.vectors(5), shards.take(5))
    assert index.vectors([]).shape == (0, DIM)
    for outside in (-1, len(index)):
        with pytest.raises(UsageError, match=f"asked for item {outside} of an index of"):
            index.vectors([0, outside])


def test_a_graph_that_leads_to_too_few_matches_is_passed_over(small: Path) -> None:
    """A graph of two links a vector; a matrix product over the half that matches."""
    index = with_faiss(small, "HNSW2")
    found = index.search(QUERIES, 50, filter=below(50))
    np.testing.assert_array_equal(np.sort(found.ids, axis=1), np.tile(np.arange(50), (64, 1)))
    exact = -np.sort(-QUERIES @ index.vectors(np.arange(50)).T, axis=1)
    np.testing.assert_allclose(found.scores, exact, atol=2**-11)


def test_k_is_filled_where_a_graph_leads_to_fewer(small: Path) -> None:
    """FAISS marks what it did not reach by -1; a matrix product over the vectors fills it."""
    graph = faiss_index.make("HNSW2", DIM)
    graph.add(VECTORS)
    assert faiss_index.search(graph, QUERIES, 100)[1].min() == -1
    opened = Index.open(small)
    index = Index(
        small,
        opened.manifest,
        opened.generation,
        vectors=graph,
        embeddings=Embeddings(small, opened.manifest.shards, DIM),
        catalog=Catalog(small / "catalog.sqlite"),
    )
    found = index.search(QUERIES, 100)
    np.testing.assert_array_equal(np.sort(found.ids, axis=1), np.tile(np.arange(100), (64, 1)))
    np.testing.assert_allclose(found.scores, -np.sort(-QUERIES @ VECTORS.T, axis=1), atol=2**-11)


def test_no_queries_get_no_answers(small: Path) -> None:
    """An empty batch is a batch."""
    found = Index.open(small).search(QUERIES[:0], 5)
    assert found.ids.shape == found.scores.shape == (0, 5)


def test_parts_of_different_indices_are_refused(small: Path, tmp_path: Path) -> None:
    """A catalog of another folder, a missing part, a cut part: each says which."""
    folder = tmp_path / "index"
    shutil.copytree(small, folder, symlinks=True)
    build_folder(tmp_path / "other", VECTORS[:60])
    shutil.copy(tmp_path / "other" / "catalog.sqlite", folder)
    with pytest.raises(IndexFolderError, match="does not hold together.* 60 in the catalog"):
        Index.open(folder)
    (folder / "catalog.sqlite").unlink()
    with pytest.raises(IndexFolderError, match="catalog.sqlite is missing"):
        Index.open(folder)
    index_file = folder / "generations/0001/image.index"
    index_file.write_bytes(index_file.read_bytes()[:-1])
    with pytest.raises(IndexFolderError, match="bytes, the manifest says"):
        Index.open(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["state"] = "building"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IndexFolderError, match="stopped after 103 items; run the same build-index"):
        Index.open(folder)
