"""The sizes of an encoder, as plain data.

A configuration says everything about a network but its weights: which towers it has, how wide the
joint space is, and what the input of each tower looks like. It survives JSON, and the header of a
weight file carries it. Published sizes are those of ImageBind (https://arxiv.org/abs/2305.05665)
and of the point encoder of Point-Bind (https://arxiv.org/abs/2309.00615).
"""

from dataclasses import asdict, dataclass

from ..tables import check_positive, read_table
from .modality import Tower

N_BYTE_SYMBOLS = 512  # of CLIP's vocabulary: 256 bytes, and the same at the end of a word
SOT, EOT = 49406, 49407  # ids of CLIP's vocabulary that open and close a text


@dataclass(frozen=True, kw_only=True)
class TrunkConfig:
    """A transformer of equal blocks."""

    dim: int  # width of a token
    n_blocks: int
    n_heads: int
    mlp_ratio: float = 4.0  # hidden width of a block's MLP, in dims
    bias_kv: bool = False  # one learned key and value more, which no token belongs to
    input_norm: bool = False  # a LayerNorm in front of the first block
    causal: bool = False  # a token sees itself and those before it
    drop_path: float = 0.0  # in training, chance to skip the last block; rises linearly from 0

    def __post_init__(self) -> None:
        check_positive(self, "dim", "n_blocks", "n_heads", "mlp_ratio")
        if self.dim % self.n_heads:
            raise ValueError(f"dim {self.dim} does not divide into {self.n_heads} heads")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path is {self.drop_path}; a chance below 1 is meant")
        if self.causal and self.bias_kv:
            raise ValueError("causal and bias_kv exclude each other: the extra key has no position")

    @property
    def hidden(self) -> int:
        """Width inside a block's MLP."""
        return round(self.dim * self.mlp_ratio)


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """Images ``(3, size, size)``, and videos ``(3, n_frames, size, size)``."""

    trunk: TrunkConfig
    size: int = 224  # pixels a side
    patch: int = 14  # pixels a side
    n_frames: int = 2  # frames a patch spans; an image is repeated so often

    def __post_init__(self) -> None:
        check_positive(self, "size", "patch", "n_frames")
        _check_grid(self.size, self.patch)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across."""
        return self.size // self.patch, self.size // self.patch


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Token ids ``(n_tokens,)`` of CLIP's vocabulary, or of the part of it that is kept."""

    trunk: TrunkConfig
    n_tokens: int = 77  # a text's, with those that open and close it
    vocab_size: int = 49_408  # rows of the embedding
    kept: tuple[int, ...] | None = None  # ids of CLIP's vocabulary that have a row; None: all
    scale: float = 1 / 0.07  # of a vector, before training

    def __post_init__(self) -> None:
        check_positive(self, "n_tokens", "vocab_size", "scale")
        if self.kept is None:
            return
        if len(self.kept) != self.vocab_size:
            raise ValueError(f"{len(self.kept)} ids are kept for {self.vocab_size} embedding rows")
        if any(a >= b for a, b in zip(self.kept, self.kept[1:], strict=False)):
            raise ValueError("the ids kept are not in ascending order")
        if self.kept[:N_BYTE_SYMBOLS] != tuple(range(N_BYTE_SYMBOLS)) or (
            self.kept[-2:] != (SOT, EOT)
        ):
            raise ValueError(
                f"ids 0 to {N_BYTE_SYMBOLS - 1}, {SOT} and {EOT} must be kept, or some texts have "
                "no tokens"
            )


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """Mel spectrograms ``(1, n_mels, n_frames)`` of two seconds of sound."""

    trunk: TrunkConfig
    n_mels: int = 128
    n_frames: int = 204  # of 10 ms
    kernel: int = 16  # side of a patch, in mels and frames
    stride: int = 10  # between patches, which overlap
    scale: float = 20.0  # of a vector
    mean: float = -4.268  # of log mel energies, subtracted,
    std: float = 9.138  # and divided by

    def __post_init__(self) -> None:
        check_positive(self, "n_mels", "n_frames", "kernel", "stride", "scale", "std")
        if min(self.n_mels, self.n_frames) < self.kernel:
            raise ValueError(f"a kernel of {self.kernel} exceeds {self.n_mels} x {self.n_frames}")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along mels and along frames."""
        return (
            (self.n_mels - self.kernel) // self.stride + 1,
            (self.n_frames - self.kernel) // self.stride + 1,
        )


@dataclass(frozen=True, kw_only=True)
class MapConfig:
    """Pictures of one channel ``(1, size, size)``: depth (as disparity) and heat."""

    trunk: TrunkConfig
    size: int = 224  # pixels a side
    patch: int = 16  # pixels a side
    scale: float  # of a vector

    def __post_init__(self) -> None:
        check_positive(self, "size", "patch", "scale")
        _check_grid(self.size, self.patch)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across."""
        return self.size // self.patch, self.size // self.patch


