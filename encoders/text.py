"""Text to the token ids that the text tower reads: CLIP's byte-pair encoding.

A row is the start token, up to ``n_tokens - 2`` tokens of text and the end token, padded with 0.
A small model may keep only some rows of the vocabulary: ids are then positions in its sorted list
``kept``, and a token that is not in it is spelled out in bytes, which always are.
"""

import gzip
import html
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

import ftfy
import numpy as np
import numpy.typing as npt
import regex

from ..errors import MediaError
from .byte_letters import N_BYTES, byte_letters

logger = logging.getLogger(__name__)

VOCABULARY = Path(__file__).with_name("bpe_simple_vocab_16e6.txt.gz")  # CLIP's, under MIT
N_SYMBOLS = 2 * N_BYTES  # every byte, and every byte as the last of a word
N_MERGES = 48_894
START = N_SYMBOLS + N_MERGES  # 49406
END = START + 1  # 49407, the largest id: that is how the tower finds it
END_OF_WORD = "</w>"
SPECIAL = {"<|startoftext|>": START, "<|endoftext|>": END}
MAX_CHARACTERS = 100_000  # of one text; the tower hears about the first 300
MAX_WORD_BYTES = 2048  # of an unbroken run of letters or signs; 75 tokens of 27 bytes
CACHED_WORD = 64  # longer words are not remembered

WORDS = (
    r"'s|'t|'re|'ve|'m|'ll|'d"  # English contractions
    r"|\p{L}+"  # a run of letters
    r"|\p{N}"  # one digit or number
    r"|[^\s\p{L}\p{N}]+"  # a run of anything else
)
PLAIN = regex.compile(WORDS, regex.IGNORECASE)
WITH_SPECIAL = regex.compile("|".join(map(regex.escape, SPECIAL)) + "|" + WORDS, regex.IGNORECASE)
SPACES = regex.compile(r"\s+")


@dataclass(frozen=True, kw_only=True)
class _Vocabulary:
    """CLIP's tables: which pairs are merged, in which order, and what each token's id is."""

    symbols: list[str]  # the character that stands for each byte
    ids: dict[str, int]  # token to id
    ranks: dict[str, int]  # "left right" to its place among the merges, smaller first


