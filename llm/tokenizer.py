"""Text to token ids and back, with the tokenizer that a base language model brings along.

Three file formats: ``tokenizer.json`` of the tokenizers library, and as ``tokenizer.model`` what
Meta ships: SentencePiece's for LLaMA 1 and 2, tiktoken's from LLaMA 3 on. Ids come without those
that open and end a sequence.
"""

import re
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..encoders.byte_letters import byte_letters
from ..errors import WeightsError
from .prompt import Piece

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

ANCHOR = "\n"  # a text that continues another is tokenised after it, and the anchor taken away


RANKED = re.compile(rb"([A-Za-z0-9+/]+=*) (\d+)")  # a line of tiktoken's: bytes in base64, and id
# How LLaMA 3 cuts a text before pairs of bytes are merged.
# Source: meta-llama/llama3, llama/tokenizer.py, as all that follows about its ids.
LLAMA_3_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA_3_CONTROLS = 256  # ids behind the merges that are no text
LLAMA_3_BOS, LLAMA_3_EOS = 0, (1, 9)  # among them: begins a text; end of a text, and of a turn
META_BOS, META_EOS = 1, (2,)  # of the SentencePiece vocabulary of LLaMA 1 and 2


class Ends(NamedTuple):
    """Ids that open a sequence, and that end an answer."""

    bos: int | None
    eos: tuple[int, ...]


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
    """One of the tokenizers library; control ids may lie behind its own."""

    def __init__(self, backend: "Backend", n_controls: int = 0) -> None:
        self._backend = backend

        ids = self._backend.get_vocab(with_added_tokens=True).values()
        self._size = max(ids, default=-1) + 1 + n_controls
        self._n_tokens = len(ids) + n_controls

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
    """``tokenizer.model`` of LLaMA 1 and 2."""

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


def _open_json(path: Path) -> Tokenizer:
    """``tokenizer.json``."""
    from tokenizers import Tokenizer as Backend

    backend = Backend.from_file(str(path))
    backend.no_padding()
    backend.no_truncation()
    return _FastTokenizer(backend)


def _open_model(path: Path) -> Tokenizer:
    """``tokenizer.model``: SentencePiece's, or tiktoken's."""
    ranks = _ranks(path)
    return _SentencePiece(path) if ranks is None else _of_ranks(ranks)


def _ranks(path: Path) -> dict[bytes, int] | None:
    """The id of every token of a file of tiktoken's; None of another file.

    Raises:
        ValueError: It begins as one and does not go on as one.
    """
    with path.open("rb") as file:
        if not RANKED.fullmatch(file.readline(200).strip()):
            return None
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not (match := RANKED.fullmatch(line)):
            raise ValueError(f"line {number} is no token and its rank")
        ranks[b64decode(match[1], validate=True)] = int(match[2])
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise ValueError(f"its {len(ranks)} tokens do not have the ranks from 0 on")
    return ranks


def _of_ranks(ranks: dict[bytes, int]) -> Tokenizer:
    """Byte pairs of tiktoken's: of all that may be merged, what has the lowest rank is first.

    No text has control ids, as in Meta's code: their names are words like others.
    """
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    letters = byte_letters()

    def spelt(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [
        (spelt(token[:cut]), spelt(token[cut:]))
        for token in sorted(ranks, key=ranks.__getitem__)
        for cut in sorted(
            (cut for cut in range(1, len(token)) if token[:cut] in ranks and token[cut:] in ranks),
            key=lambda cut: (ranks[token[:cut]], ranks[token[cut:]]),
        )
    ]
    vocabulary = {spelt(token): rank for token, rank in ranks.items()}
    backend = Backend(models.BPE(vocabulary, merges, ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return _FastTokenizer(backend, LLAMA_3_CONTROLS)


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
    path = _file_of(folder)
    if path is None:
        raise WeightsError(
            f"{folder} has no tokenizer; put the base's tokenizer.json or tokenizer.model there"
        )
    try:
        return _open_json(path) if path.suffix == ".json" else _open_model(path)
    except Exception as error:  # the libraries raise bare Exceptions and RuntimeErrors
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(f"cannot read tokenizer {path}: {reason}") from error


def meta_ends(folder: Path) -> Ends:
    """What opens and ends a sequence in Meta's layout, whose files do not say it.

    Raises:
        WeightsError: The tokenizer cannot be read.
    """
    path = _file_of(folder)
    try:
        ranks = _ranks(path) if path is not None and path.suffix == ".model" else None
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read tokenizer {path}: {error}") from error
    if ranks is None:
        return Ends(META_BOS, META_EOS)
    return Ends(len(ranks) + LLAMA_3_BOS, tuple(len(ranks) + end for end in LLAMA_3_EOS))


def _file_of(folder: Path) -> Path | None:
    """The tokenizer's file in a base's folder, or in the one above."""
    places = (
        folder / "tokenizer.json",
        folder / "tokenizer.model",
        folder.parent / "tokenizer.model",
    )
    return next((path for path in places if path.is_file()), None)