@dataclass(frozen=True, kw_only=True)
class IMUConfig:
    """Motion ``(n_channels, n_samples)``: accelerometer and gyroscope, three axes each."""

    trunk: TrunkConfig
    n_channels: int = 6
    n_samples: int = 2000  # five seconds at 400 Hz
    window: int = 8  # samples a token
    scale: float = 5.0  # of a vector

    def __post_init__(self) -> None:
        check_positive(self, "n_channels", "n_samples", "window", "scale")
        if self.n_samples % self.window:
            raise ValueError(
                f"{self.n_samples} samples do not divide into windows of {self.window}"
            )


@dataclass(frozen=True, kw_only=True)
class PointsConfig:
    """Clouds ``(n_points, 3)``, centred, largest radius 1: Point-BERT with a projection."""

    n_points: int = 8192  # a cloud is brought to
    n_centres: int = 512  # groups a cloud is cut into
    group: int = 32  # points a group
    dim: int = 384  # width of a token
    n_blocks: int = 12
    n_heads: int = 6
    mlp_ratio: float = 4.0  # hidden width of a block's MLP, in dims
    group_channels: tuple[int, int, int, int] = (128, 256, 512, 256)  # of the network of a group
    position_hidden: int = 128  # width inside the network that places a centre
    projection: int = 512  # width in front of the head
    scale: float = 1.0  # of a vector
    drop_path: float = 0.1  # as TrunkConfig has it

    def __post_init__(self) -> None:
        check_positive(self, "n_points", "n_centres", "group", "position_hidden", "projection")
        check_positive(self, "scale")
        if min(self.group_channels) < 1:
            raise ValueError(f"group_channels are {self.group_channels}; each must be at least 1")
        if self.n_points < self.group:
            raise ValueError(f"clouds of {self.n_points} points have no groups of {self.group}")
        _ = self.trunk  # checks the rest

    @property
    def trunk(self) -> TrunkConfig:
        """The transformer over group tokens."""
        return TrunkConfig(
            dim=self.dim,
            n_blocks=self.n_blocks,
            n_heads=self.n_heads,
            mlp_ratio=self.mlp_ratio,
            drop_path=self.drop_path,
        )


