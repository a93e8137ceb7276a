"""Answers drawn together, a token of each at every step; they come and go between steps.

A prompt is read into a cache of its own, many prompts at once or a long one in parts. Then its keys
and values move into a row of :class:`Slots`, and from there on a step costs one forward pass of one
token a row, however different the rows are. What a vector injects is computed once an answer, while
its prompt is read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from inspect import signature

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, LlamaForCausalLM, LlamaModel
from transformers.cache_utils import DynamicLayer

from .config import Generation
from .generation import draw, generator_of
from .injection import Visual, seeing
from .network import Network

BLOCK = 256  # tokens by which the cache grows
FORWARD = signature(LlamaModel.forward).parameters
CACHE = "cache" if "cache" in FORWARD else "past_key_values"  # its older name


class Finish(StrEnum):
    """Why an answer ended."""

    STOP = "stop"  # the model ended it
    LENGTH = "length"  # it has as many tokens as it may, or the context is full
    CANCELLED = "cancelled"  # nobody wants it any more
    FAILED = "failed"  # an error


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A prompt as the network takes it."""

    ids: Sequence[int]  # at least one
    segments: Sequence[int]  # of each id: which of the vectors is in force there, never descending
    vectors: Tensor  # (pieces, in_dim); not looked at without an adapter


class Row:
    """An answer in the making.

    Attributes:
        asked: Its prompt.
        settings: How it is drawn.
        ids: Prompt and answer as far as they go; the token that ends an answer stays out.
        finish: Why it ended; ``None`` while it goes on. Whoever sets it ends the answer.
    """

    def __init__(
        self,
        asked: Asked,
        settings: Generation,
        *,
        room: int,
        seed: int | None,
        device: torch.device,
    ) -> None:
        """``room`` is the most tokens the answer may have; ``seed`` takes the place of the one in
        the settings."""
        self.asked = asked
        self.settings = settings
        self.ids = list(asked.ids)
        self.finish: Finish | None = None
        self.generator = generator_of(seed, device)
        self._room = room

    @property
    def answer(self) -> list[int]:
        """The tokens drawn so far."""
        return self.ids[len(self.asked.ids) :]

    def take(self, id: int, ends: frozenset[int]) -> None:
        """Go on with a token, unless the answer has ended; ``ends`` are those that end one."""
        if self.finish is not None:
            return
        if id in ends:
            self.finish = Finish.STOP
            return
        self.ids.append(id)
        if len(self.ids) - len(self.asked.ids) >= self._room:
            self.finish = Finish.LENGTH


