"""OpenAI's own client, unmodified, gets from the server what the library gives."""

import asyncio
import base64
import io
import json
import time
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import openai
import pytest
import soundfile
from starlette.requests import Request

import anybind
from anybind.encoders.modality import Modality
from anybind.encoders.text import TextPreprocessor
from anybind.errors import UsageError
from anybind.server.completions import Completion, Stops
from anybind.server.engine import Answering
from anybind.server.keys import new_key
from anybind.server.openai_schemas import ChatRequest, EmbeddingsRequest, conversation_of
from anybind.server.routes.common import Events
from anybind.server.settings import Settings

from .serving import Running, serving

ENCODER, CHAT = "imagebind-mini", "llama-mini"
QUESTION, FOLLOW_UP = "w5 w9 w20", "w7 w3"  # the small language model speaks in such words
GREEDY: dict[str, Any] = {"model": CHAT, "temperature": 0, "max_tokens": 8}
LIBRARY = anybind.Generation(temperature=0, max_tokens=8)


@pytest.fixture(scope="module")
def server(world_index: Path, language_model: dict[str, Any]) -> Iterator[Running]:
    settings = Settings(decoders=1, max_parts=4)
    with serving(
        {"world": world_index, "again": world_index}, settings=settings, options=language_model
    ) as running:
        yield running


@pytest.fixture(scope="module")
def ab(world_index: Path, language_model: dict[str, Any]) -> anybind.AnyBind:
    """What the server's answers are compared with."""
    return anybind.load(world_index, **language_model)


def open_client(server: Running, **options: Any) -> openai.OpenAI:
    """OpenAI's client of a server; it does not try again."""
    given = {"base_url": f"{server.url}/v1", "api_key": "-", "max_retries": 0, **options}
    return openai.OpenAI(**given, http_client=openai.DefaultHttpxClient(trust_env=False))


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    with open_client(server) as own:
        yield own


@pytest.fixture(scope="module")
def picture(world_pictures: Path) -> bytes:
    return sorted(world_pictures.glob("*.png"))[3].read_bytes()


@pytest.fixture(scope="module")
def sound() -> bytes:
    """A second of a falling tone."""
    seconds = np.arange(16_000) / 16_000
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(2000 * seconds * (2 - seconds)), 16_000, format="WAV")
    return file.getvalue()


@pytest.fixture(scope="module")
def cloud() -> bytes:
    """200 points, as .npy."""
    file = io.BytesIO()
    np.save(file, np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32))
    return file.getvalue()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{b64(content)}"


# ------------------------------------------------------------------------------------ embeddings


@pytest.mark.parametrize("encoding", ["float", "base64", openai.omit])
def test_texts_become_the_vectors_of_the_library(
    client: openai.OpenAI, ab: anybind.AnyBind, encoding: Any
) -> None:
    """Six, more than a query may have; as numbers, as base64, and as the client asks by itself
    (base64, which it decodes)."""
    texts = [f"a {colour} train" for colour in ("red", "blue", "green", "white", "grey", "black")]
    found = client.embeddings.create(model=ENCODER, input=texts, encoding_format=encoding)
    assert [each.index for each in found.data] == list(range(6)) and found.model == ENCODER
    for each, expected in zip(found.data, ab.embed(text=texts), strict=True):
        vector: Any = each.embedding
        if isinstance(vector, str):  # the format that the API documents for base64
            vector = np.frombuffer(base64.b64decode(vector), "<f4")
        np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_tokens_are_counted_as_the_tower_reads_them(
    client: openai.OpenAI, ab: anybind.AnyBind
) -> None:
    """The reference counts CLIP's ids by the tokenizer, and adds those that open and end a text;
    no text has more than a row of the tower; pictures have none."""
    prepare = ab.encoder.preprocessor(Modality.TEXT)
    assert isinstance(prepare, TextPreprocessor)
    texts = ["a red train!", "snow", "tree " * 200]
    expected = [
        min(len(list(prepare.tokenizer.iter_ids(text))) + 2, prepare.n_tokens) for text in texts
    ]
    usage = client.embeddings.create(model=ENCODER, input=texts).usage
    assert usage.prompt_tokens == usage.total_tokens == sum(expected)


