"""The parts every tower is made of: attention, transformer blocks, and the head.

Tokens are ``(B, n, dim)`` throughout. Blocks normalise before each step and add to the residual
stream, as ViT does. Attention is one fused projection and one call of torch's
``scaled_dot_product_attention``, which never holds the ``(n, n)`` scores in memory.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import TrunkConfig

BLOCK_EPS = 1e-6  # of ImageBind's blocks and heads; its stems and the point encoder have torch's


def drawn(*shape: int, std: float) -> nn.Parameter:
    """A parameter from a normal distribution."""
    return nn.Parameter(nn.init.normal_(torch.empty(shape), std=std))


class Attention(nn.Module):
    """Multi-head self-attention.

    With ``bias_kv``, one learned key and one learned value stand at the end of every sequence. They
    are not projected, and no query belongs to them: tokens may attend to them instead of to each
    other.
    """

    def __init__(
        self,
        dim: int,
        n_heads: int,
        *,
        qkv_bias: bool = True,
        bias_kv: bool = False,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.causal = causal
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)  # rows: queries, keys, values
        self.out = nn.Linear(dim, dim)
        self.bias_k = nn.Parameter(torch.empty(1, 1, dim)) if bias_kv else None
        self.bias_v = nn.Parameter(torch.empty(1, 1, dim)) if bias_kv else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier, as ImageBind's: uniform for matrices, normal for the learned key and value."""
        for linear in (self.qkv, self.out):
            xavier(linear)
        for vector in (self.bias_k, self.bias_v):
            if vector is not None:
                nn.init.xavier_normal_(vector)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, n, dim)`` to the same."""
        b, n, dim = x.shape
        qkv: Tensor = self.qkv(x)
        q, k, v = qkv.view(b, n, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)  # (B, heads, n, .)
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat((k, self._per_head(self.bias_k, k)), dim=2)
            v = torch.cat((v, self._per_head(self.bias_v, v)), dim=2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(b, n, dim))
        return out

    def _per_head(self, vector: Tensor, like: Tensor) -> Tensor:
        """``(1, 1, dim)`` to ``(B, heads, 1, dim / heads)``."""
        split = vector.view(1, self.n_heads, 1, -1).to(like.dtype)
        return split.expand(like.shape[0], -1, -1, -1)


class MLP(nn.Module):
    """Two linear layers with the exact (erf) GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        for linear in (self.fc1, self.fc2):
            xavier(linear)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., dim)`` to the same."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``."""

    def __init__(
        self, config: TrunkConfig, *, eps: float, qkv_bias: bool = True, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(config.dim, eps=eps)
        self.attn = Attention(
            config.dim,
            config.n_heads,
            qkv_bias=qkv_bias,
            bias_kv=config.bias_kv,
            causal=config.causal,
        )
        self.norm_2 = nn.LayerNorm(config.dim, eps=eps)
        self.mlp = MLP(config.dim, config.hidden)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """``(B, n, dim)`` to the same."""
        x = x + self._dropped(self.attn(self.norm_1(x)))
        return x + self._dropped(self.mlp(self.norm_2(x)))

    def _dropped(self, change: Tensor) -> Tensor:
        """In training, leave the step out for some items of the batch.

        Source: stochastic depth, https://arxiv.org/abs/1603.09382; what remains is scaled up, so
        that nothing changes on average.
        """
        if not self.training or self.drop_path == 0:
            return change
        stays = 1 - self.drop_path
        return change * change.new_empty(len(change), 1, 1).bernoulli_(stays).div_(stays)


class Head(nn.Module):
    """A token ``(B, width)`` to the joint space ``(B, dim)``, not yet normalised."""

    def __init__(self, width: int, dim: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=BLOCK_EPS)
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Linear(width, dim, bias=False)

    def forward(self, token: Tensor) -> Tensor:
        """``(B, width)`` to ``(B, dim)``."""
        out: Tensor = self.proj(self.dropout(self.norm(token)))
        return out


def make_blocks(config: TrunkConfig, *, eps: float, qkv_bias: bool = True) -> nn.ModuleList:
    """The blocks of a trunk; the chance to skip one rises linearly from 0 to ``drop_path``."""
    last = max(config.n_blocks - 1, 1)
    rates: Iterable[float] = (config.drop_path * i / last for i in range(config.n_blocks))
    return nn.ModuleList(
        Block(config, eps=eps, qkv_bias=qkv_bias, drop_path=rate) for rate in rates
    )


def xavier(linear: nn.Linear) -> None:
    """Xavier-uniform weights, no bias to begin with."""
    nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
