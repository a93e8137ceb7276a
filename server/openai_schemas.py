"""What the routes of OpenAI's API take, and how its messages become questions about media.

Fields are OpenAI's by name and meaning; what is ours beside them (``modality``, ``index``,
``cache``, ``repetition_penalty`` and the parts ``video_url`` and ``anybind``) its client sends by
``extra_body``. A field that is not known here is refused, unless its value asks for nothing
(``null``, ``[]``) or for what is done anyway.

Source: https://platform.openai.com/docs/api-reference; ``video_url`` is vLLM's.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from ..encoders.modality import Modality
from ..errors import UsageError
from ..llm.config import Generation
from .schemas import TEXT, Body, CacheModel, InputModel, Kind, Seed, Several, TurnModel, medium

MOST_INPUTS = 2048  # of one request for embeddings, as OpenAI has it
MOST_STOPS = 4
DATA_URL = re.compile(  # a text may begin with "data:" too, but not like this
    r"data:(?P<type>[\w.+-]+)/[\w.+-]+(?:;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE | re.ASCII
)
OWN_MODALITY = frozenset({Modality.IMAGE, Modality.AUDIO, Modality.VIDEO})  # top-level MIME types
HARMLESS: Mapping[str, tuple[object, ...]] = {  # values that ask for what is done anyway
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "logprobs": (False,),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
}
ABOUT_CALLER = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key"})  # any value
INSTEAD = {"frequency_penalty": "repetition_penalty", "presence_penalty": "repetition_penalty"}


class OpenAIBody(BaseModel):
    """A body of OpenAI's API: a field that would change the answer and is not known is refused."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name, value in (self.model_extra or {}).items():
            harmless = value in (None, [], {}) or value in HARMLESS.get(name, ())
            if not harmless and name not in ABOUT_CALLER:
                raise ValueError(f"{name} is not known here; leave it out")
        return self


# ------------------------------------------------------------------------------------ embeddings


class EmbeddingsRequest(OpenAIBody):
    """Inputs of one modality to embed."""

    model: str = Field(
        description="an encoder or an index, whose encoder it is", examples=["imagebind-mini"]
    )
    input: str | Several[str] = Field(
        description=f"one input or up to {MOST_INPUTS}: texts; media as data: URLs, or with "
        "modality also as base64 or URLs",
        examples=["a red train on snow"],
    )
    modality: Kind | None = Field(
        default=None,
        description="what all inputs are; by default a data: URL of an image, a sound or a video "
        "is that, and everything else text",
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None, description="numbers, or little-endian float32 in base64"
    )
    dimensions: int | None = Field(default=None, description="the encoder's own, or nothing")

    @field_validator("input", mode="before")
    @classmethod
    def _no_tokens(cls, value: object) -> object:
        if isinstance(value, list):
            if not 1 <= len(value) <= MOST_INPUTS:
                raise ValueError(f"{len(value)} inputs; give 1 to {MOST_INPUTS}")
            if not all(isinstance(each, str) for each in value):
                raise ValueError(
                    "an input is no string; send text instead of token ids, which mean other words "
                    "to this encoder"
                )
        return value

    @field_validator("modality")
    @classmethod
    def _medium(cls, value: Kind | None) -> Kind | None:
        if value not in (None, *Modality):
            raise ValueError(f"{value} is no modality; there are {', '.join(Modality)}")
        return value

    @property
    def inputs(self) -> list[InputModel]:
        """The inputs, each named by its modality.

        Raises:
            UsageError: A ``data:`` URL does not say what it is of.
        """
        given = [self.input] if isinstance(self.input, str) else self.input
        return [_named(each, self.modality) for each in given]


def _named(given: str, modality: Kind | None) -> InputModel:
    """An input with its modality."""
    if modality is not None:
        return InputModel(text=given) if modality == TEXT else medium(modality, given)
    url = DATA_URL.match(given)
    if url is None:
        return InputModel(text=given)
    kind = url["type"].lower()
    if kind not in OWN_MODALITY:
        raise UsageError(
            f"an input is a data: URL of type {kind}, which does not say its modality; send "
            "modality beside input (OpenAI's client: extra_body)"
        )
    return InputModel(modality=Modality(kind).value, data=given)


# ------------------------------------------------------------------------------------------ chat


PART_TYPE: Any = Field(description="which kind of part it is")


class TextPart(Body):
    """Words."""

    type: Literal["text"] = PART_TYPE
    text: str = Field(description="what is said", examples=["What is this?"])


class UrlModel(Body):
    """Where a medium is."""

    url: str = Field(description="a data: URL; or http, if the server fetches URLs")
    detail: str | None = Field(default=None, description="has no effect: encoders see one size")


class ImagePart(Body):
    """A picture."""

    type: Literal["image_url"] = PART_TYPE
    image_url: UrlModel = Field(description="the file")


class VideoPart(Body):
    """A video, as vLLM takes it."""

    type: Literal["video_url"] = PART_TYPE
    video_url: UrlModel = Field(description="the file")


class AudioModel(Body):
    """A sound."""

    data: str = Field(description="the file, as base64")
    format: str | None = Field(default=None, description="has no effect: the file says it")


class AudioPart(Body):
    """A sound."""

    type: Literal["input_audio"] = PART_TYPE
    input_audio: AudioModel = Field(description="the file")


class AnyBindPart(Body):
    """Anything that a query may be mixed of, with its weight."""

    type: Literal["anybind"] = PART_TYPE
    anybind: InputModel = Field(description="as the native routes take it")


Part = Annotated[
    TextPart | ImagePart | VideoPart | AudioPart | AnyBindPart, Field(discriminator="type")
]