@dataclass(frozen=True, kw_only=True)
class ImageBindConfig:
    """An encoder: the towers it has, and the space they share."""

    dim: int = 1024  # of the joint space
    vision: VisionConfig | None = None
    text: TextConfig | None = None
    audio: AudioConfig | None = None
    depth: MapConfig | None = None
    thermal: MapConfig | None = None
    imu: IMUConfig | None = None
    points: PointsConfig | None = None

    def __post_init__(self) -> None:
        check_positive(self, "dim")

    @property
    def towers(self) -> tuple[Tower, ...]:
        """The towers this encoder has."""
        return tuple(tower for tower in Tower if getattr(self, tower) is not None)

    def cost(self, tower: Tower) -> tuple[int, int]:
        """Tokens of one item, and the width of the widest array over them.

        Raises:
            ValueError: The encoder has no such tower.
        """
        match getattr(self, tower):
            case VisionConfig() | AudioConfig() | MapConfig() as picture:
                down, across = picture.grid
                return 1 + down * across, picture.trunk.hidden
            case TextConfig() as text:
                return text.n_tokens, text.trunk.hidden
            case IMUConfig() as imu:
                return 1 + imu.n_samples // imu.window, imu.trunk.hidden
            case PointsConfig() as points:
                return points.n_centres * points.group, max(points.group_channels)
        raise ValueError(f"this encoder has no {tower} tower; it has {', '.join(self.towers)}")

    def to_dict(self) -> dict[str, object]:
        """All fields, nested, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> "ImageBindConfig":
        """What :meth:`to_dict` gave, also after JSON.

        Raises:
            ValueError: A key is missing or unknown, or a value is not of its field's type.
        """
        return read_table(cls, data, "config")


def imagebind_huge() -> ImageBindConfig:
    """The published ImageBind, and the point encoder that ImageBind-LLM adds to it."""
    return ImageBindConfig(
        dim=1024,
        vision=VisionConfig(trunk=TrunkConfig(dim=1280, n_blocks=32, n_heads=16, input_norm=True)),
        text=TextConfig(trunk=TrunkConfig(dim=1024, n_blocks=24, n_heads=16, causal=True)),
        audio=AudioConfig(
            trunk=TrunkConfig(dim=768, n_blocks=12, n_heads=12, bias_kv=True, drop_path=0.1)
        ),
        depth=MapConfig(
            trunk=TrunkConfig(dim=384, n_blocks=12, n_heads=8, bias_kv=True), scale=5.0
        ),
        thermal=MapConfig(
            trunk=TrunkConfig(dim=768, n_blocks=12, n_heads=12, bias_kv=True), scale=10.0
        ),
        imu=IMUConfig(
            trunk=TrunkConfig(dim=512, n_blocks=6, n_heads=8, bias_kv=True, drop_path=0.7)
        ),
        points=PointsConfig(),
    )


def imagebind_mini(kept: tuple[int, ...] | None = None) -> ImageBindConfig:
    """The encoder this project trains and ships: fast on a CPU core, and at home in one world.

    Args:
        kept: Ids of CLIP's vocabulary that get an embedding row; all by default.
    """
    return ImageBindConfig(
        dim=256,
        vision=VisionConfig(
            trunk=TrunkConfig(dim=192, n_blocks=6, n_heads=6, input_norm=True), size=96, patch=12
        ),
        text=TextConfig(
            trunk=TrunkConfig(dim=128, n_blocks=4, n_heads=4, causal=True),
            vocab_size=49_408 if kept is None else len(kept),
            kept=kept,
        ),
        audio=AudioConfig(
            trunk=TrunkConfig(dim=128, n_blocks=4, n_heads=4, bias_kv=True), n_mels=64, stride=16
        ),
        depth=MapConfig(
            trunk=TrunkConfig(dim=128, n_blocks=4, n_heads=4, bias_kv=True),
            size=96,
            patch=12,
            scale=20.0,
        ),
        thermal=MapConfig(
            trunk=TrunkConfig(dim=128, n_blocks=3, n_heads=4, bias_kv=True),
            size=96,
            patch=12,
            scale=20.0,
        ),
        imu=IMUConfig(
            trunk=TrunkConfig(dim=96, n_blocks=3, n_heads=3, bias_kv=True), window=40, scale=20.0
        ),
        points=PointsConfig(
            n_points=1024,
            n_centres=64,
            dim=128,
            n_blocks=4,
            n_heads=4,
            group_channels=(32, 64, 128, 128),
            projection=256,
            scale=20.0,
            drop_path=0.0,
        ),
    )


# ------------------------------------------------------------------------------ checks


def _check_grid(size: int, patch: int) -> None:
    if size % patch:
        raise ValueError(f"{size} pixels do not divide into patches of {patch}")