def test_media_become_the_vectors_of_the_library(
    client: openai.OpenAI, ab: anybind.AnyBind, picture: bytes, sound: bytes, cloud: bytes
) -> None:
    """By a data: URL that says what it is, and by ``modality`` with base64; an index by its name
    is its encoder."""
    expected = ab.embed(image=picture), ab.embed(audio=sound), ab.embed(points=cloud)
    named = client.embeddings.create(
        model="again", input=[data_url(picture, "image/png"), data_url(sound, "audio/wav")]
    )
    assert named.usage.prompt_tokens == 0
    given = [
        client.embeddings.create(model=ENCODER, input=text, extra_body={"modality": modality})
        for text, modality in (
            (b64(picture), "image"),
            (data_url(sound, "application/octet-stream"), "audio"),
            (b64(cloud), "points"),
        )
    ]
    found = [*named.data, *(each.data[0] for each in given)]
    for each, vector in zip(found, (*expected[:2], *expected), strict=True):
        np.testing.assert_allclose(each.embedding, vector, atol=1e-6)


def test_what_looks_like_a_data_url_and_is_none_is_a_text() -> None:
    """Modality is guessed from a data: URL in base64 alone."""
    for text in ("data: the new oil", "data:image/png, 3 x 4", "https://example.org/a.jpg"):
        (given,) = EmbeddingsRequest(model=ENCODER, input=text).inputs
        assert (given.text, given.data) == (text, None)
    (given,) = EmbeddingsRequest(
        model=ENCODER, input="data:IMAGE/png;base64,AA==", modality="text"
    ).inputs
    assert given.text == "data:IMAGE/png;base64,AA=="
    with pytest.raises(UsageError, match="does not say its modality"):
        EmbeddingsRequest(model=ENCODER, input="data:model/obj;base64,AA==").inputs  # noqa: B018


# ------------------------------------------------------------------------------------------ chat


def asks(text: str, *media: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}, *media]}


def image_part(content: bytes) -> dict[str, Any]:
    url = {"url": data_url(content, "image/png"), "detail": "high"}
    return {"type": "image_url", "image_url": url}


def audio_part(content: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": b64(content), "format": "wav"}}


def own_part(**given: Any) -> dict[str, Any]:
    return {"type": "anybind", "anybind": given}


def test_an_answer_is_that_of_the_library(
    client: openai.OpenAI, ab: anybind.AnyBind, picture: bytes
) -> None:
    """And its tokens are counted by the language model's own tokenizer: a word each here."""
    found = client.chat.completions.create(messages=[asks(QUESTION, image_part(picture))], **GREEDY)  # type: ignore[list-item]
    expected = ab.ask(QUESTION, image=picture, settings=LIBRARY)
    (choice,) = found.choices
    assert choice.message.content == expected.text and choice.message.role == "assistant"
    model = ab.chat().model
    prompt = ab.chat().prepare(QUESTION, image=picture).pieces
    n_words = len(expected.text.split())
    assert found.usage is not None
    assert found.usage.prompt_tokens == model.count(prompt)
    assert found.usage.completion_tokens == n_words
    assert choice.finish_reason == ("length" if n_words == 8 else "stop")
    assert found.model == CHAT and found.id.startswith("chatcmpl-")


def test_a_sound_draws_on_images_which_are_cited(
    client: openai.OpenAI, ab: anybind.AnyBind, sound: bytes
) -> None:
    """By the language model's own cache, by another, and by none."""
    caches: list[tuple[dict[str, Any], Any]] = [
        ({}, "default"),
        ({"cache": {"k": 3, "alpha": 0.9}, "index": "again"}, anybind.Cache(k=3, alpha=0.9)),
        ({"cache": None}, None),
    ]
    for given, cache in caches:
        found = client.chat.completions.create(
            messages=[asks(QUESTION, audio_part(sound))],  # type: ignore[list-item]
            extra_body=given,
            **GREEDY,
        )
        expected = ab.ask(QUESTION, audio=sound, settings=LIBRARY, cache=cache)
        assert found.choices[0].message.content == expected.text
        assert found.model_extra is not None
        cited = found.model_extra["anybind"]["citations"]
        assert [each["id"] for each in cited] == [each.id for each in expected.citations]
        assert len(cited) == (0 if cache is None else 3 if given else 10)


def test_media_of_one_message_mix_with_their_weights(
    client: openai.OpenAI, ab: anybind.AnyBind, picture: bytes, sound: bytes, cloud: bytes
) -> None:
    """A picture and a sound of weight 1, a cloud and a text of their own, one taken away."""
    parts = (
        image_part(picture),
        audio_part(sound),
        own_part(modality="points", data=b64(cloud), weight=0.5),
        own_part(text="snow", weight=-0.2),
    )
    found = client.chat.completions.create(messages=[asks(QUESTION, *parts)], **GREEDY)  # type: ignore[list-item]
    expected = ab.ask(
        QUESTION,
        anybind.Input("image", picture),
        anybind.Input("audio", sound),
        anybind.Input("points", cloud, weight=0.5),
        anybind.Input("text", "snow", weight=-0.2),
        settings=LIBRARY,
    )
    assert found.choices[0].message.content == expected.text
    assert found.model_extra is not None and expected.query is not None
    query = found.model_extra["anybind"]["query"]
    assert query["weights"] == list(expected.query.weights)
    assert query["norm"] == pytest.approx(expected.query.norm, abs=1e-5)


def test_a_video_is_shown_as_vllm_takes_it() -> None:
    """The part's shape is vLLM's."""
    part = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}
    body = ChatRequest.model_validate({"model": CHAT, "messages": [asks("w1", part)]})
    (given,) = conversation_of(body.messages).inputs
    assert (given.modality, given.data) == ("video", "data:video/mp4;base64,AAAA")


