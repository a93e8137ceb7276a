"""The names of Meta's LLaMA and of ImageBind-LLM's files, and how their rows are turned.

Inside, names and row order are those of transformers. Meta's queries and keys keep the two numbers
that a rotation turns side by side; transformers keeps the first ones of all pairs in front of the
second ones, in every head. Rows of the query and key matrices, of the query's bias and of the
outer LoRA factors of both are reordered alike; everything else only changes its name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

_LINEARS = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
}
_NORMS = {"attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}

_BASE_TOP = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
ROPE = "rope.freqs"  # in Meta's files; follows from the configuration
_BRIDGE = {"norm": "norm", "f1": "gate", "f2": "down", "f3": "up"}  # of the bind network
# Of a training checkpoint, what is no part of the adapter: the encoder, the base, an unused norm.
_SKIPPED = re.compile(
    r"image_bind\.|prefix_projector_norm\.|llama\.(tok_embeddings|output)\.|llama\.rope\.freqs$"
    r"|llama\.layers\.\d+\.(attention\.w[qkvo]|feed_forward\.w[123])\.weight$"
)


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Where a tensor of a file in Meta's manner belongs."""

    name: str  # in a Network, or in LlamaForCausalLM
    heads: str | None = None  # "query" or "key": rows are to be reordered for so many heads


def from_meta(name: str) -> Ours | None:
    """A tensor of Meta's base, under the name of transformers; ``None`` if it is not known."""
    if name in _BASE_TOP:
        return Ours(name=_BASE_TOP[name])
    if not (match := re.fullmatch(r"layers\.(\d+)\.(.+)\.weight", name)):
        return None
    layer, part = f"model.layers.{match[1]}", match[2]
    if part in _NORMS:
        return Ours(name=f"{layer}.{_NORMS[part]}.weight")
    if part not in _LINEARS:
        return None
    return Ours(name=f"{layer}.{_LINEARS[part]}.weight", heads=_heads(part))


def from_published(name: str) -> Ours | None:
    """A tensor of ``7B.pth`` and its kin, under our name; ``None`` if it is not known."""
    name = re.sub("^llma", "llama", name)
    if name == "prefix_query.weight":
        return Ours(name="injection.queries")
    if name == "llama.norm.weight":
        return Ours(name="llama.model.norm.weight")
    if match := re.fullmatch(r"image_bind_proj\.(weight|bias)", name):
        return Ours(name=f"bind.proj.{match[1]}")
    if match := re.fullmatch(r"image_bind_(norm|f[123])_([1-9]\d*)\.(weight|bias)", name):
        part, block, kind = match.groups()
        return Ours(name=f"bind.blocks.{int(block) - 1}.{_BRIDGE[part]}.{kind}")
    if not (match := re.fullmatch(r"llama\.layers\.(\d+)\.(.+)", name)):
        return None
    layer, part = match.groups()
    if part == "attention.gate":
        return Ours(name=f"injection.gates.{layer}")
    block = f"llama.model.layers.{layer}"
    if match := re.fullmatch(r"(attention_norm|ffn_norm)\.weight", part):
        return Ours(name=f"{block}.{_NORMS[match[1]]}.weight")
    if match := re.fullmatch(r"(attention|feed_forward)\.lora_(w[qkvo123])_l([12])\.weight", part):
        of = f"{match[1]}.{match[2]}"
        outer = match[3] == "2"
        if of in _LINEARS:
            return Ours(
                name=f"{block}.{_LINEARS[of]}.{'up' if outer else 'down'}",
                heads=_heads(of) if outer else None,
            )
    if match := re.fullmatch(r"(.+)\.bias", part):
        if match[1] in _LINEARS:
            return Ours(name=f"{block}.{_LINEARS[match[1]]}.bias", heads=_heads(match[1]))
    return None


def is_skipped(name: str) -> bool:
    """Does a training checkpoint hold this tensor beside the adapter?"""
    return _SKIPPED.match(re.sub("^llma", "llama", name)) is not None


def halves_first(rows: Tensor, n_heads: int) -> Tensor:
    """Rows ``(n_heads * head_dim, ...)`` from Meta's order to that of transformers."""
    head_dim = rows.shape[0] // n_heads
    pairs = rows.reshape(n_heads, head_dim // 2, 2, *rows.shape[1:])
    return pairs.transpose(1, 2).reshape(rows.shape)


def turned(tensor: Tensor, ours: Ours, heads: Mapping[str, int]) -> Tensor:
    """A tensor with its rows in our order; ``heads`` are those of ``query`` and of ``key``."""
    return tensor if ours.heads is None else halves_first(tensor, heads[ours.heads])


def _heads(part: str) -> str | None:
    return {"attention.wq": "query", "attention.wk": "key"}.get(part)
