"""The point encoder: clouds of points to vectors of the joint space.

A cloud is cut into overlapping groups around well-spread centres; a small network turns each group
into a token, and a transformer reads the tokens. Geometry (sampling, neighbours) is computed in
float32 whatever the network computes in: in bf16, neighbouring points coincide.

Source: Point-BERT, https://arxiv.org/abs/2111.14819, as Point-Bind trained it for the space of
ImageBind, https://arxiv.org/abs/2309.00615.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Head, drawn, make_blocks
from .config import PointsConfig
from .towers import BaseTower

POINT_EPS = 1e-5  # of the blocks' LayerNorms; the head has ImageBind's
HEAD_DROPOUT = 0.5  # in training
DISTANCE_BYTES = 64 * 2**20  # held at once: those of 4 clouds of 8192 points
CHUNK_POINTS = 2048  # through the network of a group at once, in inference: 4 MiB stay in a cache


class PointEncoder(BaseTower):
    """Clouds ``(B, N, 3)``, centred, largest radius 1, to ``(B, dim)`` before normalisation."""

    def __init__(self, config: PointsConfig, out_dim: int) -> None:
        super().__init__(config.scale)
        self.config = config
        self.groups = GroupEncoder(config.group_channels)
        self.reduce = nn.Linear(config.group_channels[-1], config.dim)
        self.cls = drawn(1, 1, config.dim, std=0.02)
        self.cls_position = drawn(1, 1, config.dim, std=0.02)
        self.position = nn.Sequential(
            nn.Linear(3, config.position_hidden),
            nn.GELU(),
            nn.Linear(config.position_hidden, config.dim),
        )
        self.blocks = make_blocks(config.trunk, eps=POINT_EPS, qkv_bias=False)
        self.norm = nn.LayerNorm(config.dim, eps=POINT_EPS)
        width = 2 * config.dim
        self.projection = drawn(width, config.projection, std=width**-0.5)
        self.head = Head(config.projection, out_dim, dropout=HEAD_DROPOUT)

    def check(self, x: Tensor) -> None:
        """``(B, N, 3)`` with enough points for a group."""
        if x.ndim != 3 or x.shape[2] != 3 or x.shape[1] < self.config.group:
            raise ValueError(
                f"expected clouds (B, N, 3) of at least {self.config.group} points; "
                f"this batch is {x.dtype} of shape {tuple(x.shape)}"
            )

    def forward(self, x: Tensor, keep: float = 1.0) -> Tensor:
        """Clouds ``(B, N, 3)`` to ``(B, dim)``, before normalisation.

        Args:
            x: See :meth:`check`.
            keep: In training, the share of the groups that is cut. Groups cost most of the work,
                and spread the same way fewer of them still cover the cloud.
        """
        dtype = self.projection.dtype
        n_centres = self.config.n_centres
        if self.training and keep < 1:
            n_centres = max(1, round(n_centres * keep))
        centres, groups = cut_groups(x.float(), n_centres, self.config.group)
        features: Tensor = self.groups(groups.to(dtype))
        tokens: Tensor = self.reduce(features)  # (B, G, dim)
        b = len(x)
        tokens = torch.cat((self.cls.to(tokens.dtype).expand(b, -1, -1), tokens), dim=1)
        places: Tensor = self.position(centres.to(dtype))
        places = torch.cat((self.cls_position.to(places.dtype).expand(b, -1, -1), places), dim=1)
        for block in self.blocks:
            tokens = block(tokens + places)  # the position is added in front of every block
        tokens = self.norm(tokens)
        summary = torch.cat((tokens[:, 0], tokens[:, 1:].amax(dim=1)), dim=1)
        out: Tensor = self.head(summary @ self.projection)
        return out


class PointwiseConv(nn.Conv1d):
    """A convolution of width 1, applied to rows of channels: a matrix, stored as published."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, kernel_size=1)

    def forward(self, input: Tensor) -> Tensor:
        """``(n, n_in)`` to ``(n, n_out)``."""
        return F.linear(input, self.weight[..., 0], self.bias)