def test_a_conversation_goes_on(
    client: openai.OpenAI, ab: anybind.AnyBind, picture: bytes, sound: bytes
) -> None:
    """The reference is a chat of the library. The first answer goes back as the client gave it,
    a message object with all its empty fields."""
    first = asks(QUESTION, image_part(picture))
    said = client.chat.completions.create(messages=[first], **GREEDY).choices[0].message  # type: ignore[list-item]
    second = asks(FOLLOW_UP, audio_part(sound))
    found = client.chat.completions.create(messages=[first, said, second], **GREEDY)  # type: ignore[list-item]
    chat = ab.chat()
    assert chat.ask(QUESTION, image=picture, settings=LIBRARY).text == said.content
    expected = chat.ask(FOLLOW_UP, audio=sound, settings=LIBRARY)
    assert found.choices[0].message.content == expected.text


def test_messages_become_turns() -> None:
    """What a system says stands in front of the next question, messages of one speaker in a row
    are one; written out by hand."""
    body = ChatRequest.model_validate(
        {
            "model": CHAT,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is it?", "name": "ann"},
                {"role": "user", "content": [{"type": "text", "text": "And"}] * 2},
                {"role": "assistant", "content": "A dog."},
                {"role": "assistant", "content": None, "refusal": None, "tool_calls": []},
                {"role": "developer", "content": "Rhyme."},
                {"role": "user", "content": [own_part(id=3), {"type": "text", "text": "Why?"}]},
            ],
        }
    )
    said = conversation_of(body.messages)
    (turn,) = said.history
    assert turn.question == "Be brief.\nWhat is it?\nAnd\nAnd"
    assert turn.answer == "A dog."
    assert said.question == "Rhyme.\nWhy?" and [given.id for given in said.inputs] == [3]


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (["user", "assistant"], "end with the user's"),
        (["system"], "end with the user's"),
        (["assistant", "user"], "answers no question"),
        (["system", "assistant", "user"], "answers no question"),
    ],
)
def test_messages_that_ask_nothing_are_refused(roles: list[str], said: str) -> None:
    messages = [{"role": role, "content": "w1"} for role in roles]
    body = ChatRequest.model_validate({"model": CHAT, "messages": messages})
    with pytest.raises(UsageError, match=said):
        conversation_of(body.messages)


