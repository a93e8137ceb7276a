"""Text to token ids and back, with the tokenizer that a base language model brings along.

Two file formats: ``tokenizer.json`` of the tokenizers library, and ``tokenizer.model`` of
SentencePiece, as Meta ships it. Ids come without those that open and end a sequence.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..errors import WeightsError
from .prompt import Piece

ANCHOR = "\n"  # a text that continues another is tokenised after it, and the anchor taken away


class Tokenizer(Protocol):
    """Text to ids, and ids to text."""

    @property
    def size(self) -> int:
        """Ids are below this."""
        ...

    @property
    def n_tokens(self) -> int:
        """Ids that mean something; there may be gaps between them."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of a text; none that opens or ends a sequence."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; control ids vanish, an unfinished character becomes U+FFFD."""
        ...


class _FastTokenizer:
    """``tokenizer.json``."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as Backend

        self._backend = Backend.from_file(str(path))
        self._backend.no_padding()
        self._backend.no_truncation()

        ids = self._backend.get_vocab(with_added_tokens=True).values()
        self._size, self._n_tokens = max(ids, default=-1) + 1, len(ids)

    @property
    def size(self) -> int:
        return self._size

    @property
    def n_tokens(self) -> int:
        return self._n_tokens

    def encode(self, text: str) -> list[int]:
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._backend.decode(list(ids), skip_special_tokens=True))


class _SentencePiece:
    """``tokenizer.model``."""

    def __init__(self, path: Path) -> None:
        from sentencepiece import SentencePieceProcessor

        self._backend = SentencePieceProcessor(model_file=str(path))

    @property
    def size(self) -> int:
        return int(self._backend.vocab_size())

    @property
    def n_tokens(self) -> int:
        return self.size

    def encode(self, text: str) -> list[int]:
        return list(self._backend.encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._backend.decode(list(ids)))


def continuation(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text that stands behind another one, without the space a first word is given."""
    anchor = tokenizer.encode(ANCHOR)
    ids = tokenizer.encode(ANCHOR + text)
    if ids[: len(anchor)] == anchor:
        return ids[len(anchor) :]
    return tokenizer.encode(text)  # the anchor melted into the text


def encode_pieces(
    tokenizer: Tokenizer, pieces: Sequence[Piece], *, bos: int | None, eos: Sequence[int]
) -> list[list[int]]:
    """Ids of each piece of a prompt; together they are the sequence.

    Args:
        tokenizer: Of the base.
        pieces: In order, at least one.
        bos: Opens the sequence, if anything does.
        eos: Ids that end an answer; the first one follows each answer in the sequence.
    """
    found = [tokenizer.encode(pieces[0].text)]
    found += [continuation(tokenizer, piece.text) for piece in pieces[1:]]
    for ids, piece in zip(found, pieces, strict=True):
        if piece.answer:
            ids.extend(eos[:1])
    if bos is not None:
        found[0].insert(0, bos)
    return found


def find_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a base's folder, or, as Meta lays it out, in the one above.

    Raises:
        WeightsError: There is none, or it cannot be read.
    """
    for path, kind in (
        (folder / "tokenizer.json", _FastTokenizer),
        (folder / "tokenizer.model", _SentencePiece),
        (folder.parent / "tokenizer.model", _SentencePiece),
    ):
        if path.is_file():
            try:
                return kind(path)
            except Exception as error:  # the libraries raise bare Exceptions and RuntimeErrors
                reason = str(error).strip().partition("\n")[0]
                raise WeightsError(f"cannot read tokenizer {path}: {reason}") from error
    raise WeightsError(
        f"{folder} has no tokenizer; put the base's tokenizer.json or tokenizer.model there"
    )
