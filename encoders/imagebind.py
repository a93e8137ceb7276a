"""ImageBind: one tower a modality, one space for all of them.

Each tower maps its modality to the joint space; rows are then normalised, in float32 whatever the
network computes in. ImageBind gives each modality a length of its own on top (``scaled=True``);
unit rows are what search compares.

Source: ImageBind, https://arxiv.org/abs/2305.05665; the point encoder is that of Point-Bind.
"""

from collections.abc import Iterable
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from .config import (
    AudioConfig,
    ImageBindConfig,
    IMUConfig,
    MapConfig,
    PointsConfig,
    TextConfig,
    VisionConfig,
)
from .modality import TOWER_OF, Modality, Tower
from .points import PointEncoder
from .towers import AudioTower, BaseTower, IMUTower, MapTower, TextTower, VisionTower

IMAGE_DIMS = 4  # axes of a batch of images,
VIDEO_DIMS = 5  # and of videos


class ImageBind(nn.Module):
    """The towers of a configuration, or some of them."""

    def __init__(self, config: ImageBindConfig, towers: Iterable[Tower] | None = None) -> None:
        """Build towers with random weights, as ImageBind draws them.

        Args:
            config: The sizes.
            towers: Those to build; by default all that the configuration has.

        Raises:
            ValueError: The configuration lacks one of ``towers``.
        """
        super().__init__()
        self.config = config
        chosen = config.towers if towers is None else tuple(towers)
        self.towers = nn.ModuleDict({tower.value: _build(config, tower) for tower in chosen})

    def forward(
        self,
        modality: Modality | str,
        x: Tensor,
        *,
        clips: bool = False,
        scaled: bool = False,
        keep: float = 1.0,
    ) -> Tensor:
        """Encode a batch of prepared items.

        Args:
            modality: What they are. Images are ``(B, 3, H, H)``, videos ``(B, 3, T, H, H)``, texts
                ``(B, n)`` token ids, sounds ``(B, 1, mels, frames)``, depth and heat
                ``(B, 1, H, H)``, motion ``(B, channels, samples)``, clouds ``(B, N, 3)``.
            x: Of any float type; integers for text.
            clips: Axis 1 of ``x`` counts clips of one item, which are encoded one by one and
                averaged.
            scaled: Give rows ImageBind's own length: 1 for images and videos, a learned one (at
                most 100) for text, 20 for sound, ... The mean of several clips is shorter.
            keep: In training, the share of patches or of groups of points that is looked at; see
                :meth:`.towers.VisionTower.forward` and :meth:`.points.PointEncoder.forward`.

        Returns:
            float32 ``(B, dim)``; unit rows unless ``scaled``.

        Raises:
            ValueError: ``x`` has another shape, or there is no tower for ``modality``.
        """
        rows = F.normalize(self.head(modality, x, clips=clips, keep=keep), dim=-1)
        if clips:
            rows = rows.mean(dim=1)
        if scaled:
            return rows * self._tower(Modality(modality)).scale()
        return F.normalize(rows, dim=-1) if clips else rows

    def head(
        self, modality: Modality | str, x: Tensor, *, clips: bool = False, keep: float = 1.0
    ) -> Tensor:
        """What the head returns, before normalisation: float32 ``(B, dim)``.

        Arguments as :meth:`forward`; with ``clips``, the result is ``(B, clips, dim)``.
        """
        modality = Modality(modality)
        tower = self._tower(modality)
        items = x.flatten(0, 1) if clips and x.ndim > 1 else x
        self._check(modality, tower, items)
        if isinstance(tower, VisionTower | PointEncoder):
            out = cast(Tensor, tower(items, keep=keep))
        else:
            out = cast(Tensor, tower(items))
        return (out.view(x.shape[0], x.shape[1], -1) if clips else out).float()

    def _tower(self, modality: Modality) -> BaseTower:
        name = TOWER_OF[modality].value
        if name not in self.towers:
            raise ValueError(f"no tower for {modality}; there are {', '.join(self.towers)}")
        return cast(BaseTower, self.towers[name])

    def _check(self, modality: Modality, tower: BaseTower, items: Tensor) -> None:
        """Refuse a wrong shape, with the modality's name in front."""
        axes = {Modality.IMAGE: IMAGE_DIMS, Modality.VIDEO: VIDEO_DIMS}.get(modality)
        if axes is not None and items.ndim != axes:
            raise ValueError(
                f"{modality}: expected {axes} axes, "
                f"{'(B, 3, H, H)' if axes == IMAGE_DIMS else '(B, 3, T, H, H)'}; "
                f"this batch has shape {tuple(items.shape)}"
            )
        try:
            tower.check(items)
        except ValueError as error:
            raise ValueError(f"{modality}: {error}") from None


def _build(config: ImageBindConfig, tower: Tower) -> BaseTower:
    """One tower with random weights."""
    match getattr(config, tower):
        case VisionConfig() as sizes:
            return VisionTower(sizes, config.dim)
        case TextConfig() as sizes:
            return TextTower(sizes, config.dim)
        case AudioConfig() as sizes:
            return AudioTower(sizes, config.dim)
        case MapConfig() as sizes:
            return MapTower(sizes, config.dim)
        case IMUConfig() as sizes:
            return IMUTower(sizes, config.dim)
        case PointsConfig() as sizes:
            return PointEncoder(sizes, config.dim)
    raise ValueError(f"no {tower} tower in this configuration; it has {', '.join(config.towers)}")