def test_a_stream_is_the_answer_in_chunks(
    client: openai.OpenAI, ab: anybind.AnyBind, sound: bytes
) -> None:
    """Who speaks comes first, why it ends last, then what it cost if that is asked for."""
    message: Any = asks(QUESTION, audio_part(sound))
    stream = client.chat.completions.create(
        messages=[message], stream=True, stream_options={"include_usage": True}, **GREEDY
    )
    chunks = list(stream)
    expected = ab.ask(QUESTION, audio=sound, settings=LIBRARY)
    first, *middle, last, cost = chunks
    assert first.choices[0].delta.role == "assistant" and first.model_extra is not None
    cited = first.model_extra["anybind"]["citations"]
    assert [each["id"] for each in cited] == [each.id for each in expected.citations]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in middle) == expected.text
    n_words = len(expected.text.split())
    assert last.choices[0].finish_reason == ("length" if n_words == 8 else "stop")
    assert cost.choices == [] and cost.usage is not None
    assert cost.usage.completion_tokens == n_words
    assert len({chunk.id for chunk in chunks}) == 1
    plain = client.chat.completions.create(messages=[message], stream=True, **GREEDY)
    assert all(chunk.usage is None and chunk.choices for chunk in plain)


def test_a_stop_ends_the_answer_in_front_of_it(client: openai.OpenAI, ab: anybind.AnyBind) -> None:
    """The reference is the whole answer, cut; a stop that spans two pieces is found too, and one
    that never comes changes nothing."""
    whole = ab.ask(QUESTION, settings=LIBRARY).text
    words = whole.split()
    assert len(words) == 8
    for stop in (words[4], f"{words[3]} {words[4]}", ["never", words[5]]):
        found = client.chat.completions.create(
            messages=[{"role": "user", "content": QUESTION}], stop=stop, **GREEDY
        )
        first = stop if isinstance(stop, str) else stop[1]
        assert found.choices[0].message.content == whole[: whole.index(first)]
        assert found.choices[0].finish_reason == "stop"
    found = client.chat.completions.create(
        messages=[{"role": "user", "content": QUESTION}], stop=words[7] + "never", **GREEDY
    )
    assert found.choices[0].message.content == whole
    assert found.choices[0].finish_reason == "length"


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_a_stop_is_found_however_a_text_is_cut(size: int) -> None:
    """The reference looks for the stops in the whole text."""
    text = "aab aaab abab.\n\nEnd aa"
    for stops in (["aaab"], ["abab", "aa "], ["\n\n"], ["b.", "End"], ["never"], ["aaa", "ab a"]):
        own, said = Stops(stops), ""
        for start in range(0, len(text), size):
            said += own.add(text[start : start + size])
            if own.hit:
                break
        else:
            said += own.end()
        places = [text.index(stop) for stop in stops if stop in text]
        expected = text[: min(places)] if places else text
        assert expected.startswith(said) if size > 1 else said == expected
        assert own.hit == bool(places)


