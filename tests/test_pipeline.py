"""AnyBind over a small index: the same answers as a matrix product, from any number of threads."""

import threading
from pathlib import Path

import numpy as np
import pytest

import anybind
from anybind.encoders.modality import Modality, Vectors
from anybind.errors import IndexFolderError, MediaError, UsageError
from anybind.index.filters import Filter
from anybind.pipeline import Asked, Encoded

from .conftest import N_PICTURES


@pytest.fixture(scope="session")
def ab(world_index: Path) -> anybind.AnyBind:
    """The index, open."""
    return anybind.load(world_index)


def test_a_search_equals_a_matrix_product(ab: anybind.AnyBind, world_pictures: Path) -> None:
    """The reference embeds every picture anew and sorts the products; vectors are stored as fp16,
    which moves a product by less than 1e-3."""
    files = sorted(world_pictures.glob("*.png"))
    vectors = ab.embed(image=list(files))
    query = ab.embed(text="a red train on snow")
    hits = ab.search(text="a red train on snow", k=N_PICTURES)
    scores = {f"{path.name}": float(query @ row) for path, row in zip(files, vectors, strict=True)}
    for hit in hits:
        assert hit.image_path is not None
        assert abs(hit.score - scores[Path(hit.image_path).name]) < 1e-3
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert {h.id for h in hits} == set(range(N_PICTURES))


def test_a_picture_of_the_index_finds_itself(ab: anybind.AnyBind, world_pictures: Path) -> None:
    """Through the same file; its caption comes from the .txt beside it."""
    path = sorted(world_pictures.glob("*.png"))[5]
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


def plain(parts: Vectors, weights: list[float], centres: list[Vectors] | None = None) -> Vectors:
    """The unit vector of a weighted sum, written in numpy; with ``centres``, of what is left of
    each unit part without its centre, at unit length."""
    rows = parts.astype(np.float64)
    if centres is not None:
        rows = rows - np.stack(centres)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    total = np.array(weights) @ rows
    unit: Vectors = (total / np.linalg.norm(total)).astype(np.float32)
    return unit


def test_arithmetic_equals_plain_numpy(ab: anybind.AnyBind, world_pictures: Path) -> None:
    """A picture, two texts and an item of the index, with and without the means the manifest has,
    given by name and as inputs."""
    path = sorted(world_pictures.glob("*.png"))[3]
    parts = np.stack(
        [ab.embed(image=path), *ab.embed(text=["blue", "red"]), ab.index.vectors([7])[0]]
    )
    image, text = (np.array(ab.index.manifest.centres[name]) for name in ("image", "text"))
    inputs = [
        anybind.Input("image", path, weight=0.5),
        anybind.Input("text", "blue"),
        anybind.Input("text", "red", weight=-2.0),
        anybind.Input("id", 7, weight=-0.3),
    ]
    signed = [0.5, 1.0, -2.0, -0.3]
    for centre, centres in ((False, None), (True, [image, text, text, image])):
        named = ab.mix(
            image=path,
            text="blue",
            minus={"text": "red", "id": 7},
            weights={"image": 0.5, "text": [1.0, 2.0], "id": 0.3},
            centre=centre,
        )
        listed = ab.mix(*inputs, centre=centre)
        expected = plain(parts, signed, centres)
        np.testing.assert_allclose(named.vector, expected, atol=1e-6)
        np.testing.assert_allclose(listed.vector, expected, atol=1e-6)
        assert named.weights == (0.5, 1.0, -2.0, -0.3) and named.centred is centre
        hits = ab.search(*inputs, centre=centre, k=5)
        exact = ab.index.vectors(range(N_PICTURES)) @ expected
        assert [hit.id for hit in hits] == np.argsort(-exact)[:5].tolist()
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(-exact)[:5] * -1, atol=1e-3)


def test_a_mixture_is_the_plain_sum_unless_asked(ab: anybind.AnyBind) -> None:
    """And without an index the means are the encoder's."""
    parts = ab.embed(text=["a dog", "a cat"])
    found = ab.mix(text=["a dog", "a cat"])
    np.testing.assert_allclose(found.vector, plain(parts, [1.0, 1.0]), atol=1e-6)
    assert not found.centred
    alone = anybind.AnyBind(ab.encoder)
    middle = np.array(ab.encoder.centres[Modality.TEXT])
    np.testing.assert_allclose(
        alone.mix(text=["a dog", "a cat"], centre=True).vector,
        plain(parts, [1.0, 1.0], [middle, middle]),
        atol=1e-6,
    )


def test_a_list_is_several_parts_of_a_query(ab: anybind.AnyBind) -> None:
    """The same as one input each; vectors may be rows of one array."""
    texts = ["a dog", "a cat", "red"]
    inputs = [anybind.Input("text", text) for text in texts]
    assert ab.search(text=texts, k=4) == ab.search(*inputs, k=4)
    rows = ab.embed(text=texts)
    np.testing.assert_allclose(
        ab.mix(embedding=rows).vector, plain(rows, [1.0, 1.0, 1.0]), atol=1e-6
    )