class Decoder:
    """Answers of one language model, drawn together. For one thread at a time.

    Args:
        llama: The model.
        network: The adapter around it, or ``None``.
        eos: Ids that end an answer.
    """

    def __init__(
        self, llama: LlamaForCausalLM, network: Network | None, eos: Sequence[int]
    ) -> None:
        self._llama = llama
        self._network = network
        self._ends = frozenset(eos)
        self._reading: _Prompts | None = None
        self._running: list[Row] = []
        self._slots = Slots()
        self._visual: Visual | None = None  # what the running rows see

    @property
    def reading(self) -> Sequence[Row]:
        """Rows whose prompts are being read."""
        return () if self._reading is None else self._reading.rows

    @property
    def running(self) -> Sequence[Row]:
        """Rows that get a token at every step."""
        return self._running

    @torch.inference_mode()
    def begin(self, rows: Sequence[Row]) -> None:
        """Take up rows whose prompts will be read together; call it when none is being read."""
        assert self._reading is None, "prompts are being read"
        self._reading = _Prompts(rows, self._llama, self._network)

    @torch.inference_mode()
    def read(self, n: int | None = None) -> Sequence[Row]:
        """Read on in the prompts.

        Args:
            n: Tokens, those of all rows and their padding together; ``None`` is all that are left.

        Returns:
            The rows, each with its first token, once their prompts are read to the end; else none.
        """
        self.tidy()
        prompts = self._reading
        if prompts is None or not prompts.read(n):
            return ()
        self._draw(prompts.rows, prompts.last)
        alive = [i for i, row in enumerate(prompts.rows) if row.finish is None]
        if alive:
            self._slots.join(len(self._running), prompts.cache, alive)
            if prompts.visual is not None:
                values = [] if self._visual is None else [self._visual.ends()]
                values.append(prompts.visual.ends()[:, alive])
                self._visual = Visual.of(torch.cat(values, dim=1))
            self._running += [prompts.rows[i] for i in alive]
        self._reading = None
        return prompts.rows

    @torch.inference_mode()
    def step(self) -> Sequence[Row]:
        """Draw a token for every running row, and let those go that end with it.

        Returns:
            The rows that ran.
        """
        self.tidy()
        rows = tuple(self._running)
        if not rows:
            return rows
        device = self._llama.device
        length = max(len(row.ids) for row in rows)  # with the last token, not in the cache yet
        lasts = torch.tensor([(row.ids[-1], len(row.ids) - 1) for row in rows], device=device)
        tokens, places = lasts[:, :1], lasts[:, 1:]  # (running, 1)
        self._slots.aim(places, length)
        mask = torch.arange(length, device=device) <= places  # (running, length)
        with seeing(self._visual):
            hidden = self._llama.model(
                input_ids=tokens,
                position_ids=places,
                attention_mask=mask[:, None, None],
                use_cache=True,
                **{CACHE: self._slots},
            ).last_hidden_state
        self._draw(rows, hidden[:, 0])
        self.tidy()
        return rows

    def tidy(self) -> None:
        """Let finished rows go; what they held in memory goes with the last of them."""
        if all(row.finish is not None for row in self.reading):
            self._reading = None
        kept = [i for i, row in enumerate(self._running) if row.finish is None]
        if len(kept) == len(self._running):
            return
        # the last ones move into the gaps, so that few rows are copied
        stay, moved = [i for i in kept if i < len(kept)], [i for i in kept if i >= len(kept)]
        order = [i if i in stay else moved.pop() for i in range(len(kept))]
        with torch.inference_mode():
            self._slots.keep(order)
            if self._visual is not None:
                self._visual = Visual.of(self._visual.ends()[:, order]) if order else None
        self._running = [self._running[i] for i in order]

    def tokens(self, row: Row) -> Iterator[int]:
        """The tokens of a single answer as they are drawn, while nothing else is."""
        self.begin([row])
        drawn = self.read()
        while drawn and (row.finish in (None, Finish.LENGTH)):
            yield row.ids[-1]
            drawn = self.step()

    def _draw(self, rows: Sequence[Row], hidden: Tensor) -> None:
        """Give each row its next token; ``hidden`` is the last layer's ``(rows, dim)``."""
        logits = self._llama.lm_head(hidden)  # (rows, vocabulary)
        drawn = draw(
            logits,
            [row.settings for row in rows],
            [row.generator for row in rows],
            [row.ids for row in rows],
        )
        for row, id in zip(rows, drawn, strict=True):
            row.take(id, self._ends)


