"""Records as tokens: what is read, what of it is learned, and which vector is in force where.

Answers are learned, each with the token that ends it; prompts are not. Both are tokenised apart, so
the border between them is a border of tokens. Everything lies in flat arrays, so millions of
examples fit in memory.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .prompt import format_turns
from .records import Picture, Record, Skipped
from .tokenizer import Tokenizer, encode_pieces
from .vectors import Key, key_of

REMEMBERED = 100_000  # texts whose ids are kept: prompts repeat
NOTHING = -1  # as a picture: the zero vector, nothing to see
NAMED = 3  # skipped records that a report names; the rest are counted

Ints = npt.NDArray[np.int64]


@dataclass(kw_only=True)
class Report:
    """What became of the records of one source."""

    path: str
    weight: float
    records: int = 0  # used
    tokens: int = 0  # of the records used
    learned: int = 0  # of them, those that are learned
    cut: int = 0  # of the records used, those cut at the token limit: their last end is not learned
    skipped: dict[str, int] = field(default_factory=dict)  # reason -> records
    examples: dict[str, str] = field(default_factory=dict)  # the first few of them: name -> why
    digest: str = ""  # sha256 of all texts and pictures, in order

    def skip(self, name: str, reason: str, detail: str = "") -> None:
        """Count a record that cannot be used."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        if len(self.examples) < NAMED:
            self.examples[name] = detail or reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """One record as tokens."""

    tokens: list[int]
    learned: bytes  # 1 where a token is learned
    segments: bytes  # which of the pictures is in force at a token
    shown: list[Picture | None]  # the pictures, in order; None is nothing to see
    cut: bool  # does the token limit end it?


class Examples:
    """The examples of all sources.

    Attributes:
        pictures: Every picture that is shown, by its key; for encoding.
        reports: One a source.
    """

    def __init__(self) -> None:
        self.pictures: dict[Key, Picture] = {}
        self.reports: list[Report] = []
        self._tokens, self._learned, self._segments = array("I"), bytearray(), bytearray()
        self._starts = array("q", [0])  # of each example in the three above
        self._shown = array("q")  # number of a picture, or NOTHING
        self._shown_starts = array("q", [0])  # of each example in the one above
        self._keys: dict[Key, int] = {}  # picture -> its number
        self._places: dict[Picture, Key] = {}
        self._spans: list[tuple[int, int]] = []  # the examples of each source
        self._lengths: Ints = np.empty(0, np.int64)
        self._rows: Ints = np.empty(0, np.int64)  # of a picture in the vectors
        self._ids: list[Ints] = []  # of the examples that can be used, by source

    def add(
        self,
        path: str,
        weight: float,
        records: Iterable[Record | Skipped],
        encode: Callable[[Record], Encoded | str],
    ) -> None:
        """Take in a source; ``encode`` is :func:`encoder_of`'s."""
        report = Report(path=path, weight=weight)
        digest, first = hashlib.sha256(), len(self)
        for record in records:
            if isinstance(record, Skipped):
                report.skip(record.name, record.reason)
                continue
            made = encode(record)
            if isinstance(made, str):
                report.skip(record.name, made)
                continue
            try:
                numbers = [NOTHING if p is None else self._number(p) for p in made.shown]
            except OSError as error:
                report.skip(record.name, "its picture cannot be read", error.strerror or str(error))
                continue
            digest.update(repr(record.turns).encode("utf-8", "surrogatepass"))
            for picture in made.shown:
                digest.update(b"" if picture is None else self._places[picture])
            self._tokens.extend(made.tokens)
            self._learned += made.learned
            self._segments += made.segments
            self._starts.append(len(self._tokens))
            self._shown.extend(numbers)
            self._shown_starts.append(len(self._shown))
            report.cut += made.cut
        report.digest = "sha256:" + digest.hexdigest()
        self._spans.append((first, len(self)))
        self.reports.append(report)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def settle(self, rows: dict[Key, int], broken: dict[Key, str]) -> None:
        """Give every picture its vector, and drop the examples whose picture has none.

        Args:
            rows: Of the vectors, by picture.
            broken: Why a picture has none.

        Raises:
            UsageError: A source has no example left.
        """
        self._rows = np.array([rows.get(key, NOTHING) for key in self._keys], np.int64)
        lost = {number for number, row in enumerate(self._rows) if row == NOTHING}
        keys = list(self._keys)
        starts = np.frombuffer(self._starts, np.int64)
        learned = np.frombuffer(self._learned, np.uint8)
        sums = np.concatenate(([0], np.cumsum(learned, dtype=np.int64)))
        self._lengths = np.diff(starts)
        for report, (first, end) in zip(self.reports, self._spans, strict=True):
            kept = []
            for example in range(first, end):
                gone = next((n for n in self._numbers(example) if n in lost), None)
                if gone is None:
                    kept.append(example)
                else:
                    key = keys[gone]
                    why = broken.get(key, "it has no vector")
                    report.skip(self.pictures[key].file, "its picture is broken", why)
            ids = np.array(kept, np.int64)
            self._ids.append(ids)
            report.records = len(ids)
            report.tokens = int(self._lengths[ids].sum())
            report.learned = int((sums[starts[ids + 1]] - sums[starts[ids]]).sum())
            if not kept:
                why = "; ".join(f"{n}: {reason}" for reason, n in report.skipped.items())
                raise UsageError(f"{report.path} has no record to learn from ({why or 'empty'})")

    @property
    def ids(self) -> Sequence[Ints]:
        """The examples of each source that can be used."""
        return self._ids

    @property
    def lengths(self) -> Ints:
        """Tokens of every example, ``(n,)``; known once settled."""
        return self._lengths

    def tokens(self, example: int) -> Ints:
        """The tokens of an example, ``(length,)``."""
        return np.frombuffer(self._tokens, np.uint32)[self._span(example)].astype(np.int64)

    def learned(self, example: int) -> npt.NDArray[np.bool_]:
        """Which of its tokens are learned, ``(length,)``."""
        return np.frombuffer(self._learned, np.bool_)[self._span(example)]

    def segments(self, example: int) -> Ints:
        """Which of its vectors is in force at a token, ``(length,)``."""
        return np.frombuffer(self._segments, np.uint8)[self._span(example)].astype(np.int64)

    def rows(self, example: int) -> Ints:
        """The rows of its vectors, ``(n,)``; ``NOTHING`` is the zero vector."""
        numbers = np.array(self._numbers(example), np.int64)
        return np.array([NOTHING if n == NOTHING else self._rows[n] for n in numbers], np.int64)

    def _span(self, example: int) -> slice:
        return slice(self._starts[example], self._starts[example + 1])

    def _numbers(self, example: int) -> "array[int]":
        return self._shown[self._shown_starts[example] : self._shown_starts[example + 1]]

    def _number(self, picture: Picture) -> int:
        """The number of a picture, the same for equal ones."""
        if picture not in self._places:
            self._places[picture] = key_of(picture)
        key = self._places[picture]
        self.pictures.setdefault(key, picture)
        return self._keys.setdefault(key, len(self._keys))


