"""Low-rank changes of linear layers, with a bias of their own, around any base layer.

``y = base(x) + bias + up(down(x))``, without a scaling factor. The base may be a plain linear layer
or a quantised one; folding the change into the matrix needs a plain one. What is injected into
attention takes the *bare* value projection, without LoRA and bias, so a folded value projection
remembers the matrix it had.

Source: LoRA, https://arxiv.org/abs/2106.09685; where biases stand, ImageBind-LLM's released code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from ..errors import UsageError

WITH_BIAS = {  # linear layer -> does the adapter give it a bias?
    "q_proj": True,
    "k_proj": False,
    "v_proj": False,
    "o_proj": True,
    "gate_proj": True,
    "up_proj": True,
    "down_proj": True,
}


class LoRALinear(nn.Module):
    """A frozen linear layer with a trained change of rank ``rank`` and, perhaps, a trained bias."""

    def __init__(self, base: nn.Module, rank: int, *, n_in: int, n_out: int, bias: bool) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.empty(rank, n_in))
        self.up = nn.Parameter(torch.zeros(n_out, rank))  # at first nothing changes
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None
        nn.init.xavier_uniform_(self.down)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., n_in)`` to ``(..., n_out)``."""
        change = F.linear(F.linear(x, self.down.to(x.dtype)), self.up.to(x.dtype))
        out: Tensor = self.base(x) + change
        return out if self.bias is None else out + self.bias.to(out.dtype)


class FoldedLinear(nn.Linear):
    """A linear layer that took in its LoRA; ``bare`` is its matrix as it was before."""

    bare: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, bare: Tensor) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias, requires_grad=False)
        self.register_buffer("bare", bare, persistent=False)


def bare(linear: nn.Module, x: Tensor) -> Tensor:
    """The base matrix alone applied to ``(..., n_in)``: no LoRA, no bias of adapter or base."""
    if isinstance(linear, FoldedLinear):
        return F.linear(x, linear.bare)
    if isinstance(linear, LoRALinear):
        linear = linear.base
    out: Tensor = linear(x)
    bias = getattr(linear, "bias", None)
    return out - bias if isinstance(bias, Tensor) else out


def add_lora(llama: LlamaForCausalLM, rank: int) -> None:
    """Put a :class:`LoRALinear` around every linear layer of every block."""
    for parent, name in linears(llama):
        base = getattr(parent, name)
        change = LoRALinear(
            base, rank, n_in=base.in_features, n_out=base.out_features, bias=WITH_BIAS[name]
        )
        setattr(parent, name, change.to(base.weight.device))


def fold_lora(llama: LlamaForCausalLM) -> None:
    """Fold every change into its matrix, exactly but for rounding; answers then cost no more.

    The value projections keep a copy of their bare matrix: 8% of a 7B model.

    Raises:
        UsageError: The base is quantised, so its matrices cannot take a change in.
    """
    for parent, name in linears(llama):
        layer = getattr(parent, name)
        if isinstance(layer, LoRALinear):
            setattr(parent, name, _folded(layer, keep=name == "v_proj"))


def _folded(layer: LoRALinear, *, keep: bool) -> nn.Linear:
    base = layer.base
    if not isinstance(base, nn.Linear) or not base.weight.is_floating_point():
        raise UsageError(
            f"LoRA cannot be folded into a {type(base).__name__}: load the base unquantised, or "
            "leave LoRA beside it (fold=False)"
        )
    with torch.no_grad():
        weight = base.weight.float() + layer.up.float() @ layer.down.float()
        weight = weight.to(base.weight.dtype)
        biases = [b.float() for b in (base.bias, layer.bias) if b is not None]
        bias = sum(biases[1:], biases[0]).to(weight.dtype) if biases else None
        if keep:
            return FoldedLinear(weight, bias, base.weight.detach())
        out = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        out.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            out.bias = nn.Parameter(bias, requires_grad=False)
        return out


def linears(llama: LlamaForCausalLM) -> list[tuple[nn.Module, str]]:
    """Every linear layer of every block, as the module it lies in and its name there."""
    return [
        (parent, name)
        for block in llama.model.layers
        for parent in (block.get_submodule("self_attn"), block.get_submodule("mlp"))
        for name in WITH_BIAS
        if hasattr(parent, name)
    ]