def test_the_published_mixing_keeps_the_length(ab: anybind.AnyBind) -> None:
    """The reference is its formula: Σ wᵢ·eᵢ / (Σ wᵢ + 1e-6) over unit vectors."""
    rows = ab.embed(text=["a dog", "a cat"])
    found = ab.mix(text=["a dog", "a cat"], weights={"text": [1, 3]}, mixing="imagebind-llm")
    np.testing.assert_allclose(found.vector, (rows[0] + 3 * rows[1]) / (4 + 1e-6), atol=1e-6)
    np.testing.assert_allclose(found.weights, (0.25, 0.75), atol=1e-6)
    assert abs(found.norm - float(np.linalg.norm(found.vector))) < 1e-6


def test_arithmetic_turns_red_into_blue(ab: anybind.AnyBind) -> None:
    """Every one-object picture of the index, less its colour's name, plus another: the vector comes
    nearer to the caption in the other colour and leaves the one in its own."""
    from anybind.world.colours import COLOUR_NAMES
    from anybind.world.scene import scene
    from anybind.world.splits import split_ids

    scenes = [scene(number) for number in split_ids("test", N_PICTURES)]
    rows = [row for row, of in enumerate(scenes) if len(of.objects) == 1]
    turned = []
    for row in rows:
        item = scenes[row].objects[0]
        other = next(colour for colour in COLOUR_NAMES if colour != item.colour)
        query = ab.mix(id=row, text=other, minus={"text": item.colour}).vector
        own, wanted = ab.embed(text=[f"a {c} {item.category}" for c in (item.colour, other)])
        turned.append(float(query @ wanted) > float(query @ own))
    assert len(turned) > 10 and np.mean(turned) > 0.9


def test_pages_follow_each_other(ab: anybind.AnyBind) -> None:
    """Pieces of the whole ranking; the last page is short, the one behind it empty."""
    ranking = ab.search(text="a red train", k=N_PICTURES)
    for offset in (0, 1, 10, N_PICTURES - 3, N_PICTURES, 1000):
        page = ab.search(text="a red train", k=7, offset=offset)
        assert page == ranking[offset : offset + 7]


def test_a_filter_chooses_among_all(ab: anybind.AnyBind) -> None:
    """The whole ranking without the items that do not pass, as a mapping and as a filter."""
    ranking = ab.search(text="a red train", k=N_PICTURES)
    mapping = {"id": {"gt": 3}, "caption": {"contains": "A"}}
    expected = [h for h in ranking if h.id > 3 and h.caption and "a" in h.caption.lower()]
    assert len(expected) > 10
    for chosen in (mapping, Filter.parse(mapping)):
        assert ab.search(text="a red train", k=5, offset=2, filter=chosen) == expected[2:7]
    assert ab.search(text="a red train", k=3, filter={"width": {"gt": 96}}) == []


def test_copies_are_left_out_before_the_page_is_cut(ab: anybind.AnyBind) -> None:
    """The rule written out over the whole ranking: an item as near as that to a better one that
    was kept is left out."""
    kept: list[anybind.Hit] = []
    for hit in ab.search(text="a red train", k=N_PICTURES):
        near = [float(a @ b) for a, b in (ab.index.vectors([[hit.id, k.id]])[0] for k in kept)]
        if max(near, default=-1.0) < 0.6:
            kept.append(hit)
    assert 4 < len(kept) < N_PICTURES
    assert ab.search(text="a red train", k=4, dedup=0.6) == kept[:4]
    assert ab.search(text="a red train", k=N_PICTURES, offset=2, dedup=0.6) == kept[2:]


def test_searches_at_once_are_the_searches_one_by_one(ab: anybind.AnyBind) -> None:
    """Of different k, pages, filters and thresholds; the reference asks each alone."""
    rows = ab.embed(text=["a dog", "a cat", "red", "a blue car", "snow", "a boat"])
    some = Filter.parse({"id": {"lt": 9}})
    asked = [
        Asked(vector=rows[0], k=3),
        Asked(vector=2 * rows[1], k=9, offset=4),
        Asked(vector=rows[2], filter=some),
        Asked(vector=rows[3], k=2, offset=1, filter=some),
        Asked(vector=rows[4], k=4, dedup=0.7),
        Asked(vector=rows[5], k=5, offset=100),
    ]
    found = ab.neighbours(asked)
    for each, hits in zip(asked, found, strict=True):
        alone = ab.search(
            embedding=each.vector,
            k=each.k,
            offset=each.offset,
            filter=each.filter,
            dedup=each.dedup,
        )
        assert [hit.id for hit in hits] == [hit.id for hit in alone]
        np.testing.assert_allclose([h.score for h in hits], [h.score for h in alone], atol=1e-6)
    assert [len(hits) for hits in found] == [3, 9, 9, 2, 4, 0]


