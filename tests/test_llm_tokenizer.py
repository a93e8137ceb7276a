"""Tokenizers of both file formats, made on the spot."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers

from anybind.errors import WeightsError
from anybind.llm.tokenizer import continuation, find_tokenizer

TEXTS = ["the bird is here", "there is a red bird", "一只 狗", "he is there"]


def write_sentencepiece(folder: Path) -> None:
    """As Meta's: byte pairs, bytes as fallback, text as it is, a space before a first word."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20),
        model_writer=model,
        model_type="bpe",
        vocab_size=300,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())


def write_fast(folder: Path) -> None:
    """The same manner in the other format: one letter a token."""
    letters = sorted({c for text in TEXTS for c in text.replace(" ", "▁")} | {"▁", "\n", "<unk>"})
    backend = Backend(models.BPE({c: i for i, c in enumerate(letters)}, [], unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("write", [write_sentencepiece, write_fast])
def test_a_text_that_continues_another_gets_no_space(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    """The reference is the text itself: what was cut in two is whole again."""
    write(tmp_path)
    tokenizer = find_tokenizer(tmp_path)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text)) == text
        for cut in (1, 3):
            ids = [*tokenizer.encode(text[:cut]), *continuation(tokenizer, text[cut:])]
            assert tokenizer.decode(ids) == text
            assert max(ids) < tokenizer.size


def test_metas_tokenizer_lies_above_the_weights(tmp_path: Path) -> None:
    """``DIR/tokenizer.model`` and ``DIR/7B/consolidated.00.pth``; without it, none is made up."""
    (tmp_path / "7B").mkdir()
    with pytest.raises(WeightsError, match="has no tokenizer"):
        find_tokenizer(tmp_path / "7B")
    write_sentencepiece(tmp_path)
    assert find_tokenizer(tmp_path / "7B").size == 300


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    """Both libraries raise exceptions of no particular class."""
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot read tokenizer .*tokenizer.json"):
        find_tokenizer(tmp_path)
