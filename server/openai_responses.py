"""What the routes of OpenAI's API answer; what is ours in it stands under ``anybind``.

Source: https://platform.openai.com/docs/api-reference.
"""

from typing import Literal

from pydantic import BaseModel, Field

from .schemas import CitationModel, PartsFacts


class OpenAIErrorFacts(BaseModel):
    """What is wrong."""

    message: str = Field(description="what was asked, what there is and what to do")
    type: str = Field(description="invalid_request_error, rate_limit_error or server_error")
    param: str | None = Field(description="the field of the body that is wrong, if one is")
    code: str = Field(description="the kind of error, for programs")


class OpenAIError(BaseModel):
    """An error."""

    error: OpenAIErrorFacts = Field(description="what is wrong")


class ModelFacts(BaseModel):
    """An encoder or the language model."""

    id: str = Field(description="its name")
    object: Literal["model"] = Field(description="what this is")
    created: int = Field(description="when the first index was begun, seconds since 1970")
    owned_by: str = Field(description="anybind")


class ModelList(BaseModel):
    """What can be asked now."""

    object: Literal["list"] = Field(description="what this is")
    data: list[ModelFacts] = Field(description="the language model first, if it is loaded")


class EmbeddingFacts(BaseModel):
    """The vector of one input."""

    object: Literal["embedding"] = Field(description="what this is")
    index: int = Field(description="place of the input, from 0")
    embedding: list[float] | str = Field(
        description="its vector, of unit length; as asked for, numbers or float32 in base64"
    )


class EmbeddingsUsage(BaseModel):
    """What it cost."""

    prompt_tokens: int = Field(description="that the text tower reads; media have none")
    total_tokens: int = Field(description="the same")


class EmbeddingList(BaseModel):
    """Vectors, one an input."""

    object: Literal["list"] = Field(description="what this is")
    data: list[EmbeddingFacts] = Field(description="in the order of the inputs")
    model: str = Field(description="whose vectors they are")
    usage: EmbeddingsUsage = Field(description="what it cost")


class Drawn(BaseModel):
    """Ours: what an answer draws on."""

    citations: list[CitationModel] = Field(description="images the cache blended in, best first")
    query: PartsFacts | None = Field(
        description="what became of the media of the last message; null: it shows none"
    )
    forgotten: int = Field(description="oldest turns that the context had no room for")


class AnswerMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = Field(description="who says it")
    content: str = Field(description="the words")
    refusal: None = Field(default=None, description="null")


Finish = Literal["stop", "length"]


class Choice(BaseModel):
    """The one answer."""

    index: Literal[0] = Field(description="its place")
    message: AnswerMessage = Field(description="what is answered")
    logprobs: None = Field(default=None, description="null")
    finish_reason: Finish = Field(description="length: it has as many tokens as it may")


class ChatUsage(BaseModel):
    """What it cost, in tokens of the language model."""

    prompt_tokens: int = Field(description="of the conversation")
    completion_tokens: int = Field(description="of the answer, as far as it was drawn")
    total_tokens: int = Field(description="of both")


class ChatCompletion(BaseModel):
    """An answer, whole."""

    id: str = Field(description="of this answer")
    object: Literal["chat.completion"] = Field(description="what this is")
    created: int = Field(description="seconds since 1970")
    model: str = Field(description="the language model")
    choices: list[Choice] = Field(min_length=1, max_length=1, description="the answer")
    usage: ChatUsage = Field(description="what it cost")
    anybind: Drawn = Field(description="ours: what it draws on")


class Delta(BaseModel):
    """What is new; nothing in the last one."""

    role: Literal["assistant"] | None = Field(default=None, description="in the first: who speaks")
    content: str | None = Field(default=None, description="more words")


class ChunkChoice(BaseModel):
    """More of the one answer."""

    index: Literal[0] = Field(description="its place")
    delta: Delta = Field(description="what is new")
    logprobs: None = Field(default=None, description="null")
    finish_reason: Finish | None = Field(description="in the last one, why the answer ends")


class ChatCompletionChunk(BaseModel):
    """An answer, piece by piece: the data of one event."""

    id: str = Field(description="of this answer, in all its chunks")
    object: Literal["chat.completion.chunk"] = Field(description="what this is")
    created: int = Field(description="seconds since 1970")
    model: str = Field(description="the language model")
    choices: list[ChunkChoice] = Field(max_length=1, description="none beside usage")
    usage: ChatUsage | None = Field(
        description="what it cost, in a chunk of its own with stream_options.include_usage"
    )
    anybind: Drawn | None = Field(default=None, description="ours, in the first: what it draws on")