def _shape(content: object) -> str:
    return "parts" if isinstance(content, list) else "words"


Content = Annotated[  # told apart first, so that an error is about the one that was meant
    Annotated[str, Tag("words")] | Annotated[Several[Part], Tag("parts")], Discriminator(_shape)
]


class Message(OpenAIBody):
    """What somebody said, and showed."""

    role: Literal["system", "developer", "user", "assistant"] = Field(description="who says it")
    content: Content | None = Field(default=None, description="words, or parts: words and media")
    name: str | None = Field(default=None, description="has no effect")

    @property
    def text(self) -> str:
        """The words, one part a line."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if isinstance(part, TextPart))

    @property
    def inputs(self) -> list[InputModel]:
        """The media."""
        parts = () if isinstance(self.content, str | None) else self.content
        return [_input(part) for part in parts if not isinstance(part, TextPart)]


def _input(part: ImagePart | VideoPart | AudioPart | AnyBindPart) -> InputModel:
    match part:
        case ImagePart():
            return medium("image", part.image_url.url)
        case VideoPart():
            return medium("video", part.video_url.url)
        case AudioPart():
            return InputModel(modality="audio", data=part.input_audio.data)
        case AnyBindPart():
            return part.anybind


class StreamOptions(OpenAIBody):
    """What a stream tells beside the answer."""

    include_usage: bool = Field(
        default=False, description="end with a chunk that counts the tokens"
    )
    include_obfuscation: bool | None = Field(default=None, description="has no effect")


class ChatRequest(OpenAIBody):
    """A conversation whose last message is to be answered."""

    model: str = Field(description="the language model", examples=["llama-mini"])
    messages: Several[Message] = Field(
        min_length=1,
        description="the last one a user's; system messages are put in front of the question that "
        "follows; media of one question mix",
    )
    temperature: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description=f"by default {Generation.temperature}"
    )
    top_p: float | None = Field(
        default=None, gt=0, le=1, description=f"by default {Generation.top_p}"
    )
    max_tokens: int | None = Field(default=None, ge=1, description="of the answer, at most")
    max_completion_tokens: int | None = Field(default=None, ge=1, description="the same; it wins")
    seed: Seed | None = Field(default=None, description="the same seed gives the same answer")
    stop: str | Several[str] | None = Field(
        default=None,
        description=f"up to {MOST_STOPS} strings; the answer ends in front of the first",
    )
    stream: bool | None = Field(default=None, description="answer in chunks, as server-sent events")
    stream_options: StreamOptions | None = Field(
        default=None, description="what the stream tells beside the answer"
    )
    n: int | None = Field(default=None, description="1: there is one answer")
    frequency_penalty: float | None = Field(default=None, description="0; see repetition_penalty")
    presence_penalty: float | None = Field(default=None, description="0; see repetition_penalty")
    repetition_penalty: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="ours: above 1, fewer repetitions"
    )
    cache: CacheModel | Literal["default"] | None = Field(
        default="default",
        description="ours: how strongly media are pulled toward images of the index; default: as "
        "the language model was tuned; null: not",
    )
    index: str | None = Field(
        default=None, description="ours: name of an index; by default the first"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.n not in (None, 1):
            raise ValueError(f"n is {self.n}; there is one answer, so ask {self.n} times")
        for name, instead in INSTEAD.items():
            if getattr(self, name):
                raise ValueError(f"{name} is not known here; send {instead} (in extra_body)")
        if len(self.stops) > MOST_STOPS or "" in self.stops:
            raise ValueError(f"stop is {self.stops!r}; give up to {MOST_STOPS} strings, none empty")
        return self

    @property
    def stops(self) -> list[str]:
        """Strings that end the answer."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    def generation(self, most: int) -> Generation:
        """How the answer is drawn, with ``most`` tokens at most."""
        n_tokens = self.max_completion_tokens or self.max_tokens or Generation.max_tokens
        given = {
            name: getattr(self, name)
            for name in ("temperature", "top_p", "repetition_penalty")
            if getattr(self, name) is not None
        }
        return Generation(max_tokens=min(n_tokens, most), seed=self.seed, **given)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Messages as questions and answers."""

    history: list[TurnModel]  # the oldest first
    question: str
    inputs: list[InputModel]  # shown with it


def conversation_of(messages: Sequence[Message]) -> Conversation:
    """The question that messages end with, and what came before.

    The language model knows no system: what it said stands in front of the next question.
    Messages of one speaker in a row are one.

    Raises:
        UsageError: An answer has no question, the last message is no user's, or a medium is shown
            by somebody else.
    """
    history: list[TurnModel] = []
    texts: list[str] = []
    inputs: list[InputModel] = []
    asked = False
    for number, message in enumerate(messages):
        if message.role != "user" and message.inputs:
            raise UsageError(f"messages.{number} of {message.role} has media; a user shows them")
        if message.role != "assistant":
            texts += [message.text] if message.text else []
            inputs += message.inputs
            asked = asked or message.role == "user"
        elif asked:
            question = "\n".join(texts)
            history.append(TurnModel(question=question, answer=message.text, inputs=inputs))
            texts, inputs, asked = [], [], False
        elif history and not texts:
            last = history[-1]
            answer = "\n".join(text for text in (last.answer, message.text) if text)
            history[-1] = last.model_copy(update={"answer": answer})
        else:
            raise UsageError(
                f"messages.{number} answers no question; begin with a message of a user"
            )
    if not asked:
        raise UsageError(
            f"the last message is the {messages[-1].role}'s; end with the user's that is to be "
            "answered"
        )
    return Conversation(history=history, question="\n".join(texts), inputs=inputs)