def test_mixtures_are_enhanced_at_once_as_one_by_one(ab: anybind.AnyBind) -> None:
    """Each by its own cache; the reference enhances each as it is mixed."""
    texts = ["a dog", "a cat", "red"]
    caches = [anybind.Cache(k=3), anybind.Cache(k=8, alpha=0.9), anybind.Cache(weighting="linear")]
    found = ab.enhance([ab.mix(text=text) for text in texts], caches)
    for text, cache, mixture in zip(texts, caches, found, strict=True):
        alone = ab.mix(text=text, cache=cache)
        np.testing.assert_allclose(mixture.vector, alone.vector, atol=1e-6)
        assert [c.id for c in mixture.citations] == [c.id for c in alone.citations]
        np.testing.assert_allclose(
            [(c.weight, c.score) for c in mixture.citations],
            [(c.weight, c.score) for c in alone.citations],
            atol=1e-6,
        )
        assert len(mixture.citations) == cache.k


def test_a_medium_embedded_before_is_mixed_as_itself(
    ab: anybind.AnyBind, world_pictures: Path
) -> None:
    """Beside others of its modality, centred, and left alone by the cache if it is a picture."""
    path = sorted(world_pictures.glob("*.png"))[2]
    texts = ab.embed(text=["a dog", "a cat"])
    ready = [
        anybind.Input("text", "a dog"),
        anybind.Input("text", Encoded(3 * texts[1])),
        anybind.Input("image", Encoded(ab.embed(image=path)), weight=-0.2),
    ]
    plainly = [
        anybind.Input("text", "a dog"),
        anybind.Input("text", "a cat"),
        anybind.Input("image", path, weight=-0.2),
    ]
    for centre in (False, True):
        found, expected = ab.mix(*ready, centre=centre), ab.mix(*plainly, centre=centre)
        np.testing.assert_allclose(found.vector, expected.vector, atol=1e-6)
    assert not ab.mix(ready[2], cache=anybind.Cache()).citations
    assert ab.mix(ready[1], cache=anybind.Cache()).citations
    with pytest.raises(UsageError, match=r"has shape \(3,\)"):
        ab.mix(anybind.Input("text", Encoded(np.ones(3, np.float32))))


def test_32_threads_get_the_answers_of_one(ab: anybind.AnyBind, world_pictures: Path) -> None:
    """Texts and pictures mixed, different k; the reference runs the same queries in turn."""
    files = sorted(world_pictures.glob("*.png"))
    queries = [
        {"text": f"a {colour} thing", "k": k}
        if k % 2
        else {"image": files[k], "minus": {"text": colour}, "k": k}
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
        ({}, "nothing to mix or to look for"),
        ({"text": []}, "list of text is empty"),
        ({"text": "a", "weights": {"text": 0}}, "all weights are zero"),
        ({"text": "a", "weights": {"image": 1}}, "there are inputs of text"),
        ({"text": ["a", "b"], "weights": {"text": [1.0]}}, "1 weights for 2 inputs of text"),
        ({"text": "a", "weights": {"text": float("nan")}}, "the weight of text is nan"),
        ({"text": "a", "minus": {"sound": "b"}}, "an input is called 'sound'"),
        ({"text": "a red dog", "minus": {"text": "a red dog"}}, "cancel each other"),
        ({"id": 3, "minus": {"id": [3]}, "centre": True}, "cancel each other"),
        ({"id": "3"}, "id '3' is no row number"),
        ({"embedding": np.eye(2, 256), "centre": True}, "does not say what it is of"),
        ({"embedding": "red"}, "no array of numbers"),
        ({"text": " "}, "text is empty"),
        ({"text": 3}, "text is a int"),
        ({"text": "a", "k": 25}, "asked for 25 neighbours of an index of 24 vectors"),
        ({"text": "a", "k": 0}, "ask for at least 1"),
        ({"text": "a", "k": 0, "offset": 3}, "ask for at least 1"),
        ({"text": "a", "offset": -1}, "the offset is -1; results are counted from 0"),
        ({"text": "a", "dedup": 94}, "dedup is 94; give the cosine"),
        ({"text": "a", "filter": {"colour": "red"}}, "no column is called 'colour'"),
        ({"id": 24}, "24"),
        ({"embedding": np.zeros(256, np.float32)}, "zero or not finite"),
        ({"embedding": np.ones(3, np.float32)}, "has shape (3,); vectors of this encoder have 256"),
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


def test_another_encoder_is_refused(world_index: Path) -> None:
    """The published preparation gives other vectors, so it counts as another encoder."""
    other = anybind.load_encoder(reference=True)
    with pytest.raises(IndexFolderError) as caught:
        anybind.load(world_index, encoder=other)
    assert other.fingerprint[:19] in str(caught.value)
