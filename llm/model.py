"""A language model that answers questions about vectors of the joint space.

Whatever a vector came from (an image, a sound, a mixture, a vector enhanced by the cache), it is
shown to the model in the same way. This module needs torch and transformers; import it when a
language model is wanted.
"""

import os
from collections.abc import Generator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..encoders.modality import Vectors
from ..errors import UsageError, WeightsError
from .adapter import check_base, fill, open_adapter
from .base import Base, Precision, load_base, need_of
from .config import Generation
from .decoding import Asked, Decoder, Row
from .generation import pieces_of
from .int8 import is_in_int8
from .network import Network
from .prompt import Piece
from .tokenizer import encode_pieces

BATCH = 32  # prompts answered at once, where the caller names no number
MAX_CHARACTERS = 16  # a token of the context; a longer prompt is refused before it is tokenised

Prompt = str | Sequence[str | Piece]  # text, or pieces that each have a vector of their own
Shown = Vectors | Tensor | Sequence[Vectors | Tensor]


class LanguageModel:
    """A base, perhaps with an adapter, in words: prompts and vectors in, text out.

    Prompts are what the model reads, word for word: :func:`.prompt.format_prompt` makes one of a
    question. Without an adapter it is the plain base and takes no vectors. Safe to use from many
    threads.
    """

    def __init__(self, base: Base, network: Network | None) -> None:
        """See :func:`load_language_model`; ``network`` is an adapter around ``base.llama``."""
        self.base = base
        self.network = network

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together, at most."""
        return self.base.context

    @property
    def dim(self) -> int | None:
        """Width of the vectors it takes; ``None`` without an adapter."""
        return self.network.config.bind.in_dim if self.network is not None else None

    def count(self, prompt: Prompt) -> int:
        """Tokens of a prompt, with the one that opens a sequence."""
        return _length(self._ids(_pieces(prompt)))

    def generate(
        self,
        prompts: Sequence[Prompt],
        vectors: Shown | None = None,
        settings: Generation | None = None,
        *,
        batch_size: int = BATCH,
    ) -> list[str]:
        """Continue prompts of any lengths.

        Args:
            prompts: Each a text; or, where the medium changes in a conversation, pieces that each
                have a vector of their own, as :func:`.prompt.format_turns` makes them.
            vectors: ``(n, dim)``, one a prompt; for prompts in pieces ``(pieces, dim)`` each. An
                answer has its prompt's last one in view. ``None`` is the zero vector for all:
                nothing to see.
            settings: How to draw; row ``i`` draws with ``seed + i``.
            batch_size: Prompts at once.

        Returns:
            The text after each prompt, without space around it. It ends where the model ends it,
            after ``settings.max_tokens``, or where the context is full.

        Raises:
            UsageError: A prompt is empty or does not fit the context, or the vectors do not fit
                the prompts or the model.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; give at least 1")
        rows = self._rows(prompts, vectors, settings or Generation())
        by_length = sorted(rows, key=lambda row: len(row.ids))
        for start in range(0, len(rows), batch_size):
            decoder = self.decoder()
            decoder.begin(by_length[start : start + batch_size])
            decoder.read()
            while decoder.running:
                decoder.step()
        return [self.base.tokenizer.decode(row.answer).strip() for row in rows]

    def stream(
        self,
        prompt: Prompt,
        vector: Vectors | Tensor | None = None,
        settings: Generation | None = None,
    ) -> Generator[str, None, None]:
        """The answer that :meth:`generate` gives to one prompt, piece by piece as it is drawn.

        A piece is never empty and never ends inside a character. Closing the iterator stops the
        drawing.

        Args:
            prompt: As one of :meth:`generate`.
            vector: ``(dim,)``; for a prompt in pieces ``(pieces, dim)``.
            settings: How to draw.

        Raises:
            UsageError: As :meth:`generate`, before the first piece.
        """
        row = self.row(prompt, vector, settings)

        def pieces() -> Generator[str, None, None]:
            yield from pieces_of(self.decoder().tokens(row), self.base.tokenizer.decode)

        return pieces()

    def row(
        self,
        prompt: Prompt,
        vector: Vectors | Tensor | None = None,
        settings: Generation | None = None,
    ) -> Row:
        """A prompt for :meth:`decoder`; arguments and errors are those of :meth:`stream`."""
        shown = None if vector is None else [vector]
        return self._rows([prompt], shown, settings or Generation())[0]

    def decoder(self) -> Decoder:
        """What draws answers step by step."""
        return Decoder(self.base.llama, self.network, self.base.eos)

    # -------------------------------------------------------------------------- inside

    def _rows(
        self, prompts: Sequence[Prompt], vectors: Shown | None, settings: Generation
    ) -> list[Row]:
        pieces = [self._encode(prompt) for prompt in prompts]
        rows: list[Row] = []
        for i, (parts, seen) in enumerate(zip(pieces, self._vectors(pieces, vectors), strict=True)):
            asked = Asked(
                ids=[id for part in parts for id in part],
                segments=[place for place, part in enumerate(parts) for _ in part],
                vectors=seen,
            )
            row = Row(
                asked,
                settings,
                room=min(settings.max_tokens, self.context - len(asked.ids)),
                seed=None if settings.seed is None else settings.seed + i,
                device=self.base.llama.device,
            )
            rows.append(row)
        return rows

    def _ids(self, pieces: Sequence[Piece]) -> list[list[int]]:
        """Token ids of each piece; the first begins with the token that opens a sequence."""
        base = self.base
        return encode_pieces(base.tokenizer, pieces, bos=base.bos, eos=base.eos)

    def _encode(self, prompt: Prompt) -> list[list[int]]:
        """As :meth:`_ids`, for what can be read and leaves room for an answer."""
        pieces = _pieces(prompt)
        n_characters = sum(len(piece.text) for piece in pieces)
        if not any(piece.text.strip() for piece in pieces):
            raise UsageError("the prompt is empty; ask something")
        if n_characters > MAX_CHARACTERS * self.context:
            raise UsageError(
                f"the prompt has {n_characters} characters and the language model reads at most "
                f"{self.context} tokens; shorten the prompt"
            )
        ids = self._ids(pieces)
        if _length(ids) >= self.context:
            raise UsageError(
                f"the prompt has {_length(ids)} tokens and the language model reads and writes "
                f"at most {self.context} together; shorten the prompt"
            )
        return ids

    def _vectors(self, pieces: list[list[list[int]]], vectors: Shown | None) -> list[Tensor]:
        """One tensor ``(pieces, dim)`` a prompt."""
        if self.network is None or self.dim is None:
            if vectors is not None:
                raise UsageError(
                    f"{self.base.path} has no adapter, so it cannot see vectors; load it with one"
                )
            return [torch.empty(0)] * len(pieces)
        if vectors is None:
            return [torch.zeros(len(row), self.dim) for row in pieces]
        if len(vectors) != len(pieces):
            raise UsageError(f"{len(vectors)} vectors for {len(pieces)} prompts; give one each")
        found: list[Tensor] = []
        for row, given in zip(pieces, vectors, strict=True):
            vector = torch.as_tensor(given, dtype=torch.float32).cpu()
            if len(row) == 1 and vector.ndim == 1:
                vector = vector[None]
            if vector.shape != (len(row), self.dim):
                raise UsageError(
                    f"a vector of shape {tuple(vector.shape)} was given where {len(row)} of "
                    f"{self.dim} numbers are meant; encode with the encoder of this adapter"
                )
            if not vector.isfinite().all():
                raise UsageError(
                    "a vector has numbers that are not finite; encode its medium again"
                )
            found.append(vector)
        return found


