"""The bind network: a vector of the joint space becomes one vector of the language model.

A linear projection, then residual blocks of a gated MLP (SwiGLU) behind a norm. No norm follows the
last block, so the scale of the input matters: it was trained on unit vectors.

Source: ImageBind-LLM, https://arxiv.org/abs/2309.03905, eq. (1).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from .config import BindConfig

RMS_EPS = 1e-6  # of the published bind network, whatever eps the language model has
LAYER_NORM_EPS = 1e-5  # of the legacy form
PROJ_STD = 1.0  # of the projection before training: see BindNetwork


class BindBlock(nn.Module):
    """``x + down(silu(gate(n)) * up(n))`` with ``n = norm(x)``."""

    def __init__(self, config: BindConfig) -> None:
        super().__init__()
        dim, hidden, legacy = config.dim, config.hidden, config.legacy
        self.norm: nn.Module
        if legacy:
            self.norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        else:
            self.norm = nn.RMSNorm(dim, eps=RMS_EPS)
        self.gate = nn.Linear(dim, hidden, bias=legacy)
        self.up = nn.Linear(dim, hidden, bias=legacy)
        self.down = nn.Linear(hidden, dim, bias=legacy)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., dim)`` to the same."""
        n = self.norm(x)
        change: Tensor = self.down(F.silu(self.gate(n)) * self.up(n))
        return x + change


class BindNetwork(nn.Module):
    """Vectors of the joint space ``(..., in_dim)`` to visual vectors ``(..., dim)``.

    Before training, a unit vector becomes a visual vector as long as the layer queries that are
    added to it. With torch's own, much smaller start the gates first learn to let the queries
    through, which say nothing of what is shown.
    """

    def __init__(self, config: BindConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(config.in_dim, config.dim)
        nn.init.normal_(self.proj.weight, std=PROJ_STD)
        nn.init.zeros_(self.proj.bias)
        self.blocks = nn.ModuleList(BindBlock(config) for _ in range(config.n_blocks))

    def forward(self, vectors: Tensor) -> Tensor:
        """``(..., in_dim)``, unit length, to ``(..., dim)``."""
        x: Tensor = self.proj(vectors)
        for block in self.blocks:
            x = block(x)
        return x