class _Prompts:
    """Prompts that are read together, padded on the right, where nothing looks at the padding.

    Attributes:
        rows: Whose prompts.
        cache: Keys and values of what was read.
        visual: What is shown, if there is an adapter.
        last: Hidden vectors ``(rows, dim)`` at the ends of the prompts, once all is read.
    """

    def __init__(
        self, rows: Sequence[Row], llama: LlamaForCausalLM, network: Network | None
    ) -> None:
        self.rows = rows
        self.cache = DynamicCache(config=llama.config)
        self._llama = llama
        self._n_read = 0
        asked = [row.asked for row in rows]
        width = max(len(prompt.ids) for prompt in asked)
        self._tokens = torch.tensor([_filled(prompt.ids, width) for prompt in asked])
        self._tokens = self._tokens.to(llama.device)
        self._ends = torch.tensor([len(prompt.ids) - 1 for prompt in asked], device=llama.device)
        self.last = torch.empty(len(rows), llama.config.hidden_size, device=llama.device)
        self.last = self.last.to(llama.dtype)
        self.visual: Visual | None = None
        if network is not None:
            n = max(len(prompt.vectors) for prompt in asked)
            vectors = torch.stack([_padded(prompt.vectors, n) for prompt in asked])
            segments = None
            if n > 1:
                segments = torch.tensor([_filled(prompt.segments, width) for prompt in asked])
                segments = segments.to(llama.device)
            self.visual = network.visual(vectors.to(llama.device), segments)

    def read(self, n: int | None) -> bool:
        """Read ``n`` tokens, those of all rows together; is it the end?"""
        start, width = self._n_read, self._tokens.shape[1]
        stop = width if n is None else min(width, start + max(1, n // len(self.rows)))
        with seeing(None if self.visual is None else self.visual.window(start, stop)):
            hidden = self._llama.model(
                input_ids=self._tokens[:, start:stop], use_cache=True, **{CACHE: self.cache}
            ).last_hidden_state  # (rows, stop - start, dim)
        (ending,) = torch.nonzero((self._ends >= start) & (self._ends < stop), as_tuple=True)
        self.last[ending] = hidden[ending, self._ends[ending] - start]
        self._n_read = stop
        return stop == width


class Slots(Cache):
    """Keys and values of running answers, a row each from its first token on, with room to grow.

    Rows are of different lengths; a mask hides what lies behind the end of each.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        # keys of each layer, then values of each: (rows, n_kv_heads, tokens, head_dim)
        self._kept: list[Tensor] = []
        self._n_layers = 0
        self._n_rows = self._length = 0
        self._at = torch.empty(0)

    def join(self, n: int, cache: DynamicCache, rows: Sequence[int]) -> None:
        """Behind the first ``n`` rows, put some rows of another cache."""
        layers = [layer for layer in cache.layers if isinstance(layer, DynamicLayer)]
        both = (*(layer.keys for layer in layers), *(layer.values for layer in layers))
        read = [each for each in both if each is not None]  # a layer that has read has both
        if not self._kept:
            self._n_layers = len(layers)
            self._kept = [each.new_empty(0, each.shape[1], 0, each.shape[3]) for each in read]
        stop, length = n + len(rows), read[0].shape[2]
        self._reserve(stop, length)
        for kept, each in zip(self._kept, read, strict=True):
            kept[n:stop, :, :length] = each[rows]
            kept[n:stop, :, length:] = 0  # hidden, but what is not finite would show

    def keep(self, order: Sequence[int]) -> None:
        """Row ``i`` becomes what row ``order[i]`` was; with no row left, the memory is let go."""
        if not order:
            self._kept.clear()
        for kept in self._kept:
            for i, old in enumerate(order):
                if i != old:
                    kept[i] = kept[old]

    def aim(self, places: Tensor, length: int) -> None:
        """The next token of row ``i`` goes to ``places[i]``; attention sees ``length`` tokens."""
        self._n_rows, self._length = len(places), length
        self._reserve(self._n_rows, length)
        _, n_heads, tokens, _ = self._kept[0].shape
        starts = torch.arange(self._n_rows * n_heads, device=places.device) * tokens
        # where each head's vector goes, rows, heads and tokens counted as one
        self._at = (starts.view(-1, n_heads) + places).flatten()

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: object,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        """Called by attention with ``(rows, n_kv_heads, 1, head_dim)``; gives all tokens so far."""
        keys, values = self._kept[layer_idx], self._kept[self._n_layers + layer_idx]
        head_dim = keys.shape[3]
        keys.view(-1, head_dim).index_copy_(0, self._at, key_states.reshape(-1, head_dim))
        values.view(-1, head_dim).index_copy_(0, self._at, value_states.reshape(-1, head_dim))
        n, length = self._n_rows, self._length
        return keys[:n, :, :length], values[:n, :, :length]

    def _reserve(self, n_rows: int, length: int) -> None:
        """Have room for so many rows and tokens, and then some."""
        rows, _, tokens, _ = self._kept[0].shape
        if n_rows <= rows and length <= tokens:
            return
        more_rows = rows if n_rows <= rows else 2 ** (n_rows - 1).bit_length()
        more_tokens = tokens if length <= tokens else -(-length // BLOCK) * BLOCK
        for i, old in enumerate(self._kept):  # one after the other: memory holds few of them twice
            new = old.new_zeros(more_rows, old.shape[1], more_tokens, old.shape[3])
            new[:rows, :, :tokens] = old
            self._kept[i] = new


def _filled(ids: Sequence[int], width: int) -> list[int]:
    """Padded on the right with the last one."""
    return [*ids, *[ids[-1]] * (width - len(ids))]


def _padded(vectors: Tensor, n: int) -> Tensor:
    """``(pieces, dim)`` to ``(n, dim)``; no position has what is added in view."""
    return torch.cat((vectors, vectors.new_zeros(n - len(vectors), vectors.shape[1])))
