"""A base whose large matrices are kept in int8: a quarter of their size in fp32.

A row of a matrix is 127 steps of its largest number: ``w ≈ steps * scale``. The matrices of the
blocks are kept so, and become numbers of the input's precision for the moment of a product; the
embedding, the output and norms stay as they are. LoRA stays beside such a matrix, and what is
injected takes it as it is, without LoRA, as ever.

Source: LLM.int8(), https://arxiv.org/abs/2208.07339, sec. 2: absolute maxima of rows, without its
second part for columns with outliers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from .lora import linears

STEPS = 127  # the largest int8 of either sign


class Int8Linear(nn.Module):
    """A frozen linear layer; ``weight`` is int8 ``(n_out, n_in)``, ``scale`` fp32 ``(n_out,)``."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, n_in: int, n_out: int, *, bias: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = n_in, n_out
        self.register_buffer("weight", torch.empty(n_out, n_in, dtype=torch.int8))
        self.register_buffer("scale", torch.empty(n_out))
        self.register_buffer("bias", torch.empty(n_out) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., n_in)`` to ``(..., n_out)``."""
        out = F.linear(x, self.weight.to(x.dtype)) * self.scale.to(x.dtype)
        return out if self.bias is None else out + self.bias.to(x.dtype)


def in_int8(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix as the steps and the scale of each row; a row of zeros has the scale 1."""
    rows = matrix.float()
    largest = rows.abs().amax(dim=1)
    scale = torch.where(largest > 0, largest / STEPS, torch.ones_like(largest))
    return (rows / scale[:, None]).round().to(torch.int8), scale


def keep_in_int8(llama: LlamaForCausalLM) -> set[str]:
    """Give every matrix of the blocks a place in int8, to be filled; returns their names."""
    for parent, name in linears(llama):
        linear = getattr(parent, name)
        setattr(
            parent,
            name,
            Int8Linear(linear.in_features, linear.out_features, bias=linear.bias is not None),
        )
    return {f"{name}.weight" for name, m in llama.named_modules() if isinstance(m, Int8Linear)}


def is_in_int8(llama: LlamaForCausalLM) -> bool:
    """Are the matrices of the blocks kept in int8?"""
    return any(isinstance(module, Int8Linear) for module in llama.modules())
