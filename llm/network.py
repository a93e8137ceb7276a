"""A LLaMA that sees: bind network, injection and LoRA around transformers' ``LlamaForCausalLM``.

The base keeps its class and its modules; nothing of it is trained but, in the second phase, its
norms. One object serves training (:meth:`Network.forward` is the loss, so DDP and FSDP can wrap it)
and answering (:meth:`Network.visual`, which :mod:`.decoding` shows).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from .bind import BindNetwork
from .config import TRAINED, AdapterConfig, Group, Phase
from .injection import Injection, Visual, seeing
from .lora import add_lora, fold_lora

IGNORED = -100  # as a label: this position is not to be learned


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Sequences to learn from, padded on the right with any token."""

    tokens: Tensor  # int64 (B, T)
    labels: Tensor  # int64 (B, T): the token itself where it is to be learned, else IGNORED
    vectors: Tensor  # (B, in_dim), or (B, S, in_dim) where the medium changes in a sequence
    segments: Tensor | None = None  # int64 (B, T): which of the S vectors is in force there


class Network(nn.Module):
    """A language model and everything that is added to it."""

    def __init__(self, llama: LlamaForCausalLM, config: AdapterConfig) -> None:
        """Put an untrained adapter around a base.

        Raises:
            ValueError: The configuration is for a language model of another size.
        """
        super().__init__()
        sizes = adapter_sizes(llama)
        asked = (config.n_layers, config.n_heads, config.bind.dim)
        if asked != sizes:
            raise ValueError(
                "the adapter is for {} layers of {} heads, width {}".format(*asked)
                + "; the language model has {} of {}, width {}".format(*sizes)
            )
        self.config = config
        self.llama = llama.requires_grad_(False)
        self.bind = BindNetwork(config.bind)
        self.injection = Injection(
            n_layers=config.n_layers, n_heads=config.n_heads, dim=config.bind.dim
        )
        if config.lora_rank:
            add_lora(llama, config.lora_rank)
        self.injection.attach(llama)

    def forward(
        self,
        tokens: Tensor,
        labels: Tensor,
        vectors: Tensor,
        segments: Tensor | None = None,
    ) -> Tensor:
        """The mean cross entropy of the tokens to be learned; arguments as :class:`Batch` has them.

        A batch without any gives 0, with gradients of 0, so that processes stay in step.
        """
        with self.seeing(vectors, segments):
            hidden: Tensor = self.llama.model(input_ids=tokens, use_cache=False).last_hidden_state
        targets = labels[:, 1:]
        learned = targets != IGNORED  # (B, T - 1)
        if not learned.any():
            return hidden.float().sum() * 0
        logits = self.llama.lm_head(hidden[:, :-1][learned])  # (targets, vocabulary)
        return F.cross_entropy(logits.float(), targets[learned])

    @contextmanager
    def seeing(self, vectors: Tensor, segments: Tensor | None = None) -> Iterator[None]:
        """In this block the language model sees vectors of the joint space.

        Args:
            vectors: ``(B, in_dim)`` or ``(B, S, in_dim)``.
            segments: int64 ``(B, T)``, as :class:`Batch` has them.
        """
        with seeing(self.visual(vectors, segments)):
            yield

    def visual(self, vectors: Tensor, segments: Tensor | None = None) -> Visual:
        """What :meth:`seeing` shows; the arguments are its own."""
        if vectors.ndim == 2:
            vectors = vectors[:, None]  # (B, 1, in_dim)
        return Visual(self.bind(vectors.to(self.bind.proj.weight.dtype)), segments)

    def adapter(self) -> dict[str, nn.Parameter]:
        """Every tensor that an adapter file holds, by name; without LoRA, no bias and no norm."""
        left_out = set() if self.config.lora_rank else {Group.BIAS, Group.NORM}
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if (group := group_of(name)) is not None and group not in left_out
        }

    def trained(self, phase: Phase) -> dict[str, nn.Parameter]:
        """The parameters a phase trains, by name.

        Raises:
            ValueError: The phase trains LoRA, and the adapter has none.
        """
        if phase is Phase.FINETUNE and not self.config.lora_rank:
            raise ValueError("this adapter has no LoRA to finetune: give lora_rank")
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if group_of(name) in TRAINED[phase]
        }

    def prepare(self, phase: Phase) -> None:
        """Freeze everything but what a phase trains, which becomes fp32."""
        self.requires_grad_(False)
        for parameter in self.trained(phase).values():
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)

    def fold(self) -> None:
        """Fold LoRA into the base's matrices, for answering; the adapter cannot be saved after.

        Raises:
            UsageError: The base is quantised.
        """
        fold_lora(self.llama)
        self.injection.attach(self.llama)


def group_of(name: str) -> Group | None:
    """The part of the adapter a parameter belongs to, by its name in a :class:`Network`."""
    if name.startswith("bind."):
        return Group.BIND
    if name == "injection.queries":
        return Group.QUERIES
    if name.startswith("injection.gates."):
        return Group.GATES
    if name.endswith("norm.weight"):
        return Group.NORM
    owner, _, last = name.rpartition(".")
    if last in ("down", "up"):
        return Group.LORA
    if last == "bias" and not owner.endswith(".base") and owner.endswith("_proj"):
        return Group.BIAS
    return None


def count(parameters: dict[str, nn.Parameter]) -> dict[Group, int]:
    """Numbers in parameters, by the part they belong to."""
    found: dict[Group, int] = {}
    for name, parameter in parameters.items():
        if (group := group_of(name)) is not None:
            found[group] = found.get(group, 0) + parameter.numel()
    return found


def adapter_sizes(llama: LlamaForCausalLM) -> tuple[int, int, int]:
    """Layers, heads, and width of a language model."""
    config = llama.config
    return config.num_hidden_layers, config.num_attention_heads, config.hidden_size
