"""A visual vector enters every layer of a LLaMA through gates that begin at zero.

In layer ``l``, ``a = W_v (visual + query_l)``, with the base's bare value matrix, is split into
heads, and ``tanh(gate_lh) * a_h`` is added to the attention output of head ``h`` at every position,
in front of the output projection. The visual vector is no token and takes no position.

Because that sum is the input of the output projection, a forward pre-hook there is all that is
needed: attention kernels, key-value caches and generation stay those of transformers. Which vector
is meant travels in a context variable, so threads may ask different things of one model. The
values of a layer are computed inside that layer at its first use, where a sharded model has its
matrix at hand, and are kept as long as the vector is in force.

Source: ImageBind-LLM, https://arxiv.org/abs/2309.03905, sec. 3.2; queries, the bare matrix, gates
per head and tanh are of its released code.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import LlamaForCausalLM

from .lora import bare

QUERY_STD = 1.0  # of a layer query before training, as torch's embeddings begin


class Visual:
    """The visual vectors of a batch, and what each layer made of them.

    Attributes:
        vectors: ``(B, S, dim)`` of the language model: S vectors an item, one after the other.
        segments: int64 ``(B, T)``: which of the S is in force at a position; ``None`` if S is 1.
            Positions after T, those of an answer, have the last one.
    """

    def __init__(self, vectors: Tensor, segments: Tensor | None = None) -> None:
        if segments is None and vectors.shape[1] != 1:
            raise ValueError(f"{vectors.shape[1]} vectors an item, and no segments to place them")
        self.vectors = vectors
        self.segments = segments
        self._values: dict[int, Tensor] = {}

    @classmethod
    def of(cls, values: Tensor) -> "Visual":
        """What was made before, by :meth:`ends`: ``(n_layers, B, width)``."""
        found = cls(values.new_empty(values.shape[1], 1, 0))
        found._values = {layer: each[:, None] for layer, each in enumerate(values)}
        return found

    def window(self, start: int, stop: int) -> "Visual":
        """The same for a part of the positions; what layers make of it counts for both."""
        if self.segments is None:
            return self
        found = Visual(self.vectors, self.segments[:, start:stop])
        found._values = self._values
        return found

    def ends(self) -> Tensor:
        """What the layers add behind the last position, ``(n_layers, B, width)``, after a pass."""
        layers = [self._values[layer] for layer in sorted(self._values)]
        if self.segments is None:
            return torch.stack([values[:, 0] for values in layers])
        rows = torch.arange(len(self.segments), device=self.segments.device)
        return torch.stack([values[rows, self.segments[:, -1]] for values in layers])

    def at(self, layer: int, n: int, values: Callable[[Tensor], Tensor]) -> Tensor:
        """What is added in a layer at ``n`` positions: ``(B, n or 1, width)``."""
        if layer not in self._values:
            self._values[layer] = values(self.vectors)  # (B, S, width)
        found = self._values[layer]
        if self.segments is None:
            return found
        if n == 1:
            chosen = self.segments[:, -1:]
        elif n == self.segments.shape[1]:
            chosen = self.segments
        else:
            raise ValueError(f"{n} positions at once, and segments for {self.segments.shape[1]}")
        return found.gather(1, chosen[..., None].expand(-1, -1, found.shape[2]))


_current: ContextVar[Visual | None] = ContextVar("visual", default=None)


@contextmanager
def seeing(visual: Visual | None) -> Iterator[None]:
    """In this block, and in this thread, an attached LLaMA sees these vectors, or none."""
    token = _current.set(visual)
    try:
        yield
    finally:
        _current.reset(token)


class Injection(nn.Module):
    """Layer queries ``(n_layers, dim)`` and gates ``(n_heads,)`` a layer."""

    def __init__(self, *, n_layers: int, n_heads: int, dim: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(n_layers, dim) * QUERY_STD)
        self.gates = nn.ParameterList(torch.zeros(n_heads) for _ in range(n_layers))
        self._hooks: list[RemovableHandle] = []
        self._head_dim = 0  # of the language model; known once attached

    def attach(self, llama: LlamaForCausalLM) -> None:
        """Hook into every layer; again after its modules were replaced."""
        for hook in self._hooks:
            hook.remove()
        config = llama.config
        self._head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
        self._hooks = [
            block.get_submodule("self_attn.o_proj").register_forward_pre_hook(
                partial(
                    self._inject,
                    layer,
                    partial(self._values, layer, block.get_submodule("self_attn")),
                )
            )
            for layer, block in enumerate(llama.model.layers)
        ]

    def _inject(
        self,
        layer: int,
        values: Callable[[Tensor], Tensor],
        projection: nn.Module,
        inputs: tuple[Tensor],
    ) -> tuple[Tensor] | None:
        """The hook: ``(B, n, n_heads * head_dim)`` plus the gated values."""
        visual = _current.get()
        if visual is None:
            return None
        (mixed,) = inputs
        return (mixed + visual.at(layer, mixed.shape[1], values).to(mixed.dtype),)

    def _values(self, layer: int, attention: nn.Module, vectors: Tensor) -> Tensor:
        """``(B, S, dim)`` to gated values ``(B, S, n_heads * head_dim)``."""
        projection = attention.get_submodule("v_proj")
        values = bare(projection, vectors + self.queries[layer].to(vectors.dtype))
        gates = torch.tanh(self.gates[layer]).to(values.dtype)
        b, s, width = values.shape
        n_values = width // self._head_dim  # heads, of which several may share one value
        per_head = values.view(b, s, n_values, 1, self._head_dim)
        gated = per_head * gates.view(n_values, -1, 1)  # (B, S, n_values, sharing, head_dim)
        return gated.reshape(b, s, -1)