@pytest.mark.parametrize("n_read", [0, 1, 2])
def test_a_reader_who_leaves_stops_the_drawing(n_read: int) -> None:
    """Also before the first event; what is drawn is made up, and never ends."""
    cancelled: list[bool] = []
    seen: list[bytes] = []

    async def pieces() -> AsyncIterator[str]:
        while True:
            await asyncio.sleep(0)
            yield "w1"

    drawn = SimpleNamespace(
        ticket=SimpleNamespace(cancel=lambda: cancelled.append(True)),
        begun=SimpleNamespace(query=None, forgotten=0),
        pieces=pieces,
    )
    body = ChatRequest.model_validate({"model": CHAT, "messages": [asks("w1")]})
    request = Request({"type": "http", "path": "/v1/chat/completions", "headers": []})

    async def read() -> None:
        left = asyncio.Event()

        async def receive() -> dict[str, object]:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                seen.append(message["body"])
            if len(seen) >= n_read:
                left.set()
                await asyncio.sleep(3600)  # a line that takes no more

        answering = cast(Answering, drawn)
        events = Events(answering, Completion(request, body, answering).events())
        await events({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    asyncio.run(asyncio.wait_for(read(), 60))
    assert cancelled and len(seen) == n_read
    assert all(event.startswith(b'data: {"id":"chatcmpl-') for event in seen)


def test_sampling_is_the_librarys(client: openai.OpenAI, ab: anybind.AnyBind) -> None:
    """All settings at once, by a seed; the published defaults where none is given."""
    found = client.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": QUESTION}],
        temperature=1,
        top_p=0.9,
        seed=5,
        max_tokens=3,
        max_completion_tokens=6,
        n=1,
        frequency_penalty=0,
        user="ann",
        extra_body={"repetition_penalty": 1.2, "logit_bias": {}, "tools": None},
    )
    settings = anybind.Generation(
        temperature=1, top_p=0.9, seed=5, max_tokens=6, repetition_penalty=1.2
    )
    assert found.choices[0].message.content == ab.ask(QUESTION, settings=settings).text
    body = ChatRequest.model_validate({"model": CHAT, "messages": [asks("w1")]})
    assert body.generation(512) == anybind.Generation()
    assert body.generation(100) == anybind.Generation(max_tokens=100)


def test_the_asynchronous_client_gets_the_same(
    server: Running, ab: anybind.AnyBind, picture: bytes
) -> None:
    """Several at once: answers, a stream, vectors, models."""

    async def ask() -> tuple[str | None, str, list[float], list[str]]:
        message: Any = asks(QUESTION, image_part(picture))
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1",
            api_key="-",
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
        ) as own:

            async def streamed() -> str:
                stream = await own.chat.completions.create(
                    messages=[message], stream=True, **GREEDY
                )
                chunks = [chunk async for chunk in stream]
                return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

            whole, text, vectors, models = await asyncio.gather(
                own.chat.completions.create(messages=[message], **GREEDY),
                streamed(),
                own.embeddings.create(model=ENCODER, input="snow"),
                own.models.list(),
            )
            names = [model.id for model in models.data]
            return whole.choices[0].message.content, text, vectors.data[0].embedding, names

    whole, streamed, vector, names = asyncio.run(ask())
    expected = ab.ask(QUESTION, image=picture, settings=LIBRARY).text
    assert whole == streamed == expected
    np.testing.assert_allclose(vector, ab.embed(text="snow"), atol=1e-6)
    assert names == [CHAT, ENCODER]


def test_models_are_listed_and_found(client: openai.OpenAI, ab: anybind.AnyBind) -> None:
    listed = client.models.list().data
    assert [model.id for model in listed] == [CHAT, ENCODER]
    assert {model.owned_by for model in listed} == {"anybind"}
    assert 0 <= time.time() - listed[0].created < 24 * 3600  # the index was made just now
    assert client.models.retrieve(CHAT).id == CHAT
    with pytest.raises(openai.NotFoundError, match="no model is called 'gpt-4o' here; there are"):
        client.models.retrieve("gpt-4o")