class _Remembering:
    """A tokenizer that keeps what it was asked."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.size, self.n_tokens = tokenizer.size, tokenizer.n_tokens
        self._encode = lru_cache(REMEMBERED)(tokenizer.encode)
        self._decode = tokenizer.decode

    def encode(self, text: str) -> list[int]:
        return list(self._encode(text))  # a list of the caller's own, which may grow

    def decode(self, ids: Sequence[int]) -> str:
        return self._decode(ids)


def encoder_of(
    tokenizer: Tokenizer, *, bos: int | None, eos: int, max_tokens: int
) -> Callable[[Record], Encoded | str]:
    """How records become tokens.

    An answer that reaches beyond ``max_tokens`` is cut, and then no end is learned: nothing would
    be worse than to learn that answers end in mid-sentence. Turns after it fall away. A record
    whose first question leaves no room for an answer is of no use.

    Args:
        tokenizer: Of the base.
        bos: What opens a sequence, if anything does.
        eos: What ends an answer; learned behind each.
        max_tokens: Of a whole record.

    Returns:
        A function to the tokens of a record, or to the reason why it has to be skipped.
    """
    remembering = _Remembering(tokenizer)

    def encode(record: Record) -> Encoded | str:
        tokens: list[int] = []
        learned, segments = bytearray(), bytearray()
        shown: list[Picture | None] = []
        cut = False
        pieces = encode_pieces(remembering, format_turns(record.turns), bos=bos, eos=(eos,))
        for turn, picture in enumerate(record.pictures):
            asked, said = pieces[2 * turn], pieces[2 * turn + 1]
            room = max_tokens - len(tokens) - len(asked)
            if room < 1 and not turn:
                return "its question leaves no room for an answer"
            cut = len(said) > room
            if room < 1:
                break
            if picture is not None or not shown:
                shown.append(picture)
            said = said[:room]
            tokens += [*asked, *said]
            learned += bytes(len(asked)) + b"\1" * len(said)
            segments += bytes([len(shown) - 1]) * (len(asked) + len(said))
            if cut:
                break
        return Encoded(
            tokens=tokens,
            learned=bytes(learned),
            segments=bytes(segments),
            shown=shown,
            cut=cut,
        )

    return encode
