"""ImageBind's towers but for points: a stem that makes tokens, a trunk, a head.

A tower maps a batch of prepared items to ``(B, dim)``, before normalisation. Every stem ends alike:
tokens, a class token in front of them where there is one, and a learned position added to each.
Patches are cut out as views and multiplied by one matrix, which on a CPU beats a convolution.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import BLOCK_EPS, Head, drawn, make_blocks
from .config import (
    AudioConfig,
    IMUConfig,
    MapConfig,
    TextConfig,
    TrunkConfig,
    VisionConfig,
)

MAX_SCALE = 100.0  # a learned scale is cut there, as in CLIP (https://arxiv.org/abs/2103.00020)
IMU_DROPOUT = 0.5  # in front of the projection, in training


class BaseTower(nn.Module):
    """What all towers have: the scale of their vectors, kept as its logarithm.

    ``log_scale`` is a parameter where ImageBind learned it (text), a buffer where it was fixed, and
    absent for vision, whose vectors stay unit vectors.
    """

    log_scale: Tensor | None

    def __init__(self, scale: float | None, *, learned: bool = False) -> None:
        super().__init__()
        value = None if scale is None else torch.tensor(math.log(scale))
        if learned and value is not None:
            self.log_scale = nn.Parameter(value)
        else:
            self.register_buffer("log_scale", value)

    def scale(self) -> Tensor | float:
        """The length of this tower's vectors."""
        return 1.0 if self.log_scale is None else self.log_scale.exp().clamp(max=MAX_SCALE)

    def check(self, x: Tensor) -> None:
        """Refuse a batch of another shape.

        Raises:
            ValueError: With the shape expected.
        """
        raise NotImplementedError

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "BaseTower":
        """Move or cast; a single number keeps its precision (a scale in bf16 is up to 2% off)."""

        def applied(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if tensor.ndim or tensor.is_meta else tensor.to(moved.device)

        super()._apply(applied, recurse)  # type: ignore[no-untyped-call]
        return self


class TransformerTower(BaseTower):
    """Stem, blocks, head; subclasses say how tokens are made and which one is read."""

    def __init__(
        self,
        stem: nn.Module,
        trunk: TrunkConfig,
        dim: int,
        *,
        scale: float | None,
        learned: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(scale, learned=learned)
        self.stem = stem
        self.input_norm = nn.LayerNorm(trunk.dim, eps=BLOCK_EPS) if trunk.input_norm else None
        self.blocks = make_blocks(trunk, eps=BLOCK_EPS)
        self.head = Head(trunk.dim, dim, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """A batch to ``(B, dim)``, before normalisation."""
        out: Tensor = self.head(self._trunk(self.stem(x))[:, 0])
        return out

    def _trunk(self, tokens: Tensor) -> Tensor:
        if self.input_norm is not None:
            tokens = self.input_norm(tokens)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class VisionTower(TransformerTower):
    """Images and videos; the only tower whose input may be larger than it was trained with."""

    stem: "PatchStem"

    def __init__(self, config: VisionConfig, dim: int) -> None:
        size = (config.patch, config.patch)
        kernel = nn.Conv3d(
            *(3, config.trunk.dim), (config.n_frames, *size), (config.n_frames, *size), bias=False
        )
        stem = PatchStem(kernel, config.grid, config.patch, norm=False)
        super().__init__(stem, config.trunk, dim, scale=None)
        self.config = config

    def check(self, x: Tensor) -> None:
        """Images ``(B, 3, H, H)``, or videos ``(B, 3, n_frames, H, H)``."""
        frames = self.config.n_frames
        shape = (3,) if x.ndim == 4 else (3, frames)
        _check_square(x, shape, self.config.size, self.config.patch)

    def forward(self, x: Tensor, keep: float = 1.0) -> Tensor:
        """A batch to ``(B, dim)``, before normalisation.

        Args:
            x: As :meth:`check` has it.
            keep: In training, the share of patches that each image keeps, drawn at random (FLIP,
                https://arxiv.org/abs/2212.00794): half of them train twice as fast.
        """
        tokens: Tensor = self.stem(x)
        if self.training and keep < 1:
            tokens = _keep_some(tokens, keep)
        out: Tensor = self.head(self._trunk(tokens)[:, 0])
        return out


class TextTower(TransformerTower):
    """Token ids; the token read is the one with the largest id, which closes a text."""

    stem: "TextStem"

    def __init__(self, config: TextConfig, dim: int) -> None:
        super().__init__(TextStem(config), config.trunk, dim, scale=config.scale, learned=True)
        self.config = config

    def check(self, x: Tensor) -> None:
        """Ids ``(B, n)`` of at most ``n_tokens`` columns."""
        if x.ndim != 2 or not 0 < x.shape[1] <= self.config.n_tokens or x.is_floating_point():
            _refuse(x, f"token ids (B, {self.config.n_tokens})")

    def forward(self, x: Tensor) -> Tensor:
        """Ids ``(B, n)`` to ``(B, dim)``, before normalisation.

        No token sees a later one, so what follows the last closing token of the batch is cut off:
        a batch costs what its longest text costs.
        """
        largest, ends = x.max(dim=1)  # the first of equal ids
        if len(x) and int(largest.max()) >= self.config.vocab_size:
            raise ValueError(
                f"token id {int(largest.max())} of a vocabulary of {self.config.vocab_size}; "
                "tokenise with the preprocessor made for this encoder"
            )
        n_used = int(ends.max()) + 1 if len(x) else 1
        tokens = self._trunk(self.stem(x[:, :n_used]))
        out: Tensor = self.head(tokens[torch.arange(len(x), device=x.device), ends])
        return out


class AudioTower(TransformerTower):
    """Mel spectrograms."""

    stem: "PatchStem"

    def __init__(self, config: AudioConfig, dim: int) -> None:
        kernel = nn.Conv2d(1, config.trunk.dim, config.kernel, config.stride, bias=False)
        stem = PatchStem(kernel, config.grid, config.stride, norm=True)
        super().__init__(stem, config.trunk, dim, scale=config.scale)
        self.config = config

    def check(self, x: Tensor) -> None:
        """``(B, 1, n_mels, n_frames)``; a few frames more or less give as many patches."""
        config = self.config
        across = config.grid[1]
        least = (across - 1) * config.stride + config.kernel
        if (
            x.ndim != 4
            or x.shape[1:3] != (1, config.n_mels)
            or not least <= x.shape[3] < least + config.stride
        ):
            _refuse(x, f"(B, 1, {config.n_mels}, {config.n_frames})")


class MapTower(TransformerTower):
    """Depth or heat."""

    stem: "PatchStem"

    def __init__(self, config: MapConfig, dim: int) -> None:
        kernel = nn.Conv2d(1, config.trunk.dim, config.patch, config.patch, bias=False)
        stem = PatchStem(kernel, config.grid, config.patch, norm=True)
        super().__init__(stem, config.trunk, dim, scale=config.scale)
        self.config = config

    def check(self, x: Tensor) -> None:
        """``(B, 1, H, H)``."""
        _check_square(x, (1,), self.config.size, self.config.patch)


class IMUTower(TransformerTower):
    """Accelerometer and gyroscope."""

    stem: "IMUStem"

    def __init__(self, config: IMUConfig, dim: int) -> None:
        super().__init__(
            IMUStem(config), config.trunk, dim, scale=config.scale, dropout=IMU_DROPOUT
        )
        self.config = config

    def check(self, x: Tensor) -> None:
        """``(B, n_channels, n_samples)``."""
        if x.ndim != 3 or x.shape[1:] != (self.config.n_channels, self.config.n_samples):
            _refuse(x, f"(B, {self.config.n_channels}, {self.config.n_samples})")


# ------------------------------------------------------------------------------ stems


class PatchStem(nn.Module):
    """Pictures ``(B, C, H, W)``, or videos ``(B, C, T, H, W)``, to ``(B, 1 + patches, dim)``.

    The convolution only holds the weights; a patch is a row of a matrix. For an image in front of a
    kernel that spans several frames, the kernel is summed over time: that equals repeating the
    image, at half the multiplications.
    """

    def __init__(
        self, proj: nn.Conv2d | nn.Conv3d, grid: tuple[int, int], stride: int, *, norm: bool
    ) -> None:
        super().__init__()
        dim = proj.out_channels
        self.grid = grid
        self.stride = stride
        self.proj = proj
        self.norm = nn.LayerNorm(dim) if norm else None
        self.cls = drawn(1, 1, dim, std=dim**-0.5)
        self.position = drawn(1, 1 + grid[0] * grid[1], dim, std=dim**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Patch tokens row by row, the class token first, positions added."""
        weight = self.proj.weight
        if x.ndim == 5:
            x, weight = x.flatten(1, 2), weight.flatten(1, 2)
        elif weight.ndim == 5:
            weight = weight.sum(2)
        side = weight.shape[-1]
        cut = x.to(weight.dtype).unfold(2, side, self.stride).unfold(3, side, self.stride)
        grid = (cut.shape[2], cut.shape[3])
        rows = cut.permute(0, 2, 3, 1, 4, 5).reshape(len(x), grid[0] * grid[1], -1)
        tokens = F.linear(rows, weight.flatten(1))
        if self.norm is not None:
            tokens = self.norm(tokens)
        cls = self.cls.to(tokens.dtype).expand(len(x), -1, -1)
        return torch.cat((cls, tokens), dim=1) + self._position(grid)

    def _position(self, grid: tuple[int, int]) -> Tensor:
        """The position table, resized like a picture for a grid other than the stored one."""
        if grid == self.grid:
            return self.position
        table = self.position[:, 1:].float().reshape(1, *self.grid, -1).permute(0, 3, 1, 2)
        resized = F.interpolate(table, size=grid, mode="bicubic", align_corners=False)
        patches = resized.flatten(2).transpose(1, 2).to(self.position.dtype)
        return torch.cat((self.position[:, :1], patches), dim=1)


class TextStem(nn.Module):
    """Token ids ``(B, n)`` to ``(B, n, dim)``; there is no class token."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        dim = config.trunk.dim
        self.tokens = nn.Embedding(config.vocab_size, dim)
        self.position = drawn(1, config.n_tokens, dim, std=0.01)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings with positions added."""
        tokens: Tensor = self.tokens(ids)
        return tokens + self.position[:, : ids.shape[1]]


class IMUStem(nn.Module):
    """Motion ``(B, C, samples)`` to ``(B, 1 + windows, dim)``."""

    def __init__(self, config: IMUConfig) -> None:
        super().__init__()
        dim = config.trunk.dim
        self.window = config.window
        self.proj = nn.Linear(config.n_channels * config.window, dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        self.cls = drawn(1, 1, dim, std=dim**-0.5)
        n_tokens = 1 + config.n_samples // config.window
        self.position = drawn(1, n_tokens, dim, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Windows in time order, each flattened channel by channel; the class token first."""
        windows = x.to(self.proj.weight.dtype).unfold(2, self.window, self.window)
        rows = windows.transpose(1, 2).flatten(2)  # (B, windows, C * samples)
        tokens: Tensor = self.norm(self.proj(rows))
        cls = self.cls.to(tokens.dtype).expand(len(x), -1, -1)
        return torch.cat((cls, tokens), dim=1) + self.position


def _keep_some(tokens: Tensor, keep: float) -> Tensor:
    """The class token and a random share of the others, drawn for each item."""
    b, n, dim = tokens.shape
    n_kept = max(1, round((n - 1) * keep))
    drawn = torch.rand(b, n - 1, device=tokens.device).argsort(dim=1)[:, :n_kept] + 1
    picked = tokens.gather(1, drawn[:, :, None].expand(-1, -1, dim))
    return torch.cat((tokens[:, :1], picked), dim=1)


def _check_square(x: Tensor, leading: tuple[int, ...], size: int, patch: int) -> None:
    n = len(leading)
    if (
        x.ndim != n + 3
        or tuple(x.shape[1 : n + 1]) != leading
        or x.shape[-1] != x.shape[-2]
        or not x.shape[-1]
        or x.shape[-1] % patch
    ):
        shape = ", ".join(map(str, leading))
        _refuse(x, f"(B, {shape}, {size}, {size}), or other squares whose side {patch} divides")


def _refuse(x: Tensor, expected: str) -> None:
    raise ValueError(f"expected {expected}; this batch is {x.dtype} of shape {tuple(x.shape)}")
