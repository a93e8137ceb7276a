"""Asking about media: what the language model is shown, what it cites, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anybind import Cache, Generation, Input
from anybind.encoders.modality import Vectors
from anybind.errors import AnyBindError, UsageError, WeightsError
from anybind.llm.model import LanguageModel
from anybind.llm.presets import PRESETS, LanguageModels
from anybind.llm.prompt import Turn, format_prompt, format_turns
from anybind.pipeline import AnyBind

from .answering import N, open_small, write_own_adapter

QUESTION = "w5 w9"
GREEDY = Generation(temperature=0, max_tokens=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the index and the language model are."""
    return tmp_path_factory.mktemp("small")


@pytest.fixture(scope="module")
def ab(folder: Path) -> AnyBind:
    return open_small(folder)


@pytest.fixture(scope="module")
def model(ab: AnyBind) -> LanguageModel:
    return ab.chat().model


def said(model: LanguageModel, vector: Vectors | None, question: str = QUESTION) -> str:
    """The reference: what the language model itself says of a vector."""
    shown = None if vector is None else vector[None]
    (answer,) = model.generate([format_prompt(question)], shown, GREEDY)
    return answer


def test_a_sound_is_pulled_toward_images_and_cites_them(ab: AnyBind, model: LanguageModel) -> None:
    """The reference enhances the vector of the sound by itself."""
    vector = ab.embed(audio="dog.wav")
    enhanced = Cache().enhance(vector[None], ab.index)
    answer = ab.ask(QUESTION, audio="dog.wav", settings=GREEDY)
    assert str(answer) == answer.text == said(model, enhanced.vectors[0])
    assert answer.text != said(model, vector)
    assert [c.id for c in answer.citations] == enhanced.ids[0].tolist()
    np.testing.assert_allclose([c.weight for c in answer.citations], enhanced.weights[0])
    np.testing.assert_allclose([c.score for c in answer.citations], enhanced.scores[0])
    assert answer.citations[0].caption == f"picture {answer.citations[0].id}"


def test_a_cache_of_ones_own_is_used(ab: AnyBind, model: LanguageModel) -> None:
    """As above, with other settings."""
    cache = Cache(k=3, alpha=1, weighting="linear")
    vector = ab.embed(audio="dog.wav")
    answer = ab.ask(QUESTION, audio="dog.wav", cache=cache, settings=GREEDY)
    assert answer.text == said(model, cache.enhance(vector[None], ab.index).vectors[0])
    assert len(answer.citations) == 3


@pytest.mark.parametrize("cache", [None, Cache(alpha=0)])
def test_without_the_cache_the_vector_is_shown_as_it_is(
    ab: AnyBind, model: LanguageModel, cache: Cache | None
) -> None:
    """The reference shows the vector of the sound; no index is needed."""
    alone = AnyBind(ab.encoder, None, ab.language_models)
    for one in (ab, alone):
        answer = one.ask(QUESTION, audio="dog.wav", cache=cache, settings=GREEDY)
        assert answer.text == said(model, ab.embed(audio="dog.wav"))
        assert answer.citations == ()


def test_pictures_are_shown_as_they_are(ab: AnyBind, model: LanguageModel) -> None:
    """An image, a video and an item of the index, apart and together; beside a sound, they too are
    pulled."""
    answer = ab.ask(QUESTION, image="cat.png", settings=GREEDY)
    assert answer.text == said(model, ab.embed(image="cat.png")) and not answer.citations
    assert not ab.ask(QUESTION, image="cat.png", video="c.mp4", id=3, settings=GREEDY).citations
    assert ab.ask(QUESTION, image="cat.png", audio="dog.wav", settings=GREEDY).citations


def test_inputs_mix_as_the_preset_was_tuned(folder: Path, model: LanguageModel) -> None:
    """The references are the formulas: to unit length, and shares of unit vectors, not centred."""
    rows = open_small(folder).embed(text=["a dog", "a cat"])
    total = rows[0] + 3 * rows[1]
    expected = {
        "llama-mini": total / np.linalg.norm(total),
        "imagebind-llm-7b": total / (4 + 1e-6),
    }
    for preset, vector in expected.items():
        answer = open_small(folder, preset).ask(
            QUESTION,
            Input("text", "a dog"),
            Input("text", "a cat", weight=3),
            cache=None,
            settings=GREEDY,
        )
        assert answer.query is not None and not answer.query.centred
        np.testing.assert_allclose(answer.query.vector, vector, atol=1e-6)
        assert answer.text == said(model, answer.query.vector)


def test_a_question_about_nothing_sees_the_zero_vector(ab: AnyBind, model: LanguageModel) -> None:
    """As in text-only training; the index is not asked."""
    answer = ab.ask(QUESTION, settings=GREEDY)
    assert answer.text == said(model, None)
    assert answer.query is None and answer.citations == ()


def test_a_stream_says_the_same_and_cites_from_the_start(ab: AnyBind) -> None:
    """The reference is the whole answer."""
    whole = ab.ask(QUESTION, audio="dog.wav", settings=GREEDY)
    stream = ab.ask(QUESTION, audio="dog.wav", settings=GREEDY, stream=True)
    assert stream.answer.citations == whole.citations and stream.answer.text == ""
    assert "".join(stream) == whole.text == stream.answer.text


def test_searching_with_a_cache_searches_for_the_enhanced_vector(ab: AnyBind) -> None:
    """The reference enhances first and searches then, by cosine; a picture is left alone."""
    for cache in (Cache(k=4, alpha=0.7), Cache(k=4, weighting="linear", normalize=False)):
        enhanced = cache.enhance(ab.embed(text="a dog")[None], ab.index).vectors[0]
        found, expected = ab.search(text="a dog", cache=cache), ab.search(embedding=enhanced)
        assert [hit.id for hit in found] == [hit.id for hit in expected]
        np.testing.assert_allclose(
            [hit.score for hit in found], [hit.score for hit in expected], atol=1e-6
        )
        assert [hit.id for hit in found] != [hit.id for hit in ab.search(text="a dog")]
        assert ab.search(image="a.png", cache=cache) == ab.search(image="a.png")


