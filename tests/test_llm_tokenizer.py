"""Tokenizers of every file format, made on the spot."""

import io
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
import tiktoken
from tiktoken._educational import bpe_train
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers

from anybind.errors import WeightsError
from anybind.llm.tokenizer import LLAMA_3_PIECES, continuation, find_tokenizer, meta_ends

TEXTS = ["the bird is here", "there is a red bird", "一只 狗", "he is there"]
N_RANKED = 330  # of tiktoken's file: bytes, and merges learned from all texts here
ODD = [  # each cut by another part of LLaMA 3's pattern
    "",
    "It's THE'RE, we'Ll",
    "1234567 89 ¾ ٣٤",
    "  two\n\n \r\n three   \t ",
    "bird!?\n#$ €—“here”",
    "一只狗在那里。🐦‍⬛ naïve\u0301",
    "<|begin_of_text|><|eot_id|>",
    "thethethe  theretherere" * 40,
]


def ranks() -> dict[bytes, int]:
    """Byte pairs as tiktoken learns them."""
    data = "\n".join([*TEXTS, *ODD])
    return bpe_train(data, vocab_size=N_RANKED, pat_str=LLAMA_3_PIECES, visualise=None)


def write_tiktoken(folder: Path) -> None:
    """As Meta's from LLaMA 3 on: a token in base64 and its rank, a line each."""
    lines = [b64encode(token) + b" %d\n" % rank for token, rank in ranks().items()]
    (folder / "tokenizer.model").write_bytes(b"".join(lines))


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


@pytest.mark.parametrize("write", [write_sentencepiece, write_fast, write_tiktoken])
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


def test_ids_are_those_of_tiktoken(tmp_path: Path) -> None:
    """The reference is the library, with the pattern that Meta gives it."""
    write_tiktoken(tmp_path)
    expected = tiktoken.Encoding(
        "llama-3", pat_str=LLAMA_3_PIECES, mergeable_ranks=ranks(), special_tokens={}
    )
    tokenizer = find_tokenizer(tmp_path)
    for text in [*TEXTS, *ODD, *(chr(i) + "a" for i in range(1, 0x3000, 7))]:
        ids = tokenizer.encode(text)
        assert ids == expected.encode_ordinary(text), text
        assert tokenizer.decode(ids) == text
    whale = tokenizer.encode("鲸")  # a token a byte
    assert tokenizer.decode(whale[:2]) == expected.decode(whale[:2]) == "\ufffd"
    assert tokenizer.decode([*tokenizer.encode("here"), N_RANKED + 9]) == "here"
    assert tokenizer.size == tokenizer.n_tokens == N_RANKED + 256


def test_metas_files_do_not_say_what_ends_an_answer(tmp_path: Path) -> None:
    """LLaMA 3 has 128,000 merges and begins with 128,000, ends with 128,001 and 128,009."""
    write_sentencepiece(tmp_path)
    assert meta_ends(tmp_path) == (1, (2,))
    write_tiktoken(tmp_path)
    assert meta_ends(tmp_path) == (N_RANKED, (N_RANKED + 1, N_RANKED + 9))
    assert meta_ends(tmp_path / "8B") == meta_ends(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"), [(b"not a rank", "line 331"), (b"cXF4 99999", "331 tokens")]
)
def test_a_damaged_file_of_ranks_is_named(tmp_path: Path, line: bytes, reason: str) -> None:
    """One line more, which is none of its kind or leaves a gap."""
    write_tiktoken(tmp_path)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(path.read_bytes() + line)
    for read in (find_tokenizer, meta_ends):
        with pytest.raises(WeightsError, match=f"cannot read tokenizer .*{reason}"):
            read(tmp_path)


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    """Both libraries raise exceptions of no particular class."""
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot read tokenizer .*tokenizer.json"):
        find_tokenizer(tmp_path)