# ---------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("given", "error", "field", "said"),
    [
        ({"model": "gpt-4o"}, openai.NotFoundError, "model", "there are llama-mini"),
        ({"n": 2}, openai.BadRequestError, None, "ask 2 times"),
        ({"stop": ["a", "b", "c", "d", "e"]}, openai.BadRequestError, None, "up to 4 strings"),
        ({"presence_penalty": 0.5}, openai.BadRequestError, None, "repetition_penalty"),
        ({"top_p": 0}, openai.BadRequestError, "top_p", "greater than 0"),
        ({"messages": []}, openai.BadRequestError, "messages", "at least 1"),
        ({"extra_body": {"tools": [{}]}}, openai.BadRequestError, None, "tools is not known here"),
        ({"extra_body": {"index": "x"}}, openai.NotFoundError, None, "there are world, again"),
        (
            {"messages": [asks(QUESTION, image_part(b"no picture"))]},
            openai.BadRequestError,
            None,
            "image",
        ),
        (
            {"messages": [asks(QUESTION, {"type": "file", "file": {}})]},
            openai.BadRequestError,
            "messages.0.content.parts.1",
            "'file'",
        ),
        (
            {
                "messages": [
                    asks(QUESTION, own_part(modality="image", url="http://a.example/a.png"))
                ]
            },
            openai.PermissionDeniedError,
            None,
            "--allow-url-fetch",
        ),
        ({"messages": [asks("")]}, openai.BadRequestError, None, "the question is empty"),
        (
            {
                "messages": [
                    *[asks("w1"), {"role": "assistant", "content": "w2"}] * 65,
                    asks("w1"),
                ]
            },
            openai.BadRequestError,
            None,
            "65 earlier turns; this server reads at most 64",
        ),
        ({"messages": [asks("w1 " * 7000)]}, openai.BadRequestError, None, "at most 20000"),
    ],
)
def test_errors_are_the_clients_own(
    client: openai.OpenAI,
    given: dict[str, Any],
    error: type[openai.APIStatusError],
    field: str | None,
    said: str,
) -> None:
    """Typed by their status, with the library's message, and the field where there is one."""
    question = {"messages": [{"role": "user", "content": QUESTION}]}
    with pytest.raises(error) as raised:
        client.chat.completions.create(**{**GREEDY, **question, **given})
    assert said in raised.value.message
    assert raised.value.type == "invalid_request_error"
    if field is not None:
        assert raised.value.param == field


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"model": "text-embedding-3-small"}, openai.NotFoundError, "there are imagebind-mini, "),
        ({"input": [1, 2, 3]}, openai.BadRequestError, "send text instead of token ids"),
        ({"input": [[1], [2]]}, openai.BadRequestError, "send text instead of token ids"),
        ({"input": []}, openai.BadRequestError, "give 1 to 2048"),
        ({"input": ""}, openai.BadRequestError, "the text is empty"),
        ({"dimensions": 64}, openai.BadRequestError, "vectors of imagebind-mini have 256"),
        ({"extra_body": {"modality": "id"}}, openai.BadRequestError, "id is no modality"),
        ({"extra_body": {"modality": "image"}}, openai.BadRequestError, "no base64"),
        ({"extra_body": {"truncate": True}}, openai.BadRequestError, "truncate is not known here"),
    ],
)
def test_embeddings_that_cannot_be_are_refused(
    client: openai.OpenAI, given: dict[str, Any], error: type[openai.APIStatusError], said: str
) -> None:
    with pytest.raises(error) as raised:
        client.embeddings.create(**{"model": ENCODER, "input": "a train, not base64", **given})
    assert said in raised.value.message


def test_a_body_that_is_no_json_is_told_in_openais_shape(server: Running) -> None:
    with server.client() as own:
        response = own.post("/v1/embeddings", content=b"{", headers={"content-type": "text/plain"})
    assert response.status_code == 400 and response.headers["content-type"] == "application/json"
    error = json.loads(response.text)["error"]
    assert error["code"] == "schema" and "JSON" in error["message"]


def test_what_the_edge_refuses_is_typed_too(world_index: Path, tmp_path: Path) -> None:
    """No key, a body too large, too often; the client waits as long as it is told and succeeds."""
    key = new_key(tmp_path / "keys", "ann")
    settings = Settings(
        decoders=1, api_keys_file=tmp_path / "keys", rate=1, burst=2, max_body_bytes=2000
    )
    with serving({"world": world_index}, settings=settings) as running:
        with open_client(running) as own, pytest.raises(openai.AuthenticationError) as raised:
            own.models.list()
        assert raised.value.code == "invalid_api_key" and "Bearer" in raised.value.message
        with open_client(running, api_key=key) as own:
            assert [model.id for model in own.models.list().data] == [ENCODER]
            with pytest.raises(openai.NotFoundError):
                own.models.retrieve(CHAT)
            with pytest.raises(openai.APIStatusError, match="larger than 2000 bytes") as large:
                own.embeddings.create(model=ENCODER, input="x" * 3000)
            assert large.value.status_code == 413
            with pytest.raises(openai.InternalServerError, match="started without it"):
                own.chat.completions.create(
                    messages=[{"role": "user", "content": QUESTION}], **GREEDY
                )
            own.embeddings.create(model=ENCODER, input="snow")
            with pytest.raises(openai.RateLimitError) as often:
                for _ in range(3):
                    own.embeddings.create(model=ENCODER, input="snow")
            assert often.value.response.headers["retry-after"] == "1"
            assert often.value.code == "rate_limit_exceeded"
            started = time.monotonic()
            patient = own.with_options(max_retries=3)
            patient.embeddings.create(model=ENCODER, input="snow")
            assert time.monotonic() - started > 0.5