def test_a_conversation_carries_its_media_on(ab: AnyBind, model: LanguageModel) -> None:
    """The reference spells out the prompt and which vector each piece sees."""
    chat = ab.chat()
    first = chat.ask("w5", image="cat.png", settings=GREEDY)
    second = chat.ask("w6", settings=GREEDY)
    third = chat.ask("w7", image="dog.png", settings=GREEDY)
    turns = [
        Turn(question="w5", answer=first.text),
        Turn(question="w6", answer=second.text),
        Turn(question="w7"),
    ]
    cat, dog = ab.embed(image=["cat.png", "dog.png"])
    vectors = np.stack([cat, cat, cat, cat, dog])
    assert [third.text] == model.generate([format_turns(turns)], [vectors], GREEDY)
    assert second.query is None and first.text == said(model, cat, "w5")
    assert [turn.answer for turn in chat.turns] == [first, second, third]
    chat.reset()
    assert not chat.turns
    assert chat.ask("w6", settings=GREEDY).text == said(model, None, "w6")


def test_a_stream_that_is_not_read_to_its_end_leaves_the_conversation(ab: AnyBind) -> None:
    """Closed after its first piece; and read to its end."""
    chat = ab.chat()
    stream = chat.ask("w5", image="cat.png", settings=GREEDY, stream=True)
    next(stream)
    stream.close()
    assert not chat.turns
    text = "".join(chat.ask("w5", image="cat.png", settings=GREEDY, stream=True))
    assert [turn.answer.text for turn in chat.turns] == [text]


def test_a_full_context_forgets_the_oldest_turns(ab: AnyBind, model: LanguageModel) -> None:
    """The reference spells out the three turns that fit, and the picture of the first."""
    long = " ".join(["w5"] * 300)
    chat = ab.chat()
    texts = [chat.ask(long, image="cat.png", settings=GREEDY).text]
    texts += [chat.ask(long, settings=GREEDY).text for _ in range(2)]
    answer = chat.ask(long, settings=GREEDY)
    assert answer.forgotten == 1 and len(chat.turns) == 4
    turns = [Turn(question=long, answer=text) for text in texts[1:]]
    pieces = format_turns([*turns, Turn(question=long)])
    vectors = np.stack([ab.embed(image="cat.png")] * len(pieces))
    assert [answer.text] == model.generate([pieces], [vectors], GREEDY)


def test_a_conversation_is_saved_as_json(ab: AnyBind, tmp_path: Path) -> None:
    """With what was shown and what the cache drew on."""
    chat = ab.chat()
    answer = chat.ask("w5", Input("audio", Path("dog.wav"), weight=0.5), settings=GREEDY)
    chat.ask("w6 是", settings=GREEDY)
    chat.save(tmp_path / "chat.json")
    content = json.loads((tmp_path / "chat.json").read_text(encoding="utf-8"))
    assert content["language_model"] == "llama-mini" and content["encoder"] == "labels"
    first, second = content["turns"]
    assert first["inputs"] == [{"modality": "audio", "value": "dog.wav", "weight": 0.5}]
    assert (first["question"], first["answer"]) == ("w5", answer.text)
    assert first["citations"] == [vars(citation) for citation in answer.citations]
    assert second["question"] == "w6 是" and second["citations"] == []


@pytest.mark.parametrize(
    ("question", "cache", "message"),
    [
        ("", "default", "the question is empty"),
        ("x" * 100_000, "default", "has 100[0-9]{3} characters .* at most 1024 tokens"),
        ("w5 " * 1100, "default", "tokens and the language model reads and writes at most 1024"),
        ("w5", Cache(k=N + 1), f"asked for {N + 1} neighbours of an index of {N} vectors"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(
    ab: AnyBind, question: str, cache: Cache, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        ab.ask(question, audio="dog.wav", cache=cache)
    assert "\n" not in str(caught.value)


def test_a_cache_needs_an_index(ab: AnyBind) -> None:
    """Of sounds, say, but no images are refused by the cache itself."""
    alone = AnyBind(ab.encoder, None, ab.language_models)
    with pytest.raises(UsageError, match="none is open; .* go without: cache=None"):
        alone.ask(QUESTION, audio="dog.wav")
    with pytest.raises(UsageError, match="there is no input"):
        ab.ask(QUESTION, weights={"audio": 2})
    with pytest.raises(TypeError, match="unexpected keyword 'sound'"):
        ab.ask(QUESTION, sound="dog.wav")  # type: ignore[call-overload]


def test_another_base_is_refused_unless_forced(folder: Path, ab: AnyBind, tmp_path: Path) -> None:
    """The adapter says which base it is for."""
    adapter = write_own_adapter(folder / "base", tmp_path / "a.safetensors", of="sha256:other")
    preset = replace(PRESETS["llama-mini"], name="mine")

    def asking(**options: bool | str) -> AnyBind:
        models = LanguageModels(preset, base=folder / "base", adapter=adapter, **options)  # type: ignore[arg-type]
        return AnyBind(ab.encoder, ab.index, models)

    with pytest.raises(WeightsError, match="is for the base sha256:other, and the base here is"):
        asking().ask(QUESTION)
    assert asking(force=True).ask(QUESTION, settings=GREEDY).text
    with pytest.raises(AnyBindError, match="sha256:pinned"):
        asking(expect_base="sha256:pinned").ask(QUESTION)
