"""Configurations as JSON, their checks, and what follows from their sizes."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from anybind.encoders.config import (
    AudioConfig,
    ImageBindConfig,
    IMUConfig,
    MapConfig,
    PointsConfig,
    TextConfig,
    TrunkConfig,
    VisionConfig,
    imagebind_huge,
    imagebind_mini,
)
from anybind.encoders.modality import Tower

TRUNK = TrunkConfig(dim=8, n_blocks=1, n_heads=2)
KEPT = (*range(512), 600, 49406, 49407)


@pytest.mark.parametrize("config", [imagebind_huge(), imagebind_mini(KEPT), ImageBindConfig()])
def test_a_configuration_survives_json(config: ImageBindConfig) -> None:
    """Equal after writing and reading."""
    assert ImageBindConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_whole_numbers_are_read_where_fractions_are_meant() -> None:
    """JSON writers may shorten 5.0 to 5."""
    data = imagebind_huge().to_dict()
    data["depth"] |= {"scale": 5}  # type: ignore[operator]
    read = ImageBindConfig.from_dict(data)
    assert read == imagebind_huge()
    assert read.depth is not None and type(read.depth.scale) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("imu"), "config lacks imu and has unknown nothing"),
        (lambda data: data.update(smell=None), "has unknown smell"),
        (lambda data: data["text"].pop("kept"), "config.text lacks kept"),
        (lambda data: data["text"]["trunk"].update(depth=3), "config.text.trunk lacks nothing and"),
        (lambda data: data.update(dim="1024"), "config.dim is '1024'; its type is int"),
        (lambda data: data.update(dim=True), "config.dim is True; its type is int"),
        (lambda data: data.update(vision=[1]), r"config.vision is \[1\]; a table is meant"),
        (lambda data: data["text"].update(kept=["a"]), "config.text.kept is .* whole numbers"),
        (lambda data: data["points"].update(group_channels=[1, 2]), "4 numbers are meant"),
        (lambda data: data["vision"].update(size=225), "225 pixels do not divide"),
    ],
)
def test_what_is_not_a_configuration_is_refused(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    """One thing wrong at a time; the message names where."""
    data = json.loads(json.dumps(imagebind_huge().to_dict()))
    change(data)
    with pytest.raises(ValueError, match=message):
        ImageBindConfig.from_dict(data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrunkConfig(dim=10, n_blocks=1, n_heads=4), "10 does not divide into 4 heads"),
        (lambda: TrunkConfig(dim=8, n_blocks=0, n_heads=4), "TrunkConfig.n_blocks is 0"),
        (lambda: TrunkConfig(dim=8, n_blocks=1, n_heads=4, drop_path=1), "drop_path is 1"),
        (
            lambda: TrunkConfig(dim=8, n_blocks=1, n_heads=4, causal=True, bias_kv=True),
            "causal and bias_kv exclude each other",
        ),
        (lambda: VisionConfig(trunk=TRUNK, size=100), "100 pixels do not divide into patches"),
        (lambda: MapConfig(trunk=TRUNK, size=100, scale=5), "100 pixels do not divide"),
        (lambda: MapConfig(trunk=TRUNK, scale=0), "MapConfig.scale is 0"),
        (lambda: AudioConfig(trunk=TRUNK, n_frames=15), "kernel of 16 exceeds 128 x 15"),
        (lambda: IMUConfig(trunk=TRUNK, window=7), "2000 samples do not divide"),
        (lambda: PointsConfig(n_points=31), "clouds of 31 points have no groups of 32"),
        (lambda: PointsConfig(group_channels=(1, 2, 0, 4)), "each must be at least 1"),
        (lambda: PointsConfig(dim=100), "100 does not divide into 6 heads"),
        (lambda: ImageBindConfig(dim=0), "ImageBindConfig.dim is 0"),
        (lambda: TextConfig(trunk=TRUNK, kept=KEPT), "515 ids are kept for 49408 embedding rows"),
        (lambda: TextConfig(trunk=TRUNK, kept=KEPT[::-1], vocab_size=515), "ascending order"),
        (lambda: TextConfig(trunk=TRUNK, kept=KEPT[1:], vocab_size=514), "must be kept"),
        (lambda: TextConfig(trunk=TRUNK, kept=KEPT[:-1], vocab_size=514), "must be kept"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(
    make: Callable[[], object], message: str
) -> None:
    """One thing wrong at a time."""
    with pytest.raises(ValueError, match=message):
        make()


def test_costs_follow_from_the_published_sizes() -> None:
    """Tokens from section 2 of ImageBind's appendix: 1 + 16 x 16, 77, 1 + 12 x 19, 1 + 14 x 14,
    1 + 250; four times the trunk's width; and 512 groups of 32 points, 512 wide."""
    config = imagebind_huge()
    assert {tower: config.cost(tower) for tower in config.towers} == {
        Tower.VISION: (257, 5120),
        Tower.TEXT: (77, 4096),
        Tower.AUDIO: (229, 3072),
        Tower.DEPTH: (197, 1536),
        Tower.THERMAL: (197, 3072),
        Tower.IMU: (251, 2048),
        Tower.POINTS: (16_384, 512),
    }
    with pytest.raises(ValueError, match="no text tower; it has imu"):
        ImageBindConfig(imu=config.imu).cost(Tower.TEXT)