class GroupEncoder(nn.Module):
    """Groups of points to features that do not depend on the order of a group's points.

    A small PointNet (https://arxiv.org/abs/1612.00593) twice over: each point by itself, then each
    point beside the maximum over its group.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        a, b, c, d = channels
        self.first = nn.Sequential(
            PointwiseConv(3, a), nn.BatchNorm1d(a), nn.ReLU(), PointwiseConv(a, b)
        )
        self.second = nn.Sequential(
            PointwiseConv(2 * b, c), nn.BatchNorm1d(c), nn.ReLU(), PointwiseConv(c, d)
        )

    def forward(self, groups: Tensor) -> Tensor:
        """``(B, G, K, 3)`` to ``(B, G, C)``.

        In training, all at once: BatchNorm draws its statistics from the whole batch.
        """
        b, g, k, _ = groups.shape
        flat = groups.flatten(0, 1)
        if self.training:
            return self._encode(flat).view(b, g, -1)
        parts = torch.split(flat, max(1, CHUNK_POINTS // k))
        return torch.cat([self._encode(part) for part in parts]).view(b, g, -1)

    def _encode(self, groups: Tensor) -> Tensor:
        """``(n, K, 3)`` to ``(n, C)``."""
        n, k, _ = groups.shape
        points: Tensor = self.first(groups.flatten(0, 1)).view(n, k, -1)
        whole = points.amax(dim=1, keepdim=True)
        pairs = torch.cat((whole.expand_as(points), points), dim=2)
        features: Tensor = self.second(pairs.flatten(0, 1))
        return features.view(n, k, -1).amax(dim=1)


def cut_groups(points: Tensor, n_centres: int, size: int) -> tuple[Tensor, Tensor]:
    """Centres, and the points nearest to each, relative to it.

    Args:
        points: float32 ``(B, N, 3)``, ``N`` at least ``size``.
        n_centres: How many; spread by :func:`farthest_point_sampling`.
        size: Points a group.

    Returns:
        Centres ``(B, n_centres, 3)`` and groups ``(B, n_centres, size, 3)``, in no order.
    """
    rows = torch.arange(len(points), device=points.device)[:, None]
    centres = points[rows, farthest_point_sampling(points, n_centres)]
    n_clouds = max(1, DISTANCE_BYTES // (4 * n_centres * points.shape[1]))
    nearest = torch.cat(
        [
            squared_distances(some, cloud).topk(size, largest=False, sorted=False).indices
            for some, cloud in zip(
                torch.split(centres, n_clouds), torch.split(points, n_clouds), strict=True
            )
        ]
    )
    groups = points[rows[..., None], nearest] - centres[:, :, None]
    return centres, groups


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """``(B, n, 3)`` and ``(B, m, 3)`` to ``(B, n, m)``.

    From differences, not from products: no cancellation, and autocast has nothing to shorten.
    """
    out = (a[:, :, None, 0] - b[:, None, :, 0]).square_()
    for axis in (1, 2):
        out += (a[:, :, None, axis] - b[:, None, :, axis]).square_()
    return out


def farthest_point_sampling(points: Tensor, n: int, start: int = 0) -> Tensor:
    """Indices of ``n`` points of each cloud, each as far as possible from those before it.

    Args:
        points: ``(B, N, 3)``; distances are computed in float32.
        n: May exceed ``N``: once every point is taken, the first repeats.
        start: The point to begin with, in every cloud. (The published code draws it at random.)

    Returns:
        int64 ``(B, n)``, in the order taken.

    Raises:
        ValueError: There is no point ``start``.
    """
    b, n_points, _ = points.shape
    if not 0 <= start < n_points:
        raise ValueError(f"cannot start at point {start} of {n_points}")
    axes = points.float().permute(2, 0, 1).contiguous()  # (3, B, N)
    distances = axes.new_full((b, n_points), torch.inf)  # to the nearest point taken
    taken = torch.empty(b, n, dtype=torch.int64, device=points.device)
    latest = torch.full((b, 1), start, device=points.device)
    for i in range(n):
        taken[:, i : i + 1] = latest
        steps = (axes - axes.gather(2, latest.expand(3, b, 1))).square_()
        distances = torch.minimum(distances, steps[0] + steps[1] + steps[2], out=distances)
        latest = distances.argmax(dim=1, keepdim=True)
    return taken
