"""The tokenizer of llama-mini, learnt from a small sample."""

import re
from pathlib import Path

import pytest

from anybind.llm.prompt import CAPTION, format_prompt
from anybind.llm.tokenizer import Tokenizer, continuation, find_tokenizer
from anybind.world.captions import captions
from anybind.world.colours import COLOUR_NAMES, COLOUR_OF
from anybind.world.scene import scene
from anybind.world.splits import split_ids

from .scripts import script

mini_tokenizer = script("mini_tokenizer")
SAMPLE = 4_000  # texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tokenizer, as a base has it."""
    made: Path = tmp_path_factory.mktemp("tokenizer")
    learnt = mini_tokenizer.learn_tokenizer(mini_tokenizer.sample_texts(SAMPLE))
    learnt.save(str(made / "tokenizer.json"))
    return made


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return find_tokenizer(folder)


def test_every_text_comes_back_as_it_was(tokenizer: Tokenizer) -> None:
    """The reference is the text: captions of unseen scenes, and what no text of the world has."""
    texts = [c.text for number in split_ids("test", 50) for c in captions(scene(number))]
    strange = ["", " ", "  two  spaces ", "Zürich, 12.5 kg\t½", "猫と犬", "𝄞 музыка", "a\n\n\nb"]
    for text in [*texts, *strange, format_prompt(CAPTION, "a red dog")]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_token_is_at_most_a_word_or_two_chinese_characters(tokenizer: Tokenizer) -> None:
    """Or a run of marks; so no token joins a colour with a thing."""
    tokens = {tokenizer.decode([id]) for id in range(3 + 256, tokenizer.size)}
    pattern = r" ?[A-Za-z]*|[\u4e00-\u9fff]{1,2}| ?[^\sA-Za-z\u4e00-\u9fff]*|\n*"
    assert not {token for token in tokens if not re.fullmatch(pattern, token)}
    assert not {token for token in tokens if "的" in token and token != "的"}


def test_every_colour_is_one_token(tokenizer: Tokenizer) -> None:
    """They are what captions say most often."""
    for name in COLOUR_NAMES:
        assert len(tokenizer.encode(f" {name}")) == 1
        assert len(tokenizer.encode(COLOUR_OF[name].name_zh)) == 1


def test_a_prompt_and_its_answer_are_the_tokens_of_both_together(tokenizer: Tokenizer) -> None:
    """No token spans the border that training masks at."""
    prompt, answer = format_prompt(CAPTION), "a red train on snow"
    ids = [*tokenizer.encode(prompt), *continuation(tokenizer, answer)]
    assert ids == tokenizer.encode(prompt + answer)


def test_equal_texts_give_equal_tokenizers(folder: Path, tmp_path: Path) -> None:
    """The reference is the first one's file."""
    again = mini_tokenizer.learn_tokenizer(mini_tokenizer.sample_texts(SAMPLE))
    again.save(str(tmp_path / "tokenizer.json"))
    there = (folder / "tokenizer.json").read_bytes()
    assert (tmp_path / "tokenizer.json").read_bytes() == there


def test_transformers_opens_it_with_the_same_ids(folder: Path, tokenizer: Tokenizer) -> None:
    """Theirs opens the sequence with ``<s>`` besides, as LLaMA's tokenizer does."""
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_file=str(folder / "tokenizer.json")
    )
    text = "A cat 在雪地上, Zürich."
    assert theirs(text)["input_ids"] == [mini_tokenizer.BOS_ID, *tokenizer.encode(text)]