@cache
def _vocabulary() -> _Vocabulary:
    """Read the vocabulary once, when first needed."""
    letters = byte_letters()
    in_order = list(letters.values())
    with gzip.open(VOCABULARY, "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1 : 1 + N_MERGES]  # the first line is a header
    tokens = [*in_order, *(c + END_OF_WORD for c in in_order)]
    tokens += [pair.replace(" ", "") for pair in merges]
    return _Vocabulary(
        symbols=[letters[byte] for byte in range(N_BYTES)],
        ids={token: i for i, token in enumerate(tokens)},
        ranks={pair: rank for rank, pair in enumerate(merges)},
    )


def _spell(word: str) -> list[str]:
    """The byte symbols of a word, the last one marked as such."""
    symbols = _vocabulary().symbols
    spelled = [symbols[byte] for byte in word.encode()[:MAX_WORD_BYTES]]
    return [*spelled[:-1], spelled[-1] + END_OF_WORD]


def _merge(word: str) -> tuple[int, ...]:
    """The ids of one word: merge the pair of the lowest rank, everywhere, until none is left."""
    vocabulary = _vocabulary()
    parts = _spell(word)
    unranked = len(vocabulary.ranks)
    while len(parts) > 1:
        pairs = [f"{left} {right}" for left, right in zip(parts, parts[1:], strict=False)]
        best = min(pairs, key=lambda pair: vocabulary.ranks.get(pair, unranked))
        if best not in vocabulary.ranks:
            break
        merged: list[str] = []
        i = 0
        while i < len(parts):
            if i < len(pairs) and pairs[i] == best:
                merged.append(parts[i] + parts[i + 1])
                i += 2
            else:
                merged.append(parts[i])
                i += 1
        parts = merged
    return tuple(vocabulary.ids[part] for part in parts)


_merge_cached = lru_cache(maxsize=65_536)(_merge)


def clean(text: str) -> str:
    """Repair mis-decoded characters (lone surrogates too) and HTML entities, collapse white space,
    lower the case.
    """
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return SPACES.sub(" ", text).strip().lower()


@cache
def _warn_of_cut(n_tokens: int) -> None:
    """Say, once for each length, that texts are cut."""
    logger.warning(
        "a text is longer than the %d tokens that the tower reads; its end is ignored "
        "(later ones are cut without a message)",
        n_tokens,
    )


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """Text to CLIP's token ids and back, without start, end and padding."""

    kept: tuple[int, ...] | None = None  # CLIP's ids this model has rows for, sorted; None: all
    special: bool = False  # whether "<|endoftext|>" written out in a text becomes that token

    def __post_init__(self) -> None:
        if self.kept is None:
            return
        needed = {*range(N_SYMBOLS), START, END}
        if list(self.kept) != sorted(set(self.kept)) or not needed <= set(self.kept):
            raise ValueError(
                "kept must be sorted, without repeats, and hold the 512 byte symbols (0 to 511), "
                f"{START} and {END}"
            )

    @property
    def start(self) -> int:
        """The id of the start token."""
        return START if self.kept is None else len(self.kept) - 2

    @property
    def end(self) -> int:
        """The id of the end token, the largest of all."""
        return END if self.kept is None else len(self.kept) - 1

    @cached_property
    def _position(self) -> dict[int, int]:
        """CLIP's id to the model's row."""
        return {clip_id: row for row, clip_id in enumerate(self.kept or ())}

    def encode(self, text: str) -> list[int]:
        """The ids of a text of any length.

        Raises:
            MediaError: It is longer than 100,000 characters.
        """
        return list(self.iter_ids(text))

    def iter_ids(self, text: str) -> Iterator[int]:
        """The ids of a text, one by one, so that a caller may stop early."""
        if len(text) > MAX_CHARACTERS:
            raise MediaError(
                f"the text has {len(text):,} characters; at most {MAX_CHARACTERS:,}, shorten it"
            )
        pattern = WITH_SPECIAL if self.special else PLAIN
        for match in pattern.finditer(clean(text)):
            word = match.group()
            if self.special and word in SPECIAL:
                yield self.end if SPECIAL[word] == END else self.start
            else:
                yield from self._word(word)

    def _word(self, word: str) -> Iterable[int]:
        """The ids of one word."""
        ids = _merge_cached(word) if len(word) <= CACHED_WORD else _merge(word)
        if self.kept is None:
            return ids
        rows: list[int] = []
        for clip_id in ids:
            row = self._position.get(clip_id)
            rows += [row] if row is not None else _byte_ids(clip_id)
        return rows

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; start, end and padding beyond the end say nothing."""
        vocabulary = _vocabulary()
        byte_of = {symbol: byte for byte, symbol in enumerate(vocabulary.symbols)}
        content: list[int] = []
        for row in ids:
            clip_id = row if self.kept is None else self.kept[row]
            if clip_id == END:
                break
            if clip_id == START:
                continue
            token = _tokens()[clip_id]
            content += [byte_of[c] for c in token.removesuffix(END_OF_WORD)]
            if token.endswith(END_OF_WORD):
                content.append(ord(" "))
        return bytes(content).decode(errors="replace").strip()

    @staticmethod
    def ids_used(texts: Iterable[str]) -> tuple[int, ...]:
        """CLIP's ids that some texts need: what a small model trained on them keeps."""
        tokenizer = Tokenizer()
        used = {*range(N_SYMBOLS), START, END}
        for text in texts:
            used.update(tokenizer.iter_ids(text))
        return tuple(sorted(used))


@cache
def _tokens() -> list[str]:
    """Token of each id."""
    vocabulary = _vocabulary()
    tokens = [""] * START
    for token, clip_id in vocabulary.ids.items():
        tokens[clip_id] = token
    return tokens


def _byte_ids(clip_id: int) -> list[int]:
    """A token spelled in byte symbols; their ids are 0 to 511 in every vocabulary."""
    ids = _vocabulary().ids
    token = _tokens()[clip_id]
    stem = token.removesuffix(END_OF_WORD)
    spelled = [ids[c] for c in stem]
    if stem != token:
        spelled[-1] = ids[stem[-1] + END_OF_WORD]
    return spelled


@dataclass(frozen=True, kw_only=True)
class TextPreprocessor:
    """A text to ``(n_tokens,)`` int64 ids: start, text, end, zeros.

    ``reference=True`` takes ``<|startoftext|>`` and ``<|endoftext|>`` in a text for the real
    tokens, as the published code does; by default they are read like any other characters.
    """

    n_tokens: int = 77  # of a row, with start and end
    kept: tuple[int, ...] | None = None  # as in Tokenizer
    reference: bool = False

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What turns the text into ids."""
        return Tokenizer(kept=self.kept, special=self.reference)

    def __call__(self, item: object) -> npt.NDArray[np.int64]:
        """Prepare one text.

        A longer text is cut and keeps its end token; the first time, a warning is logged.

        Raises:
            MediaError: It is not a ``str``, or too long.
        """
        if not isinstance(item, str):
            raise MediaError(f"a text was expected, not a {type(item).__name__}; give a str")
        room = self.n_tokens - 2
        ids: list[int] = []
        for token_id in self.tokenizer.iter_ids(item):
            if len(ids) == room:
                _warn_of_cut(self.n_tokens)
                break
            ids.append(token_id)
        row = np.zeros(self.n_tokens, np.int64)
        row[: len(ids) + 2] = [self.tokenizer.start, *ids, self.tokenizer.end]
        return row
