"""AnyBind over a small index: the same answers as a matrix product, from any number of threads."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import anybind
from anybind.encoders.modality import Vectors
from anybind.errors import IndexFolderError, MediaError, UsageError

N_PICTURES = 24


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of test scenes, with the captions beside them."""
    from anybind.world.captions import caption
    from anybind.world.render import render
    from anybind.world.scene import scene
    from anybind.world.splits import split_ids

    folder = tmp_path_factory.mktemp("pictures")
    for number in split_ids("test", N_PICTURES):
        Image.fromarray(render(scene(number), 96).image).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(caption(scene(number)))
    return folder


@pytest.fixture(scope="session")
def folder(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index over them."""
    out = tmp_path_factory.mktemp("index") / "world"
    options = anybind.BuildOptions(source="folder", inputs=(str(pictures),), out=out, workers=1)
    anybind.build_index(options, anybind.load_encoder())
    return out


@pytest.fixture(scope="session")
def ab(folder: Path) -> anybind.AnyBind:
    """The index, open."""
    return anybind.load(folder)


def test_a_search_equals_a_matrix_product(ab: anybind.AnyBind, pictures: Path) -> None:
    """The reference embeds every picture anew and sorts the products; vectors are stored as fp16,
    which moves a product by less than 1e-3."""
    files = sorted(pictures.glob("*.png"))
    vectors = ab.embed(image=list(files))
    query = ab.embed(text="a red train on snow")
    hits = ab.search(text="a red train on snow", k=N_PICTURES)
    scores = {f"{path.name}": float(query @ row) for path, row in zip(files, vectors, strict=True)}
    for hit in hits:
        assert hit.image_path is not None
        assert abs(hit.score - scores[Path(hit.image_path).name]) < 1e-3
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert {h.id for h in hits} == set(range(N_PICTURES))


def test_a_picture_of_the_index_finds_itself(ab: anybind.AnyBind, pictures: Path) -> None:
    """Through the same file; its caption comes from the .txt beside it."""
    path = sorted(pictures.glob("*.png"))[5]
    (hit,) = ab.search(image=path, k=1)
    assert hit.image_path is not None and Path(hit.image_path).name == path.name
    assert hit.score > 0.999
    assert hit.caption == path.with_suffix(".txt").read_text()
    assert (hit.width, hit.height) == (96, 96)


def test_an_item_of_the_index_is_a_query(ab: anybind.AnyBind) -> None:
    """The reference searches with the stored vector."""
    assert ab.search(id=7, k=5) == ab.search(embedding=ab.index.vectors([7])[0], k=5)
    assert ab.search(id=7, k=1)[0].id == 7


def test_an_embedding_of_any_length_searches_alike(ab: anybind.AnyBind) -> None:
    """Only the direction counts."""
    query = ab.embed(text="a blue car")
    scores = [hit.score for hit in ab.search(embedding=3 * query, k=3)]
    np.testing.assert_allclose(scores, [h.score for h in ab.search(text="a blue car", k=3)], 1e-5)


def test_a_list_is_a_batch(ab: anybind.AnyBind) -> None:
    """One item gives a vector, a list a row each, in order."""
    texts = ["a dog", "a cat"]
    rows = ab.embed(text=texts)
    assert rows.shape == (2, ab.encoder.dim)
    for text, row in zip(texts, rows, strict=True):
        np.testing.assert_allclose(ab.embed(text=text), row, atol=1e-6)


def test_32_threads_get_the_answers_of_one(ab: anybind.AnyBind, pictures: Path) -> None:
    """Texts and pictures mixed, different k; the reference runs the same queries in turn."""
    files = sorted(pictures.glob("*.png"))
    queries = [
        {"text": f"a {colour} thing", "k": k} if k % 2 else {"image": files[k], "k": k}
        for k, colour in enumerate(["red", "green", "blue", "white"] * 4, start=1)
    ] * 2
    serial = [ab.search(**query) for query in queries]  # type: ignore[arg-type]
    parallel: dict[int, list[anybind.Hit]] = {}

    def work(i: int) -> None:
        parallel[i] = ab.search(**queries[i])  # type: ignore[arg-type]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(queries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(threads) == 32
    assert [parallel[i] for i in range(32)] == serial


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "got none"),
        ({"text": "a", "id": 1}, "got text and id"),
        ({"text": " "}, "text is empty"),
        ({"text": 3}, "text is a int"),
        ({"text": ["a", "b"]}, "one query at a time"),
        ({"text": "a", "k": 25}, "asked for 25 neighbours of an index of 24 vectors"),
        ({"text": "a", "k": 0}, "ask for at least 1"),
        ({"id": 24}, "24"),
        ({"audio": b""}, "cannot encode audio"),
        ({"embedding": np.zeros(256, np.float32)}, "zero or not finite"),
        ({"embedding": np.ones(3, np.float32)}, "has 3 numbers; this index has 256"),
    ],
)
def test_wrong_queries_say_what_there_is(
    ab: anybind.AnyBind, query: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ab.search(**query)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreadable_query_leaves_the_index_usable(ab: anybind.AnyBind) -> None:
    with pytest.raises(MediaError):
        ab.search(image=b"not a picture")
    assert len(ab.search(text="a dog", k=1)) == 1


def test_without_an_index_one_can_embed_only() -> None:
    ab = anybind.load()
    vector: Vectors = ab.embed(text="a dog")
    assert vector.shape == (256,)
    with pytest.raises(UsageError, match="no index is open"):
        ab.search(text="a dog")


def test_another_encoder_is_refused(folder: Path) -> None:
    """The published preparation gives other vectors, so it counts as another encoder."""
    other = anybind.load_encoder(reference=True)
    with pytest.raises(IndexFolderError) as caught:
        anybind.load(folder, encoder=other)
    assert other.fingerprint[:19] in str(caught.value)
