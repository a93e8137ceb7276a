"""Conversations as prompts: the template of each turn, and one medium as the published model."""

import numpy as np
import pytest

from anybind.errors import UsageError
from anybind.llm.chat import Seen, n_forgotten, prompt_of
from anybind.llm.config import Generation
from anybind.llm.examples import encoder_of
from anybind.llm.model import LanguageModel, load_language_model
from anybind.llm.prompt import Turn, format_prompt, format_turns
from anybind.llm.records import Record
from anybind.llm.tokenizer import encode_pieces

from .answering import write_own_adapter
from .folders import unit_rows
from .llm_folders import LLM, write_base

VECTORS = unit_rows(3, seed=5)
GREEDY = Generation(temperature=0, max_tokens=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("chat")
    base = write_base(folder / "base", "hf")
    return load_language_model(base, write_own_adapter(base, folder / "adapter.safetensors"))


def seen(question: str, answer: str | None = None, vector: int | None = None) -> Seen:
    """A turn, with one of the vectors in view."""
    turn = Turn(question=question, answer=answer)
    return Seen(turn=turn, vector=None if vector is None else VECTORS[vector])


def test_turns_repeat_the_last_part_of_the_template() -> None:
    """Written out."""
    turns = [
        Turn(question="What is it?", answer="A dog."),
        Turn(question="Sum up.", context="1 2", answer="3"),
        Turn(question="Why?"),
    ]
    pieces = format_turns(turns)
    assert [piece.answer for piece in pieces] == [False, True, False, True, False]
    assert "".join(piece.text for piece in pieces) == (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\nWhat is it?\n\n### Response:A dog."
        "\n\n### Instruction:\nSum up.\n\n### Input:\n1 2\n\n### Response:3"
        "\n\n### Instruction:\nWhy?\n\n### Response:"
    )
    assert [piece.text for piece in format_turns(turns[2:])] == [format_prompt("Why?")]


def test_every_answer_is_followed_by_the_end_token(model: LanguageModel) -> None:
    """In the fixture's vocabulary a word is its id; all words of the template are ``w0``."""
    turns = [Turn(question="w5", answer="w7 w8"), Turn(question="w9")]
    base = model.base
    ids = encode_pieces(base.tokenizer, format_turns(turns), bos=base.bos, eos=base.eos)
    bos, eos = LLM.meta["bos"], LLM.meta["eos"]
    assert ids[0][0] == bos and 5 in ids[0]
    assert ids[1] == [7, 8, eos]
    assert 9 in ids[2] and eos not in ids[0] + ids[2]


def test_training_reads_a_conversation_as_chatting_does(model: LanguageModel) -> None:
    """The reference is the sequence that a record of the same turns is learned as."""
    base = model.base
    turns = (Turn(question="w5", answer="w7 w8"), Turn(question="w9", answer="w3"))
    encode = encoder_of(base.tokenizer, bos=base.bos, eos=base.eos[0], max_tokens=100)
    learned = encode(Record(name="a", turns=turns, pictures=(None, None)))
    ids = encode_pieces(base.tokenizer, format_turns(turns), bos=base.bos, eos=base.eos)
    assert not isinstance(learned, str)
    assert learned.tokens == [id for piece in ids for id in piece]
    assert list(learned.learned) == [n % 2 for n, piece in enumerate(ids) for _ in piece]


def test_one_turn_is_one_question(model: LanguageModel) -> None:
    """The reference is the published single-turn prompt with one vector."""
    expected = model.generate([format_prompt("w5 w9")], VECTORS[:1], GREEDY)
    pieces, vectors = prompt_of([seen("w5 w9", vector=0)])
    assert vectors is not None
    assert model.generate([pieces], [vectors], GREEDY) == expected
    assert model.generate([prompt_of([seen("w5 w9")])[0]], None, GREEDY) != expected


def test_one_medium_in_all_turns_is_one_vector_for_one_text(model: LanguageModel) -> None:
    """The reference is the same text in one piece, as the published model reads it; ``w2`` spells
    the end token."""
    text = format_prompt("w5") + " w7 w8 w2 \n\n### Instruction:\nw9\n\n### Response:"
    expected = model.generate([text], VECTORS[:1], GREEDY)
    pieces, vectors = prompt_of([seen("w5", "w7 w8", 0), seen("w9", vector=0)])
    assert vectors is not None and vectors.shape == (3, VECTORS.shape[1])
    assert model.generate([pieces], [vectors], GREEDY) == expected


def test_a_turn_before_any_medium_sees_the_zero_vector() -> None:
    """As training has it: one row a piece, the question's and the answer's."""
    pieces, vectors = prompt_of([seen("w5", "w6"), seen("w7", "w8", 1), seen("w9", vector=2)])
    assert vectors is not None and len(pieces) == len(vectors) == 5
    zero = np.zeros(VECTORS.shape[1], np.float32)
    expected = [zero, zero, VECTORS[1], VECTORS[1], VECTORS[2]]
    np.testing.assert_array_equal(vectors, expected)


def test_the_oldest_turns_give_way(model: LanguageModel) -> None:
    """Turns of 260 words in a context of 1024 tokens, of which an answer may have 200: three of
    them fit, with some twenty words of template each, and four do not."""
    long = " ".join(["w5"] * 260)
    turns = [seen(long, "w6") for _ in range(5)]
    settings = Generation(max_tokens=200)
    assert [n_forgotten(model, turns[:n], settings) for n in (1, 2, 3, 4, 5)] == [0, 0, 0, 1, 2]
    assert n_forgotten(model, turns, Generation(max_tokens=1)) == 2
    too_long = seen(" ".join(["w5"] * 2000))
    assert n_forgotten(model, [*turns, too_long], settings) == 5


@pytest.mark.parametrize("question", ["", " \n"])
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(UsageError, match="the question is empty"):
        seen(question)