def load_language_model(
    base: str | os.PathLike[str],
    adapter: str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    expect_base: str | None = None,
    force: bool = False,
    fold: bool = True,
    add_lora: int = 0,
) -> LanguageModel:
    """Open a base, and an adapter on it.

    Args:
        base: A folder in Meta's layout or in Hugging Face's; see :func:`.base.load_base`.
        adapter: ``7B.pth``, ``7B-pretrained.pth``, ``7B-beta.pth``, a training checkpoint of
            ImageBind-LLM, or an adapter of anybind. Without one, the plain base.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: Of the weights; ``auto`` is fp32 on a CPU, bf16 on a GPU, and ``int8`` keeps the
            base's large matrices in a quarter of fp32.
        expect_base: The fingerprint the base must have.
        force: Put the adapter on another base than its own all the same.
        fold: Fold LoRA into the base, for speed, unless that is in int8. Leave it apart to train or
            to save.
        add_lora: Rank of the untrained LoRA to add to an adapter that has none; 0 adds none.

    Raises:
        UsageError: No such folder, device or precision.
        WeightsError: A file is damaged, does not fit, or is for another base.
        AnyBindError: The weights do not fit into memory.
    """
    file = None if adapter is None else open_adapter(adapter)  # fails sooner than the base loads
    n = 0 if file is None else file.n_numbers
    found = load_base(base, device=device, precision=precision, n_beside=n)
    if file is None:
        return LanguageModel(found, None)
    check_base(file, found.fingerprint, expect_base=expect_base, force=force)
    config = file.config
    fresh = add_lora > 0 and config.lora_rank == 0
    if fresh:
        config = replace(config, lora_rank=add_lora)
    llama = found.llama
    with need_of(found.path, llama, n, llama.device, llama.dtype).filling():
        try:
            network = Network(llama, config)
        except ValueError as error:
            raise WeightsError(f"{file.file.path} does not fit {found.path}: {error}") from error
        fill(network, file, fresh_lora=fresh)
        for parameter in network.adapter().values():  # the rotation's buffers keep their precision
            parameter.data = parameter.data.to(llama.device, llama.dtype)
        network.eval().requires_grad_(False)
        if fold and config.lora_rank and not is_in_int8(llama):
            network.fold()
    return LanguageModel(found, network)


def _pieces(prompt: Prompt) -> list[Piece]:
    parts = [prompt] if isinstance(prompt, str) else prompt
    return [part if isinstance(part, Piece) else Piece(text=part) for part in parts]


def _length(pieces: Sequence[Sequence[int]]) -> int:
    return sum(map(len, pieces))
